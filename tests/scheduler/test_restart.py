"""The server stops, is killed, or comes back to something else: no run is told wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.journal.line import pack
from outlast.process import boot_id, read_stat
from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.events import from_record, to_record
from outlast.run.folder import DECISIONS, EVENTS, LAUNCH, OUTPUT, SPEC
from outlast.run.spec import RunSpec
from outlast.scheduler import lease
from outlast.store import reading
from outlast.store import runs as store_runs
from outlast.store.database import Database
from tests.executors.contract import wait_dead
from tests.scheduler.test_storing import WRITES
from tests.scheduler.workspace import (
    PAUSE,
    Workspace,
    kill_supervisors,
    python,
    run,
    supervisors,
    wait_over,
    wait_state,
    wait_status,
    wait_until,
)

GATED = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('went')"


def parent_of(pid: int) -> int:
    stat = read_stat(pid)
    assert stat is not None
    return stat.parent


def reap_children() -> None:
    """What was started by a scheduler of this process that is closed."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


# --- a planned restart ---


def test_a_run_goes_on_while_no_server_is_there(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, GATED)
            await wait_status(scheduler, run_id, runs.RUNNING)
        pids = supervisors(workspace, run_id)
        assert len(pids) == 2
        async with workspace.running() as scheduler:
            state = await wait_status(scheduler, run_id, runs.RUNNING)
            assert supervisors(workspace, run_id) == pids
            await wait_until(lambda: scheduler.queue_view()["slots"]["free"]["cpus"] == 7.0)
            (workspace.work / "go").touch()
            state = await wait_over(scheduler, run_id)
            assert state.status == runs.COMPLETED
            assert scheduler.queue_view()["slots"]["free"]["cpus"] == 8.0

    run(story())


@pytest.mark.each_database
def test_a_run_that_ended_meanwhile_is_stored_and_completed(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, GATED + "\n" + WRITES)
            await wait_status(scheduler, run_id, runs.RUNNING)
        (workspace.work / "go").touch()
        await wait_until(lambda: not supervisors(workspace, run_id))
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.is_committed) == (runs.COMPLETED, True)

    run(story())


def test_a_queued_run_keeps_its_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", cpus=1.0)

    async def story() -> None:
        async with workspace.running() as scheduler:
            first = await workspace.submit(scheduler, GATED)
            rest = [
                await workspace.submit(scheduler, "import time; print(time.time_ns())")
                for _ in "ab"
            ]
            await wait_status(scheduler, first, runs.RUNNING)
        async with workspace.running() as scheduler:
            await wait_until(lambda: len(scheduler.queue_view()["queue"]) == 2)
            (workspace.work / "go").touch()
            for run_id in rest:
                assert (await wait_over(scheduler, run_id)).status == runs.COMPLETED
            times = [int(workspace.text(run_id, OUTPUT)) for run_id in rest]
            assert times == sorted(times)

    try:
        run(story())
    finally:
        workspace.kill_everything()


def test_a_cancel_that_nobody_could_carry_out_is_carried_out_later(workspace: Workspace) -> None:
    """The decision was written, the server died before it told the supervisor."""

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            await wait_status(scheduler, run_id, runs.RUNNING)
        append(workspace, run_id, ev.CancelRequested(time.time_ns(), "ada"))
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert state.status == runs.CANCELED

    run(story())


def append(workspace: Workspace, run_id: str, *events: ev.Event) -> None:
    """Decisions as a server would have written them that was killed right after."""
    seen = Path(workspace.folder(run_id).file(EVENTS))
    offset = seen.stat().st_size if seen.exists() else 0
    with Path(workspace.folder(run_id).file(DECISIONS)).open("ab") as file:
        for event in events:
            file.write(pack({**to_record(event), "seen": offset}))


# --- killed between the record and the deed ---


def make_run(workspace: Workspace, code: str, *events: ev.Event, **spec: Any) -> str:
    """A run as a killed server leaves it after these decisions."""
    folder = workspace.folder("run1")
    Path(folder.path).mkdir(parents=True, mode=0o700)
    command = python(code)
    made = RunSpec.from_dict({"id": "run1", "command": command, "created_ns": 1, **spec})
    Path(folder.file(SPEC)).write_text(json.dumps(made.to_dict()))
    Path(folder.file(LAUNCH)).write_text(json.dumps(workspace.launch(command)))
    append(workspace, "run1", *events)
    return "run1"


