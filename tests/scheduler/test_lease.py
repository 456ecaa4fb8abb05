"""Leases: a death is told at once; silence is counted on this server's own awake time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.process import Identity
from outlast.run.folder import RunFolder
from outlast.scheduler.lease import LOST_AFTER_S, SILENT_S, TICK_S, AwakeClock, Leases
from tests.scheduler.workspace import run


class FakeClock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Told:
    """Notes what the leases tell."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []
        self.gone = asyncio.Event()

    def on_supervisor_gone(self, run_id: str) -> None:
        self.words.append(("gone", run_id))
        self.gone.set()

    def on_silent(self, run_id: str, last_heartbeat_ns: int) -> None:
        self.words.append(("silent", run_id, str(last_heartbeat_ns)))

    def on_heard(self, run_id: str) -> None:
        self.words.append(("heard", run_id))

    def on_silent_too_long(self, run_id: str) -> None:
        self.words.append(("too long", run_id))


class Watching:
    """Leases on a fake clock, with one live supervisor."""

    def __init__(self, folder: Path, pid: int, *, is_silent: bool = False) -> None:
        self.time = FakeClock()
        self.told = Told()
        self.leases = Leases(self.told, clock=AwakeClock(now_s=self.time))
        supervisor = Identity.of(pid)
        assert supervisor is not None
        self.leases.watch(RunFolder(str(folder / "r")), supervisor, is_silent=is_silent)

    def tick(self, beat_ns: int, after_s: float = TICK_S) -> list[tuple[str, ...]]:
        """What is told when this heartbeat is seen."""
        self.time.now_s += after_s
        self.told.words.clear()
        self.leases.tick({"r": beat_ns})
        return list(self.told.words)

    def quiet_for(self, seconds: float, beat_ns: int) -> list[tuple[str, ...]]:
        words = []
        for _ in range(int(seconds / TICK_S)):
            words += self.tick(beat_ns)
        return words


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def test_silence_is_told_once_and_so_is_the_return(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid)
        assert watching.tick(1) == []
        assert watching.quiet_for(SILENT_S, 1) == []
        assert watching.quiet_for(2 * TICK_S, 1) == [("silent", "r", "1")]
        assert watching.quiet_for(SILENT_S, 1) == []
        assert watching.tick(2) == [("heard", "r")]
        assert watching.tick(2) == []
        watching.leases.close()

    run(story())


def test_a_server_that_stood_still_takes_nobody_for_silent(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """SIGSTOP, or a laptop's lid: the gap counts as two ticks at the most."""

    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid)
        watching.tick(1)
        for _ in range(2):
            assert watching.tick(1, after_s=3600.0) == []
        assert watching.tick(2) == []
        watching.leases.close()

    run(story())


def test_a_clock_that_jumps_makes_nobody_silent() -> None:
    time = FakeClock()
    clock = AwakeClock(now_s=time)
    time.now_s -= 5000.0
    assert clock.tick() == 0.0
    time.now_s += TICK_S
    assert clock.tick() == TICK_S


def test_silence_without_end_is_told(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid)
        watching.tick(1)
        assert ("too long", "r") in watching.quiet_for(LOST_AFTER_S + SILENT_S, 1)
        watching.leases.close()

    run(story())


def test_a_silent_run_that_a_new_server_finds_is_heard_by_a_new_heartbeat_only(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid, is_silent=True)
        assert watching.tick(1) == []  # the old one
        assert watching.tick(2) == [("heard", "r")]
        watching.leases.close()

    run(story())


def test_a_death_is_told_at_once(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid)
        os.kill(sleeper.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            await watching.told.gone.wait()
        assert watching.told.words == [("gone", "r")]
        assert len(watching.leases) == 0

    run(story())


def test_one_that_is_dead_already_is_told_from_the_loop(tmp_path: Path) -> None:
    async def story() -> None:
        me = Identity.of(os.getpid())
        assert me is not None
        told = Told()
        leases = Leases(told)
        # The pid is in use, but by another process.
        leases.watch(RunFolder(str(tmp_path / "r")), me._replace(start_ticks=1))
        assert told.words == []
        async with asyncio.timeout(5):
            await told.gone.wait()

    run(story())


def test_another_supervisor_takes_the_place_of_the_first(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    async def story() -> None:
        watching = Watching(tmp_path, sleeper.pid)
        me = Identity.of(os.getpid())
        assert me is not None
        watching.leases.watch(RunFolder(str(tmp_path / "r")), me)
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
        sleeper.kill()
        sleeper.wait()
        await asyncio.sleep(0)
        assert watching.told.words == []
        watching.leases.close()
        assert len(before) > len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    run(story())
