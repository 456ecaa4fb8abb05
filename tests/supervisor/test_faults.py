"""Full disks, memory that runs out, and kills at every step of the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.run import events as ev
from tests.supervisor.conftest import MAIN, PYTHON, Run

MEMORY = Path("/sys/fs/cgroup/memory")
HOG = "import sys, time\nb = b'a' * (400 << 20)\nprint(len(b), flush=True)\ntime.sleep(600)"

FILLER = """
cat /dev/zero >{} 2>/dev/null
echo full >told
while [ ! -e gate ]; do sleep 0.02; done
exit 5
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Run]:
    """A run whose folder lies on a disk of 1 MB."""
    home = tmp_path / "small"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk: mounting a tmpfs needs root")
    run = Run(home)
    # So long a name that what is told at the start fills a page of the disk nearly: what comes
    # later needs another, and there is none.
    run.working = tmp_path.joinpath(*["d" * 199] * 17)
    run.working = run.working / ("e" * (3560 - len(str(run.working))))
    run.working.mkdir(parents=True)
    yield run
    run.close()
    subprocess.run(["umount", "-l", str(home)], check=True)


@pytest.mark.root
def test_the_end_has_room_on_a_full_disk(small: Run) -> None:
    small.shell(FILLER.format(small.path / "fill"))
    small.wait(ev.Started)
    until_full(small)
    (small.working / "gate").touch()
    assert small.ended().cause == "exit_code"
    assert small.wait(ev.Exited).code == 5
    assert os.statvfs(small.path).f_bavail < 16  # pages, of what was given back
    for name in ("events", "output"):
        found = (small.path / name).stat()
        assert found.st_blocks * 512 < found.st_size + 4096
    assert not list(small.path.glob("*.making"))


@pytest.mark.root
def test_a_full_disk_without_that_room_delays_the_end_and_loses_nothing(small: Run) -> None:
    fill = small.path / "fill"
    small.shell(FILLER.format(fill))
    small.wait(ev.Started)
    until_full(small)
    take_room(small, fill)
    assert small.ask(op="status")["stage"] == "running"
    (small.working / "gate").touch()
    main = small.wait(ev.Started).pid
    # Its exit can't be written, so it isn't reaped: whoever takes over would still learn it.
    stage = ""
    while stage != "outputs":
        stage = small.ask(op="status")["stage"]
    assert "exited" not in small.kinds()
    assert Path(f"/proc/{main}/stat").read_text().split()[2] == "Z"
    fill.unlink()
    ended = small.ended()
    assert small.wait(ev.Exited).code == 5
    assert ended.cause == "exit_code"
    # Any process that is killed for memory meanwhile, as by another test, is a warning, too.
    told = [kind for kind in small.kinds() if kind != "warned"]
    assert told == ["supervised", "started", "exited", "tree_ended", "ended"]
    assert "disk_full" in [warned.code for warned in small.of(ev.Warned)]


def until_full(run: Run) -> None:
    from outlast.journal.watch import Watcher

    with Watcher() as watcher:
        watcher.add(str(run.working))
        for _ in range(200):
            if (run.working / "told").exists():
                return
            watcher.wait(0.1)
    pytest.fail("the disk doesn't fill")


def take_room(run: Run, fill: Path) -> None:
    """Also what was set aside is full."""
    (run.path / "end.json.making").unlink()
    for name in ("events", "output"):
        os.truncate(run.path / name, (run.path / name).stat().st_size)
    with fill.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x")


@pytest.mark.root
def test_a_full_disk_and_a_killed_supervisor_together(small: Run) -> None:
    fill = small.path / "fill"
    small.shell(FILLER.format(fill))
    small.wait(ev.Started)
    until_full(small)
    take_room(small, fill)
    (small.working / "gate").touch()
    while small.ask(op="status")["stage"] != "outputs":
        pass
    os.kill(small.supervisor, 9)
    fill.unlink()
    ended = small.ended()
    assert small.wait(ev.Exited).code == 5
    assert ended.cause == "exit_code"


def test_a_folder_that_vanishes_ends_the_supervisor(run: Run) -> None:
    run.start(["sleep", "600"])
    pid = run.wait(ev.Started).pid
    run.ask(op="status")
    shutil.rmtree(run.path)
    os.kill(pid, 9)
    assert run.supervisors[0].wait(20) == 0