T = 1_700_000_000_000_000_000
DISPATCHED = ev.Dispatched(T, 1, "local", 1.0, 0, ())


@pytest.mark.each_database
@pytest.mark.parametrize(
    "events",
    [
        (ev.Created(T),),
        (ev.Created(T), ev.Queued(T)),
        (ev.Created(T), ev.Queued(T), DISPATCHED),
    ],
    ids=["created", "queued", "dispatched"],
)
def test_a_run_is_started_by_the_next_server_wherever_it_stood(
    workspace: Workspace, events: tuple[ev.Event, ...]
) -> None:
    run_id = make_run(workspace, "print('once')", *events)

    async def story() -> None:
        async with workspace.running() as scheduler:
            assert (await wait_over(scheduler, run_id)).status == runs.COMPLETED
            assert workspace.text(run_id, OUTPUT) == "once\n"

    run(story())


@pytest.mark.each_database
def test_a_supervisor_that_was_launched_but_not_recorded_is_found(workspace: Workspace) -> None:
    """Killed between the launch and its record: the command must not run twice."""

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "print('once')\n" + GATED)
            await wait_status(scheduler, run_id, runs.RUNNING)
        cut(workspace, run_id, DECISIONS, "launched")
        workspace.forget_index()
        told = workspace.swap(run_id, EVENTS, b"")  # as if its first word were still to come
        async with workspace.running() as scheduler:
            state = await wait_state(scheduler, run_id, lambda s: s.supervisor is not None)
            assert state.supervisor is not None
            assert state.supervisor.pid in supervisors(workspace, run_id)
            workspace.swap(run_id, EVENTS, told)
            (workspace.work / "go").touch()
            assert (await wait_over(scheduler, run_id)).status == runs.COMPLETED
            assert workspace.text(run_id, OUTPUT) == "once\nwent\n"

    run(story())


def cut(workspace: Workspace, run_id: str, journal: str, kind: str) -> None:
    """Take the records from this kind on off the journal."""
    path = Path(workspace.folder(run_id).file(journal))
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["k"] != kind]
    path.write_bytes(b"".join(kept))


def test_a_retry_that_was_due_is_made(workspace: Workspace) -> None:
    """Killed after the failure was read, before `retrying` was decided."""
    policy = {"max_attempts": 2, "retry_exit_codes": [7], "retry_delay_s": 0.05}
    code = "import os; raise SystemExit(7 if os.environ['OUTLAST_ATTEMPT'] == '1' else 0)"

    async def story() -> None:
        async with workspace.running() as scheduler:
            gate = await workspace.submit(scheduler, GATED)
            run_id = await workspace.submit(scheduler, GATED + "\n" + code, policy=policy)
            await wait_status(scheduler, run_id, runs.RUNNING)
        (workspace.work / "go").touch()
        await wait_until(lambda: not supervisors(workspace, run_id))
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.attempt) == (runs.COMPLETED, 2)
            await wait_over(scheduler, gate)

    run(story())


# --- supervisors that died ---


def test_a_killed_supervisor_is_replaced_and_the_end_is_told(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, GATED)
            await wait_status(scheduler, run_id, runs.RUNNING)
            kill_supervisors(workspace, run_id)
            await wait_state(scheduler, run_id, lambda s: s.is_orphaned)
            (workspace.work / "go").touch()
            state = await wait_over(scheduler, run_id)
            # Newer kernels tell the exit status of another's child; else nobody can.
            assert (state.status, state.cause) in ((runs.COMPLETED, ""), (runs.FAILED, "lost"))
            assert any(code == "orphaned" for code, _ in state.warnings)

    run(story())


def test_a_run_that_vanished_without_a_word_is_lost(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            state = await wait_status(scheduler, run_id, runs.RUNNING)
        assert state.main is not None
        kill_supervisors(workspace, run_id)
        os.kill(state.main.pid, signal.SIGKILL)
        wait_dead(state.main)
        reap_children()
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "lost")
            assert state.facts["evidence"] == "process_gone"

    run(story())


