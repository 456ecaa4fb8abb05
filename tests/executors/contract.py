"""What every executor promises, as tests: subclass `ExecutorContract` and give the fixtures.

Real supervisors of real processes; nothing sleeps: the journals say when something has happened.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Unreachable
from outlast.executors.executor import ALIVE, GONE, REBOOTED, Executor
from outlast.journal.cursor import Cursor
from outlast.journal.watch import Watcher
from outlast.process import Identity
from outlast.run.folder import END, EVENTS, LAUNCH, LEASE, OUTPUT, SPEC, SUPERVISOR_LOG, RunFolder
from outlast.run.spec import RunSpec, Source

WAIT_S = 20.0


def new_run(
    runs: Path, command: list[str], *, kit: str, run_id: str = "run1", **spec: Any
) -> RunFolder:
    """A folder that is ready to be launched."""
    folder = RunFolder(str(runs / run_id))
    runs.joinpath(run_id).mkdir(mode=0o700)
    work = runs.parent / "work"
    work.mkdir(exist_ok=True)
    spec = {"id": run_id, "command": command, "source": Source("in_place", str(work)), **spec}
    Path(folder.file(SPEC)).write_text(json.dumps(RunSpec.from_dict(spec).to_dict()))
    write_launch(folder, 1, command, kit)
    return folder


def write_launch(
    folder: RunFolder, attempt: int, command: list[str], kit: str, **environ: str
) -> None:
    launch = {
        "attempt": attempt,
        "command": command,
        "environ": {"PATH": os.environ["PATH"], **environ},
        "folder": str(Path(folder.path).parents[1] / "work"),
        "gpus": [],
        "kit": kit,
    }
    Path(folder.file(LAUNCH)).write_text(json.dumps(launch))


def wait_event(folder: RunFolder, kind: str, attempt: int = 1) -> Mapping[str, Any]:
    """The first event of this kind; fails when it doesn't come."""
    until_s = time.monotonic() + WAIT_S
    told = []
    with Watcher() as watcher, Cursor(folder.file(EVENTS)) as cursor:
        watcher.add(folder.path)
        while True:
            for record in cursor.read_records().records:
                told.append(record["k"])
                if record["k"] == kind and record.get("attempt", attempt) == attempt:
                    return record
            left_s = until_s - time.monotonic()
            log = Path(folder.file(SUPERVISOR_LOG))
            assert left_s > 0, f"no {kind}: {told}, {log.read_text() if log.exists() else ''}"
            watcher.wait(min(left_s, 1.0))


def wait_gone(identity: Identity) -> None:
    """Until this very process is dead."""
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if identity.is_alive():
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(WAIT_S * 1000), f"{identity} doesn't end"
    finally:
        os.close(fd)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


PAUSE = "import signal; signal.pause()"
# Says that it is ready by its output, then ignores every polite request to end.
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
    "while True: signal.pause()"
)


