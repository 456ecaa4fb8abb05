"""Looks after the supervisors of all runs: noticed when they die, replaced, or given up.

`Leases` tells that something is the matter, `adopt` judges what it is, and here it is done: watch
another process, start a supervisor that takes over, or decide `Lost`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from outlast.errors import NotFound, Unreachable
from outlast.executors.executor import Executor
from outlast.process import Identity
from outlast.run import state as runs
from outlast.run.folder import RunFolder
from outlast.run.state import RunState
from outlast.scheduler import adopt, decisions
from outlast.scheduler.lease import LOST_AFTER_S, Leases
from outlast.scheduler.scribe import Scribe, now_ns
from outlast.store.database import Database

_log = logging.getLogger(__name__)

RETRY_S = 1.0
Result = TypeVar("Result")


class Surroundings(Protocol):
    """What the scheduler lends."""

    def state_now(self, run_id: str) -> RunState | None:
        """The last known state of a run that isn't settled."""

    def folder(self, run_id: str) -> RunFolder: ...

    def executor_of(self, run_id: str) -> Executor: ...

    def reap(self) -> None: ...

    def in_pool(self, work: Callable[[], Result]) -> Awaitable[Result]: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...

    def on_supervisor(self, run_id: str) -> None:
        """Somebody supervises the run (again)."""


class Supervisors:
    """The supervisors of the runs that are not over."""

    def __init__(self, scribe: Scribe, database: Database, around: Surroundings) -> None:
        self._scribe = scribe
        self._database = database
        self._around = around
        self._takeovers: dict[tuple[str, int], int] = {}
        self._examined: set[str] = set()
        self._followed: dict[str, Identity] = {}  # as the journals last named it
        self.leases = Leases(self)

    def follow(self, run_id: str, state: RunState) -> None:
        """Watch the supervisor that the journals name."""
        is_news = self._followed.get(run_id) != state.supervisor
        if state.supervisor is not None and state.status in runs.ACTIVE and is_news:
            self._followed[run_id] = state.supervisor
            is_silent = state.status == runs.NOT_RESPONDING
            self.leases.watch(self._around.folder(run_id), state.supervisor, is_silent=is_silent)

    def watch(self, run_id: str, supervisor: Identity) -> None:
        """Watch this one, which was just started or found."""
        self.leases.watch(self._around.folder(run_id), supervisor)
        self._around.on_supervisor(run_id)

    def examine(self, run_id: str) -> None:
        """Find out who supervises the run, and do what follows."""
        if run_id not in self._examined:
            self._examined.add(run_id)
            self._around.spawn(self._examine(run_id))

    def forget(self, run_id: str) -> None:
        """The run is over; its supervisor is reaped when it ends."""
        self._followed.pop(run_id, None)
        for key in [key for key in self._takeovers if key[0] == run_id]:
            del self._takeovers[key]

    # --- what the leases tell ---

    def on_supervisor_gone(self, run_id: str) -> None:
        """The watched process is dead."""
        self._around.reap()
        self.examine(run_id)

    def on_silent(self, run_id: str, last_heartbeat_ns: int) -> None:
        """Alive, but its heart doesn't beat."""
        t_ns = now_ns()
        deadline_ns = t_ns + int(LOST_AFTER_S * 1e9)
        choice = decisions.silent(t_ns, last_heartbeat_ns, deadline_ns)
        self._around.spawn(self._scribe.insist(run_id, choice))

    def on_heard(self, run_id: str) -> None:
        """Its heart beats again."""
        self._around.spawn(self._scribe.insist(run_id, decisions.responding(now_ns())))

    def on_silent_too_long(self, run_id: str) -> None:
        """It has been silent for longer than anybody waits."""
        state = self._around.state_now(run_id)
        if state is not None and state.status == runs.NOT_RESPONDING:
            choice = decisions.lose(adopt.silent_too_long(state, now_ns()))
            self._around.spawn(self._scribe.insist(run_id, choice))

    # --- what is done about it ---

    async def _examine(self, run_id: str) -> None:
        try:
            delay_s = await self._look_and_act(run_id)
        finally:
            self._examined.discard(run_id)
        if delay_s:
            await asyncio.sleep(delay_s)
            self.examine(run_id)

    async def _look_and_act(self, run_id: str) -> float:
        """Returns after how long to look again; 0 = not."""
        state = self._around.state_now(run_id)
        if state is None or not _is_supervised(state):
            return 0.0
        before, folder = state, self._around.folder(run_id)
        executor = self._around.executor_of(run_id)
        found = await self._around.in_pool(
            lambda: adopt.look(folder, before, executor, time.time())
        )
        if found.has_folder:
            try:
                # After the look: all that a dead supervisor has said is read then.
                state = await self._scribe.read(run_id)
            except NotFound:
                return RETRY_S
        if not _is_supervised(state) or state.attempt != before.attempt:
            return 0.0
        takeovers = self._takeovers.get((run_id, state.attempt), 0)
        verdict = adopt.judge(state, found, takeovers, now_ns())
        if isinstance(verdict, adopt.Watch):
            self.watch(run_id, verdict.supervisor)
        elif isinstance(verdict, adopt.Wait):
            return verdict.delay_s
        elif isinstance(verdict, adopt.TakeOver):
            return await self._take_over(folder, executor, state)
        else:
            if not found.has_folder:
                await self._around.in_pool(lambda: adopt.restore_folder(self._database, folder))
            await self._scribe.insist(run_id, decisions.lose(verdict))
        return 0.0

    async def _take_over(self, folder: RunFolder, executor: Executor, state: RunState) -> float:
        try:
            supervisor = await self._around.in_pool(
                lambda: executor.launch(folder, state.attempt, mode="adopt")
            )
        except Unreachable as error:
            _log.warning("not taken over, will retry run=%s: %s", folder.run_id, error)
            return RETRY_S
        key = (folder.run_id, state.attempt)
        self._takeovers[key] = self._takeovers.get(key, 0) + 1
        self.watch(folder.run_id, supervisor)
        return 0.0


def _is_supervised(state: RunState) -> bool:
    """Should there be a supervisor? Not of a run that waits, is being launched, or has ended."""
    if state.kind == "interactive":
        return not state.is_over and not state.outcome
    return state.status in runs.ACTIVE and not state.outcome and not decisions.is_unlaunched(state)
