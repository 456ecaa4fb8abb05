"""Does each run's supervisor still live, and does its heart beat?

A death is told at once by a pidfd. A heartbeat is a change of the lease's mtime; it counts as
missing after `SILENT_S` of this server's *own awake time*, so that a stopped server, a suspended
laptop or a clock that jumps makes no run silent. It reports; what follows is in `supervisors`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from outlast.executors.local import heartbeat_of
from outlast.process import Identity
from outlast.run.folder import RunFolder

_log = logging.getLogger(__name__)

SILENT_S = 30.0  # six heartbeats
LOST_AFTER_S = 24 * 3600.0  # how long a silent run is waited for; awake time as well
TICK_S = 5.0


class Listener(Protocol):
    """Whoever acts on what is seen here; called on the loop."""

    def on_supervisor_gone(self, run_id: str) -> None:
        """The watched process is dead. Another may have taken its place: look."""

    def on_silent(self, run_id: str, last_heartbeat_ns: int) -> None:
        """It lives, but its heart has not beaten for SILENT_S."""

    def on_heard(self, run_id: str) -> None:
        """The heart of a silent one beats again."""

    def on_silent_too_long(self, run_id: str) -> None:
        """It has been silent for LOST_AFTER_S."""


class AwakeClock:
    """Seconds during which this process could have noticed something.

    Each tick adds what has passed, but never more than two intervals: a longer gap means that this
    process, not the world, stood still.
    """

    def __init__(
        self, *, tick_s: float = TICK_S, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest_s = 2 * tick_s
        self._now_s = now_s
        self._last_s = now_s()
        self.awake_s = 0.0

    def tick(self) -> float:
        """Note that this process is awake now; return its awake time so far."""
        now_s = self._now_s()
        self.awake_s += min(max(0.0, now_s - self._last_s), self._longest_s)
        self._last_s = now_s
        return self.awake_s


class _Lease:
    __slots__ = ("beat_ns", "folder", "heard_s", "is_silent", "pidfd", "supervisor")

    def __init__(self, folder: RunFolder, heard_s: float) -> None:
        self.folder = folder
        self.supervisor: Identity | None = None
        self.pidfd = -1
        self.beat_ns = 0
        self.heard_s = heard_s
        self.is_silent = False


class Leases:
    """The supervisors that are watched. For the loop's thread only."""

    def __init__(self, listener: Listener, *, clock: AwakeClock | None = None) -> None:
        self._listener = listener
        self._clock = clock or AwakeClock()
        self._leases: dict[str, _Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._leases

    def watch(self, folder: RunFolder, supervisor: Identity, *, is_silent: bool = False) -> None:
        """Watch this supervisor of the run, instead of the one before it.

        One that is dead already is reported soon, from the loop.
        """
        lease = self._leases.setdefault(folder.run_id, _Lease(folder, self._clock.awake_s))
        lease.is_silent = lease.is_silent or is_silent
        if lease.supervisor == supervisor:
            return
        self._unhook(lease)
        lease.supervisor = supervisor
        lease.heard_s = self._clock.awake_s
        self._hook(lease)

    def forget(self, run_id: str) -> None:
        """Watch the run's supervisor no longer."""
        lease = self._leases.pop(run_id, None)
        if lease is not None:
            self._unhook(lease)

    def tick(self, beats: dict[str, int]) -> None:
        """Compare the heartbeats, {run: mtime in ns}, with those of the tick before."""
        awake_s = self._clock.tick()
        for run_id, beat_ns in beats.items():
            lease = self._leases.get(run_id)
            if lease is not None:
                self._compare(run_id, lease, beat_ns, awake_s)

    async def run(self) -> None:
        """Tick until canceled."""
        while True:
            folders = [lease.folder for lease in self._leases.values()]
            # In a thread: a folder on a network disk may take its time to answer.
            beats = await asyncio.to_thread(_beats, folders)
            self.tick(beats)
            self._check_unhooked()
            await asyncio.sleep(TICK_S)

    def close(self) -> None:
        """Give all descriptors back."""
        for run_id in list(self._leases):
            self.forget(run_id)

    def _compare(self, run_id: str, lease: _Lease, beat_ns: int, awake_s: float) -> None:
        if beat_ns != lease.beat_ns:
            is_first = lease.beat_ns == 0
            lease.beat_ns = beat_ns
            # A silent run that a restarted server finds has an old heartbeat: that is no news.
            if not (is_first and lease.is_silent):
                lease.heard_s = awake_s
                if lease.is_silent:
                    lease.is_silent = False
                    self._listener.on_heard(run_id)
            return
        quiet_s = awake_s - lease.heard_s
        if quiet_s > SILENT_S and not lease.is_silent:
            lease.is_silent = True
            self._listener.on_silent(run_id, beat_ns)
        elif quiet_s > LOST_AFTER_S:
            self._listener.on_silent_too_long(run_id)

    def _hook(self, lease: _Lease) -> None:
        assert lease.supervisor is not None
        loop = asyncio.get_running_loop()
        run_id = lease.folder.run_id
        try:
            lease.pidfd = os.pidfd_open(lease.supervisor.pid)
        except ProcessLookupError:
            loop.call_soon(self._gone, run_id, lease.supervisor)
            return
        except OSError as error:  # no descriptor left: the tick looks at it instead
            _log.warning("no pidfd, looking every %g s run=%s: %s", TICK_S, run_id, error)
            return
        # The number may belong to another process by now: who the pidfd is, is asked after opening.
        if not lease.supervisor.is_alive():
            self._unhook(lease)
            loop.call_soon(self._gone, run_id, lease.supervisor)
            return
        loop.add_reader(lease.pidfd, self._gone, run_id, lease.supervisor)

    def _unhook(self, lease: _Lease) -> None:
        if lease.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(lease.pidfd)
            os.close(lease.pidfd)
            lease.pidfd = -1

    def _gone(self, run_id: str, supervisor: Identity) -> None:
        lease = self._leases.get(run_id)
        if lease is not None and lease.supervisor == supervisor:
            self.forget(run_id)
            self._listener.on_supervisor_gone(run_id)

    def _check_unhooked(self) -> None:
        for run_id, lease in list(self._leases.items()):
            is_dead = lease.supervisor is not None and not lease.supervisor.is_alive()
            if lease.pidfd < 0 and lease.supervisor is not None and is_dead:
                self._gone(run_id, lease.supervisor)


def _beats(folders: Sequence[RunFolder]) -> dict[str, int]:
    return {folder.run_id: heartbeat_of(folder) for folder in folders}