class ExecutorContract:
    """The fixtures to give: `executor`, `runs` (a folder for run folders) and `kit`."""

    @pytest.fixture
    def folder_of(
        self, runs: Path, kit: str, executor: Executor
    ) -> Iterator[Callable[..., RunFolder]]:
        """Makes run folders, and ends whatever is left of their runs."""
        made: list[RunFolder] = []

        def make(command: list[str], **more: Any) -> RunFolder:
            made.append(new_run(runs, command, kit=kit, **more))
            return made[-1]

        yield make
        for folder in made:
            for pid in executor.remains(folder):
                os.kill(pid, signal.SIGKILL)
            while (found := executor.poll(folder, None).supervisor) is not None:
                os.kill(found.pid, signal.SIGKILL)
                executor.reap()
        executor.reap()

    def test_a_launched_run_comes_to_its_end(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python("print('hello')"))
        supervisor = executor.launch(folder, 1)
        assert wait_event(folder, "ended")["outcome"] == "completed"
        assert Path(folder.file(OUTPUT)).read_text() == "hello\n"
        wait_gone(supervisor)
        assert executor.poll(folder, supervisor).found == GONE
        assert Path(folder.file(SUPERVISOR_LOG)).read_text() == ""

    def test_a_live_supervisor_is_seen_by_name_and_without(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(PAUSE))
        supervisor = executor.launch(folder, 1)
        assert executor.poll(folder, supervisor).found == ALIVE
        wait_event(folder, "started")
        sight = executor.poll(folder, None)
        assert sight.found == ALIVE
        assert sight.heartbeat_ns == Path(folder.file(LEASE)).stat().st_mtime_ns
        assert len(executor.remains(folder)) == 1
        assert "alive" in executor.explain(folder, supervisor)

    def test_a_supervisor_of_another_boot_is_no_more(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(PAUSE))
        me = Identity.of(os.getpid())
        assert me is not None
        before = me._replace(boot_id="another")
        assert executor.poll(folder, before).found == REBOOTED
        assert "started anew" in executor.explain(folder, before)

    def test_a_used_pid_is_not_the_supervisor(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(PAUSE))
        me = Identity.of(os.getpid())
        assert me is not None
        other = me._replace(start_ticks=me.start_ticks - 1)
        assert executor.poll(folder, other).found == GONE

    def test_stop_ends_the_run_as_canceled(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(PAUSE))
        executor.launch(folder, 1)
        wait_event(folder, "started")
        assert executor.stop(folder, "cancel")
        assert wait_event(folder, "ended")["outcome"] == "canceled"
        assert executor.remains(folder) == []

    def test_a_stop_that_nobody_takes_is_not_done(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(PAUSE))
        assert not executor.stop(folder, "cancel")

    def test_force_leaves_out_the_grace(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(STUBBORN), limits={"stop_grace_s": 600})
        executor.launch(folder, 1)
        wait_output(folder, b"ready")
        assert executor.stop(folder, "cancel")
        wait_event(folder, "stopping")
        assert executor.stop(folder, "cancel", force=True)
        assert wait_event(folder, "ended")["outcome"] == "canceled"

    def test_force_ends_a_run_whose_supervisors_are_gone(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python(STUBBORN))
        executor.launch(folder, 1)
        wait_output(folder, b"ready")
        self.kill_supervisors(executor, folder)
        assert len(executor.remains(folder)) == 1
        assert not executor.stop(folder, "cancel")
        assert executor.stop(folder, "cancel", force=True)
        assert executor.remains(folder) == []

    def test_a_new_supervisor_takes_over_what_a_killed_one_left(
        self, executor: Executor, folder_of: Callable[..., RunFolder]
    ) -> None:
        folder = folder_of(python("import sys; sys.stdin.read(); import time; time.sleep(1)"))
        executor.launch(folder, 1)
        wait_event(folder, "started")
        self.kill_supervisors(executor, folder)
        supervisor = executor.launch(folder, 1, mode="adopt")
        ended = wait_event(folder, "ended")
        wait_gone(supervisor)
        assert Path(folder.file(END)).exists()
        # Where the kernel tells the exit status of another's child, it is known; else it is lost.
        assert (ended["outcome"], ended["cause"]) in (("completed", ""), ("failed", "lost"))

    def test_a_job_inherits_nothing_from_who_launched_it(
        self,
        executor: Executor,
        folder_of: Callable[..., RunFolder],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("CANARY_SECRET", "s3cret")
        secret = os.open(__file__, os.O_RDONLY)
        os.set_inheritable(secret, True)
        code = (
            "import os, json\n"
            "print(json.dumps({'env': dict(os.environ), 'sid': os.getsid(0),"
            " 'fds': sorted(os.listdir('/proc/self/fd'), key=int)[:-1]}))"
        )
        folder = folder_of(python(code))
        try:
            supervisor = executor.launch(folder, 1)
            environ = Path(f"/proc/{supervisor.pid}/environ").read_bytes()
            wait_event(folder, "ended")
        finally:
            os.close(secret)
        seen = json.loads(Path(folder.file(OUTPUT)).read_text())
        assert b"s3cret" not in environ
        assert "CANARY_SECRET" not in seen["env"]
        assert seen["env"]["OUTLAST_RUN"] == folder.path
        assert "OUTLAST_DETACHED" not in seen["env"]
        assert seen["fds"] == ["0", "1", "2"]
        assert seen["sid"] != os.getsid(0)

    def test_a_folder_that_is_gone_is_unreachable(self, executor: Executor, runs: Path) -> None:
        with pytest.raises(Unreachable):
            executor.launch(RunFolder(str(runs / "nobody")), 1)

    def kill_supervisors(self, executor: Executor, folder: RunFolder) -> None:
        """Both of them, the keeper first, so that none takes over."""
        while (found := executor.poll(folder, None).supervisor) is not None:
            os.kill(found.pid, signal.SIGKILL)
            wait_dead(found)
            executor.reap()


def wait_dead(identity: Identity) -> None:
    """Dead, be it as a zombie."""
    wait_gone(identity)
    assert not identity.is_alive()


def wait_output(folder: RunFolder, text: bytes) -> None:
    """Until the job has printed this."""
    until_s = time.monotonic() + WAIT_S
    with Watcher() as watcher:
        watcher.add(folder.path)
        path = Path(folder.file(OUTPUT))
        while not (path.exists() and text in path.read_bytes()):
            assert time.monotonic() < until_s, f"no output {text!r}"
            watcher.wait(1.0)