def test_after_a_reboot_a_run_is_lost_at_once(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            await wait_status(scheduler, run_id, runs.RUNNING)
        workspace.kill_everything()
        reap_children()
        for journal in (EVENTS, DECISIONS):
            rewrite_boot(workspace, run_id, journal)
        workspace.forget_index()
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert (state.cause, state.facts["evidence"]) == ("lost", "rebooted")
            assert "started anew" in state.message

    run(story())


def rewrite_boot(workspace: Workspace, run_id: str, journal: str) -> None:
    """As if all of it had been written in another boot; records keep their length."""
    path = Path(workspace.folder(run_id).file(journal))
    lines = []
    for line in path.read_bytes().splitlines():
        record = json.loads(line)
        record.pop("crc")
        if "boot_id" in record:
            record["boot_id"] = "f" * len(boot_id())
        lines.append(pack(record))
    path.write_bytes(b"".join(lines))


def test_a_lost_run_is_tried_again_when_its_policy_says_so(workspace: Workspace) -> None:
    policy = {"max_attempts": 2, "retry_on": ["lost"], "retry_delay_s": 0.05}
    code = "import os, signal\nif os.environ['OUTLAST_ATTEMPT'] == '1': signal.pause()"

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, code, policy=policy)
            state = await wait_status(scheduler, run_id, runs.RUNNING)
        assert state.main is not None
        kill_supervisors(workspace, run_id)
        os.kill(state.main.pid, signal.SIGKILL)
        wait_dead(state.main)
        reap_children()
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.attempt) == (runs.COMPLETED, 2)

    run(story())


def test_a_next_attempt_waits_for_the_processes_of_the_one_before(workspace: Workspace) -> None:
    """On a busy machine they leave later than the next attempt is due: that fails no attempt."""
    code = GATED + "\nraise SystemExit(0 if os.environ['OUTLAST_ATTEMPT'] == '2' else 7)"
    policy = {"max_attempts": 3, "retry_on": ["failed"], "retry_delay_s": 0.05}

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, code, policy=policy)
            await wait_status(scheduler, run_id, runs.RUNNING)
            pids = supervisors(workspace, run_id)
            keeper = next(pid for pid in pids if parent_of(pid) not in pids)
            os.kill(keeper, signal.SIGSTOP)
            try:
                (workspace.work / "go").touch()
                state = await wait_state(
                    scheduler, run_id, lambda s: s.attempt == 2 and s.supervisor is not None
                )
                assert state.supervisor is not None
                waiting = f"-> FLOCK  ADVISORY  WRITE {state.supervisor.pid} "
                await wait_until(lambda: waiting in Path("/proc/locks").read_text())
            finally:
                os.kill(keeper, signal.SIGCONT)
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.attempt) == (runs.COMPLETED, 2)

    run(story())


def test_a_supervisor_that_cannot_start_fails_the_launch_with_its_words(
    workspace: Workspace,
) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            for kit in (Path(workspace.settings.home) / "kit").iterdir():
                (kit / "outlast" / "supervisor" / "__main__.py").write_text("raise OSError('bang')")
            run_id = await workspace.submit(scheduler, "pass")
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "launch_failed")
            assert "OSError: bang" in state.message

    run(story())


def test_a_removed_folder_ends_the_run_as_lost(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            await wait_status(scheduler, run_id, runs.RUNNING)
            workspace.kill_everything()
            shutil.rmtree(workspace.folder(run_id).path)
            state = await wait_over(scheduler, run_id)
            assert state.cause == "lost"
            assert state.facts["evidence"] in ("folder_gone", "process_gone")
        async with workspace.running() as scheduler:
            state_then = await scheduler.state(run_id)
            assert state_then is not None
            assert state_then.cause == "lost"

    run(story())


@pytest.mark.each_database
def test_a_folder_removed_while_no_server_ran_is_found_missing(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            started = await wait_status(scheduler, run_id, runs.RUNNING)
        workspace.kill_everything()
        reap_children()
        shutil.rmtree(workspace.folder(run_id).path)
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, run_id)
            assert state.cause == "lost"
            assert state.started_ns == started.started_ns  # what was known is still known

    run(story())


def test_a_stopped_supervisor_is_told_and_comes_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SILENT_S", 0.5)
    monkeypatch.setattr(lease, "TICK_S", 0.1)

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, GATED)
            await wait_status(scheduler, run_id, runs.RUNNING)
            # Heartbeats come every 5 s: seen as silent, and heard again.
            await wait_status(scheduler, run_id, runs.NOT_RESPONDING)
            await wait_status(scheduler, run_id, runs.RUNNING)
            await wait_status(scheduler, run_id, runs.NOT_RESPONDING)
            (workspace.work / "go").touch()
            assert (await wait_over(scheduler, run_id)).status == runs.COMPLETED

    run(story())