def test_the_memory_limit_ends_the_run(run: Run) -> None:
    ended = run.limits(memory_bytes=64 << 20).python(HOG).ended()
    assert (ended.outcome, ended.cause) == ("failed", "memory")
    limit = run.wait(ev.LimitReached)
    assert (limit.limit, limit.allowed) == ("memory_bytes", 64 << 20)
    assert limit.observed > 32 << 20
    assert not list(MEMORY.rglob("outlast-run1-1")) if MEMORY.exists() else True


def test_the_memory_limit_counts_the_whole_tree(run: Run) -> None:
    hog = "b = b'a' * (40 << 20); import time; time.sleep(600)"
    script = f"""
import subprocess, time
for _ in range(4):
    subprocess.Popen([{PYTHON!r}, '-c', {hog!r}])
time.sleep(600)
"""
    ended = run.limits(memory_bytes=100 << 20).python(script).ended()
    assert ended.cause == "memory"
    assert run.members() == []


def test_without_a_cgroup_the_resident_memory_is_added_up(run: Run) -> None:
    run.limits(memory_bytes=64 << 20)
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: a failing mkdir can't be injected")
    run.write([PYTHON, "-c", HOG])
    command = [strace, "-qq", "-f", "-o", "/dev/null", "-e", "trace=mkdir"]
    command += ["-e", "inject=mkdir:error=EACCES"]
    command += [PYTHON, "-I", "-S", MAIN, str(run.path), "--attempt", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace can't trace here: {done.stderr}")
    limit = run.wait(ev.LimitReached)
    assert limit.observed > 64 << 20
    assert run.ended().cause == "memory"


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Path]:
    group = MEMORY / f"test-{os.getpid()}"  # nobody's own limit
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no memory cgroup of version 1 can be made: {error}")
    yield group
    group.rmdir()


@pytest.mark.root
def test_the_kernels_oom_killer_is_named(run: Run, cgroup: Path) -> None:
    join = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n"
    ended = run.python(join + HOG).ended()
    assert run.wait(ev.Exited).signal == 9
    assert (ended.outcome, ended.cause) == ("failed", "memory")
    assert "out-of-memory" in ended.message
    assert ended.facts["oom"]["source"] in ("kernel_log", "cgroup", "machine")
    assert ended.facts["oom"]["text"]


@pytest.mark.root
def test_a_child_that_the_oom_killer_ended_is_told(run: Run, cgroup: Path) -> None:
    join = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n"
    call = f"subprocess.call([sys.executable, '-c', {join + HOG!r}])"
    script = f"import subprocess, sys; sys.exit({call} != 0)"
    ended = run.python(script).ended()
    assert ended.cause == "exit_code"
    assert "oom" in [warned.code for warned in run.of(ev.Warned)]


# --- kills at every step ---


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename", "unlink"])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_killed_at_any_step_the_outcome_is_true_or_lost(run: Run, call: str, when: int) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: a kill at an exact system call can't be injected")
    run.write(["/bin/sh", "-c", "mkdir outputs; echo x >outputs/a; exit 5"])
    traced = run.working / "traced"
    inject = [strace, "-f", "-o", str(traced), "-e", f"trace={call}"]
    inject += ["-e", f"inject={call}:signal=KILL:when={when}"]
    command = [*inject, PYTHON, "-I", "-S", MAIN, str(run.path), "--attempt", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace can't trace here: {done.stderr}")
    assert when > 1 or "killed by SIGKILL" in traced.read_text()
    for _ in range(3):
        if (run.path / "end.json").exists():
            break
        run.supervise("--mode", "adopt").wait(20)
    ended = run.of(ev.Ended)
    assert {event.cause for event in ended} <= {"exit_code", "lost"}
    exited = run.of(ev.Exited)
    assert exited
    if exited[0].code is not None:
        assert {event.cause for event in ended} == {"exit_code"}
        assert {event.code for event in exited} == {5}
    is_begun = (call, when) != ("rename", 1)  # that one gives its socket the name
    assert len(run.of(ev.Started)) == is_begun
