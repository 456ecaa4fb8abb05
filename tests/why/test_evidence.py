"""`gather` looks at real folders and real processes, and raises for nothing that it finds there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outlast.journal.writer import Writer
from outlast.process import Identity, boot_id, read_stat
from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.run.spec import Output, RunSpec
from outlast.run.state import RunState, replay
from outlast.why import stacks
from outlast.why.evidence import SILENT_S, Evidence, gather
from outlast.why.explain import explain
from outlast.why.place import QueuePlace

RUN = "7k3m9qxw2a"
SPEC = RunSpec(RUN, command=("python", "train.py"))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    path = tmp_path / RUN
    path.mkdir()
    return RunFolder(str(path))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "digits"
    path.mkdir()
    return path


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start processes as a supervisor would; they are ended after the test."""
    made: list[subprocess.Popen[bytes]] = []

    def start(code: str, folder: RunFolder, cwd: Path, **environ: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            cwd=cwd,
            env={**os.environ, "OUTLAST_RUN": folder.path, **environ},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        made.append(child)
        assert child.stdout is not None
        child.stdout.readline()  # it says when it is where the test wants it
        return child

    yield start
    for child in made:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _story(main: int, work: Path) -> list[ev.Event]:
    identity = Identity.of(main)
    assert identity is not None
    now = time.time_ns()
    return [
        ev.Created(now),
        ev.Queued(now),
        ev.Dispatched(now, 1, "local", 1.0),
        ev.Launched(now, 1),
        ev.Started(now, 1, main, identity.start_ticks, boot_id(), str(work), 0),
    ]


def _write(folder: RunFolder, story: list[ev.Event]) -> None:
    """As server and supervisor write it: each decision says what it had seen."""
    with (
        Writer(folder.file(names.DECISIONS)) as decisions,
        Writer(folder.file(names.EVENTS)) as events,
    ):
        seen = 0
        for event in story:
            record = ev.to_record(event)
            if isinstance(event, ev.DECISIONS):
                decisions.append({**record, "seen": seen})
            else:
                seen = events.append(record)


BUSY = "print('go')\nwhile True: pass"
SLEEP = "import time\nprint('go')\ntime.sleep(600)"


def test_an_empty_or_missing_folder_is_no_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        found = gather(RunFolder(str(path)), SPEC, RunState(status="Running"))
        assert found.story == ()
        assert found.processes == ()
        assert explain(found).headline


def test_a_folder_full_of_traps_is_no_error(folder: RunFolder) -> None:
    os.mkfifo(folder.file(names.OUTPUT))
    Path(folder.file(names.EVENTS)).symlink_to("/etc/passwd")
    Path(folder.file(names.DECISIONS)).write_bytes(b'{"k":"created"}\nrubbish\n\xff\xfe\n{"k"')
    Path(folder.file(names.LEASE)).mkdir()
    Path(folder.logged("a.0")).mkdir()
    found = gather(folder, SPEC, RunState(status="Running"))
    assert len(found.unread) >= 2
    assert "unread" in [finding.rule for finding in explain(found).findings]


def test_the_story_is_merged_by_what_the_server_had_seen(folder: RunFolder, work: Path) -> None:
    story = _story(os.getpid(), work)
    story += [ev.CancelRequested(1, "ada"), ev.Exited(2, 1, 0), ev.TreeEnded(3, 1)]
    _write(folder, story)
    found = gather(folder, SPEC, replay(SPEC, story))
    assert [item.event for item in found.story] == story
    for item in found.story:
        text = Path(folder.file(item.journal)).read_bytes()[item.offset :]
        assert text.startswith(b'{"k":"' + ev.kind_of(item.event).encode())


def test_an_end_that_the_server_cannot_store_is_told_all_the_same(
    folder: RunFolder, work: Path
) -> None:
    before = _story(os.getpid(), work)
    story = [*before, ev.Exited(2, 1, 0), ev.TreeEnded(3, 1), ev.Ended(4, 1, "completed", "", "")]
    _write(folder, story)
    found = gather(folder, SPEC, replay(SPEC, before))
    assert found.state == replay(SPEC, story)
    assert explain(found).headline.startswith("Completed")
    note = "The server notes: lists show it as Running until the server can store what it has read."
    assert note in [finding.claim for finding in explain(found).findings]


def test_a_busy_process_is_seen_with_its_cpu_and_the_outputs_it_holds_open(
    folder: RunFolder, work: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    (work / "outputs").mkdir()
    child = started("f = open('outputs/m.bin', 'w')\n" + BUSY, folder, work)
    story = _story(child.pid, work)
    _write(folder, story)
    found = gather(folder, SPEC, replay(SPEC, story), sample_s=0.3)
    (seen,) = found.processes
    assert seen.pid == child.pid
    assert seen.is_main
    assert seen.is_python
    assert seen.cpu_percent > 20  # of a machine that others use too
    assert seen.writes == (str(work / "outputs" / "m.bin"),)
    assert seen.rss_bytes > 1_000_000
    assert explain(found).findings[0].rule == "running_normally"


def test_what_outlast_started_to_live_apart_is_not_of_the_run(
    folder: RunFolder, work: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    child = started(SLEEP, folder, work)
    started(SLEEP, folder, work, OUTLAST_DETACHED="1")
    story = _story(child.pid, work)
    found = gather(folder, SPEC, replay(SPEC, story), sample_s=0.05)
    assert [seen.pid for seen in found.processes] == [child.pid]


@pytest.mark.slow
def test_a_silent_python_process_is_asked_where_it_stands(
    folder: RunFolder, work: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    code = (
        "import time\ndef wait_for_data():\n    print('go')\n    time.sleep(600)\nwait_for_data()"
    )
    child = started(code, folder, work)
    program = stacks.py_spy()
    if program is None:
        pytest.skip("py-spy isn't installed")
    if stacks.dump(program, child.pid)[1]:
        pytest.skip(f"this machine doesn't allow it: {stacks.dump(program, child.pid)[1]}")
    long_ago = time.time_ns() - int(2 * SILENT_S * 1e9)
    story = [event._replace(t_ns=long_ago) for event in _story(child.pid, work)]
    _write(folder, story)
    found = gather(folder, SPEC, replay(SPEC, story))
    finding = explain(found).findings[0]
    assert finding.rule == "silent"
    assert any("wait_for_data" in fact.text for fact in finding.evidence)
    assert any(re.search("sleeps", fact.text) for fact in finding.evidence)


def test_secrets_on_a_command_line_are_not_shown(
    folder: RunFolder, work: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    child = started(SLEEP + " # --token hf_abcdefghijklmnopqrstuvwxyz123", folder, work)
    story = _story(child.pid, work)
    found = gather(folder, SPEC, replay(SPEC, story), sample_s=0.05)
    assert "hf_abc" not in repr(found.processes)


def test_the_last_metric_is_read_from_the_ends_of_the_journals(folder: RunFolder) -> None:
    with Writer(folder.logged("a.0")) as journal:
        for step in range(3000):
            journal.append({"k": "m", "n": "loss", "v": 1 / (step + 1), "s": step, "t": step})
        journal.append({"k": "m", "n": "loss", "v": None, "x": "nan", "s": 3000, "t": 3000})
    metric = gather(folder, SPEC, RunState(status="Running")).last_metric
    assert metric is not None
    assert (metric.name, metric.step, repr(metric.value)) == ("loss", 3000, "nan")


def test_a_file_in_the_wrong_folder_is_found(folder: RunFolder, work: Path) -> None:
    """Seed 002: ./output instead of ./outputs."""
    story = _story(os.getpid(), work)
    _write(folder, story)
    (work / "output").mkdir()
    (work / "output" / "old.txt").write_text("from before")
    os.utime(work / "output" / "old.txt", ns=(1, 1))
    (work / "output" / "model.txt").write_text("weights")
    spec = SPEC._replace(outputs=(Output("outputs/model.txt"),))
    found = gather(folder, spec, replay(spec, story), sample_s=0)
    assert [(stray.path, stray.meant) for stray in found.strays] == [
        ("output/model.txt", "outputs/model.txt")
    ]
    (finding,) = [item for item in explain(found).findings if item.rule == "output_outside"]
    assert finding.claim == (
        "output/model.txt was written, but the declared output is outputs/model.txt."
    )


def test_a_run_with_outputs_in_place_has_no_strays(folder: RunFolder, work: Path) -> None:
    story = _story(os.getpid(), work)
    _write(folder, story)
    for name in ("output", "outputs"):
        (work / name).mkdir()
        (work / name / "model.txt").write_text("weights")
    assert gather(folder, SPEC, replay(SPEC, story), sample_s=0).strays == ()


def test_a_python_that_prints_at_once_holds_nothing_back(folder: RunFolder, work: Path) -> None:
    story = _story(os.getpid(), work)
    _write(folder, story)
    for environ, is_said in (({}, True), ({"PYTHONUNBUFFERED": "1"}, False)):
        Path(folder.file(names.LAUNCH)).write_text(json.dumps({"environ": environ}))
        found = gather(folder, SPEC, replay(SPEC, story), sample_s=0)
        later = replace(found, now_ns=found.now_ns + 3600 * 10**9)
        rules = [finding.rule for finding in explain(later).findings]
        assert ("python_buffered" in rules) == is_said


def test_outputs_that_are_there_do_not_end_a_run(folder: RunFolder, work: Path) -> None:
    """Seed 002: the file exists, and the run goes on."""
    story = _story(os.getpid(), work)
    _write(folder, story)
    for path in ("outputs/model.txt", "output/old.txt", "output/data.txt", "report.json"):
        (work / path).parent.mkdir(exist_ok=True)
        (work / path).write_text("weights")
    os.utime(work / "output" / "old.txt", ns=(1, 1))
    (work / "output" / "link").symlink_to("/etc/passwd")
    declared = (Output("output/"), Output("report.json"), Output("missing"))
    spec = SPEC._replace(outputs=declared)
    found = gather(folder, spec, replay(spec, story), sample_s=0)
    assert {output.path for output in found.written} == {
        "outputs/model.txt", "output/data.txt", "report.json",
    }  # fmt: skip
    (finding,) = [item for item in explain(found).findings if item.rule == "outputs_so_far"]
    assert "3 outputs already" in finding.claim


def test_a_command_that_does_not_exist_gets_its_neighbours(
    folder: RunFolder, tmp_path: Path
) -> None:
    for name in ("python", "pythonw", "ls"):
        (tmp_path / name).touch()
    spec = SPEC._replace(command=("pyhton", "x.py"), variables={"PATH": str(tmp_path)})
    story = [*_story(os.getpid(), tmp_path)[:3], ev.StartFailed(9, 1, "no_command", "no command")]
    _write(folder, story)
    state = replay(spec, story)._replace(status="Failed", cause="start_failed")
    assert set(gather(folder, spec, state).near_commands) == {"python", "pythonw"}


def test_the_queue_is_told_as_the_scheduler_tells_it() -> None:
    from outlast.scheduler.queue import Queue, Waiting
    from outlast.scheduler.slots import Held, Slots, Totals

    wants = SPEC.resources._replace(gpus=2)
    queue = Queue(Slots(Totals(8, 64 * 10**9, (0, 1))))
    queue.at_work("other", "default", Held(1, 0, (0,)))
    queue.add(Waiting(RUN, "default", wants, 1))
    facts = queue.explain(RUN, 0)
    assert facts is not None
    place = QueuePlace.of(facts)
    evidence = Evidence(9, SPEC, RunState(status="Queued"), queue=place)
    assert explain(evidence).findings[0].claim == "It waits for 2 GPUs (1 of 2 free)."
    assert QueuePlace.from_dict(place.to_dict()) == place


def test_processes_of_another_boot_are_not_looked_for(folder: RunFolder, work: Path) -> None:
    stat = read_stat(os.getpid())
    assert stat is not None
    here = Identity(os.getpid(), stat.start_ticks, boot_id())
    state = RunState(status="Running", main=here._replace(boot_id="another"), supervisor=here)
    assert gather(folder, SPEC, state).processes == ()


def test_nothing_but_the_sample_takes_time(folder: RunFolder, work: Path) -> None:
    """A long output, many files, many events: still one look."""
    story = _story(os.getpid(), work)
    _write(folder, [*story, *(ev.Warned(n, 1, "x", "y" * 100) for n in range(5000))])
    Path(folder.file(names.OUTPUT)).write_bytes(b"x" * 10_000_000)
    found = gather(folder, SPEC, replay(SPEC, story), sample_s=0)
    assert len(found.story) <= 2000
    assert len(found.output_tail) == 64 << 10
    assert found.output_size == 10_000_000
    assert replace(found, now_ns=0).lines == ()  # one endless line, of which only the end is known