# --- kill -9 of the server, again and again ---


@pytest.mark.longest
@pytest.mark.each_database
@pytest.mark.slow
@pytest.mark.timeout(400)  # it starts 24 servers
def test_killed_at_any_moment_every_run_is_started_once_and_told_right(
    workspace: Workspace, servers: subprocess.Popen[str]
) -> None:
    """A server in a child process is killed at growing delays, counted from the request or from its
    answer; at the end the index is compared with the folders, and each run has printed its line
    exactly once."""
    expected: dict[str, tuple[str, int]] = {}
    for number in range(24):
        delay_ms = 4 * (number // 2)
        code = number % 3  # 0 works, 1 fails, 2 writes an output
        name = f"k{number}"
        script = f"print({name!r}, flush=True)\n"
        script += {0: "pass", 1: "raise SystemExit(4)", 2: WRITES}[code]
        is_taken = serve_and_kill(
            servers, workspace, name, script, delay_ms, after_answer=number % 2 == 1
        )
        if is_taken:
            expected[name] = (runs.FAILED, 4) if code == 1 else (runs.COMPLETED, 0)

    async def story() -> None:
        async with workspace.running() as scheduler:
            for name, (status, exit_code) in expected.items():
                state = await wait_over(scheduler, name)
                assert (state.status, state.exit_code) == (status, exit_code), (name, state)
                assert workspace.text(name, OUTPUT) == f"{name}\n"
            for name in workspace.names():
                await wait_over(scheduler, name)

    assert len(expected) > 10
    run(story())
    compare_index_with_folders(workspace)


# A server in a process of its own for each line that it is told, forked where all is imported.
SERVERS = """
import asyncio, json, os, sys
from pathlib import Path
from tests.scheduler.workspace import Workspace

async def serve(home, database_url, name, script):
    workspace = Workspace(Path(home), database_url=database_url)
    # Runs that wrote into one folder would change what the other is collecting.
    workspace.work = workspace.work / name
    workspace.work.mkdir()
    async with workspace.running() as scheduler:
        print("ready", os.getpid(), flush=True)
        await workspace.submit(scheduler, script, id=name)
        print("taken", flush=True)
        await asyncio.sleep(60)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        asyncio.run(serve(*json.loads(line)))
        os._exit(1)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


@pytest.fixture
def servers() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],  # from where `tests` is imported
    ) as servers:  # fmt: skip
        yield servers


def serve_and_kill(
    servers: subprocess.Popen[str],
    workspace: Workspace,
    name: str,
    script: str,
    delay_ms: int,
    *,
    after_answer: bool,
) -> bool:
    """Start a server, submit, kill it after the delay; was the submit answered?"""
    assert servers.stdin is not None
    assert servers.stdout is not None
    asked = [str(workspace.home), workspace.settings.database_url, name, script]
    print(json.dumps(asked), file=servers.stdin, flush=True)
    ready, pid = servers.stdout.readline().split()
    assert ready == "ready"
    said = [servers.stdout.readline()] if after_answer else []
    time.sleep(delay_ms / 1000)  # the moment of the kill is what the test varies
    os.kill(int(pid), signal.SIGKILL)
    while "ended\n" not in said:
        said.append(servers.stdout.readline())
    return said == ["taken\n", "ended\n"]


def compare_index_with_folders(workspace: Workspace) -> None:
    """Each state in the index is what the folder's journals say."""
    database = Database.open(workspace.settings.database)
    try:
        with database.read() as connection:
            for name in workspace.names():
                _, indexed = store_runs.state_of(connection, name)
                assert replayed(workspace, name) == indexed
                assert store_runs.oddities_of(connection, name) == []
    finally:
        database.close()


def replayed(workspace: Workspace, run_id: str) -> runs.RunState:
    folder = workspace.folder(run_id)
    chunks = [reading.read(folder, name, 0, 1 << 24) for name in (EVENTS, DECISIONS)]
    told, _ = reading.merged(chunks[0], chunks[1])
    story = [event for one in told if (event := from_record(one.record)) is not None]
    return runs.RunState.from_dict(
        json.loads(json.dumps(runs.replay(reading.load_spec(folder), story).to_dict()))
    )
