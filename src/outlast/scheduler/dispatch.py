"""From the queue to a supervisor: set slots aside, prepare, launch, and write each step down.

The journal is ahead of the deed: `Dispatched` stands before anything is prepared, `Launched` after
the supervisor exists. A server that dies in between finds the run Preparing, and `again` first
looks whether a supervisor is there before it starts one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor as Pool
from typing import Any, TypeVar

from outlast.artifacts.blobs import Blobs
from outlast.errors import NotFound, OutlastError
from outlast.executors.executor import Executor
from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import RunState
from outlast.scheduler import decisions, launching
from outlast.scheduler.decisions import is_unlaunched
from outlast.scheduler.queue import Queue, Waiting
from outlast.scheduler.scribe import Scribe, failure_text, now_ns
from outlast.scheduler.slots import Held

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

REQUEUE_S = 1.0  # after a failure of the journal or the disk, not of the run


class Dispatch:
    """Takes runs from the queue and starts them."""

    def __init__(
        self,
        queue: Queue,
        scribe: Scribe,
        executors: Mapping[str, Executor],
        blobs: Blobs,
        pool: Pool,
        kit: str,
        on_launched: Callable[[str, Identity], None],
    ) -> None:
        self.queue = queue
        self._scribe = scribe
        self._executors = executors
        self._blobs = blobs
        self._pool = pool
        self._kit = kit
        self._on_launched = on_launched
        self._specs: dict[str, tuple[RunFolder, RunSpec]] = {}
        self._begun: dict[str, int] = {}  # the attempt that has left the queue, per run
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False

    def __contains__(self, run_id: str) -> bool:
        """Is this run being prepared or launched?"""
        return run_id in self._tasks

    def open(self) -> None:
        """From now on runs may start: everything that holds slots is known."""
        self._is_open = True
        self.pump()

    def enqueue(
        self, folder: RunFolder, spec: RunSpec, state: RunState, upstream: frozenset[str]
    ) -> None:
        """Let the run wait for its slots."""
        if self._begun.get(spec.id) == state.attempt:
            return
        self._specs[spec.id] = (folder, spec)
        self.queue.add(
            Waiting(
                run_id=spec.id,
                experiment=spec.experiment,
                wants=spec.resources,
                order=state.created_ns,
                since_ns=state.queued_ns,
                not_before_ns=state.retry_ns,
                upstream=upstream,
                attempt=state.attempt,
                needs_turn=spec.kind == "command",
                target=spec.target,
                nodes=spec.distributed.nodes,
            )
        )
        self.pump()

    def again(self, folder: RunFolder, spec: RunSpec, state: RunState) -> None:
        """Go on with a run that an earlier server left between its decision and the launch."""
        if spec.id not in self._tasks:
            self._specs[spec.id] = (folder, spec)
            self._start(spec.id, self._go_on(folder, spec, state))

    def release(self, run_id: str) -> None:
        """The run is over: others may have its slots."""
        self.queue.remove(run_id)
        self.queue.release(run_id)
        self._begun.pop(run_id, None)
        self._specs.pop(run_id, None)
        self.pump()

    def pump(self) -> None:
        """Start whatever may start now."""
        if not self._is_open:
            return
        while (chosen := self.queue.next(now_ns())) is not None:
            entry, held = chosen
            self._begun[entry.run_id] = entry.attempt
            self._start(entry.run_id, self._begin(entry, held))
        self._set_timer()

    async def close(self) -> None:
        """Start nothing more; launches under way are finished."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = now_ns()
        wake_ns = self.queue.wake_ns(now)
        if wake_ns:
            # A minute at most: the wall clock may be set, this timer doesn't notice.
            delay_s = min((wake_ns - now) / 1e9, 60.0)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.pump)

    def _start(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[run_id] = task
        task.add_done_callback(lambda done: self._ended(run_id, done))

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(run_id) is task:
            del self._tasks[run_id]
        if not task.cancelled() and task.exception() is not None:
            _log.error("dispatch broke off run=%s", run_id, exc_info=task.exception())

    async def _begin(self, entry: Waiting, held: Held) -> None:
        folder, spec = self._specs[entry.run_id]
        dispatched = ev.Dispatched(now_ns(), entry.attempt, spec.executor, *held)
        try:
            state = await self._scribe.decide(
                entry.run_id,
                decisions.dispatch(dispatched),
            )
        except NotFound:  # deleted while it waited
            self.queue.release(entry.run_id)
            return
        except (OutlastError, OSError) as error:
            _log.warning("not dispatched, waits again run=%s: %s", entry.run_id, error)
            self.queue.release(entry.run_id)
            self._begun.pop(entry.run_id, None)
            self.queue.add(entry._replace(not_before_ns=now_ns() + int(REQUEUE_S * 1e9)))
            self._set_timer()
            return
        if state.status != runs.PREPARING:  # canceled in this moment
            self.queue.release(entry.run_id)
            self.pump()
            return
        await self._launch(folder, spec, state)

    async def _go_on(self, folder: RunFolder, spec: RunSpec, state: RunState) -> None:
        executor = self._executors[spec.executor]
        sight = await self._in_pool(lambda: executor.poll(folder, None))
        # Read after the look: a supervisor that ended in between has left its word by then.
        state = await self._scribe.read(spec.id)
        if sight.supervisor is not None:
            await self._note_launched(spec.id, state.attempt, sight.supervisor)
        elif is_unlaunched(state):
            await self._launch(folder, spec, state)

    async def _launch(self, folder: RunFolder, spec: RunSpec, state: RunState) -> None:
        executor = self._executors[spec.executor]
        gpus = Held.from_state(state.slots).gpus
        try:
            await self._in_pool(lambda: self._prepare(folder, spec, state.attempt, gpus))
            now = await self._scribe.decide(spec.id, lambda _: ())
            if now.cancel_ns or not is_unlaunched(now):
                await self._fail(spec.id, state.attempt, "canceled before it was launched")
                return
            supervisor = await self._in_pool(lambda: executor.launch(folder, state.attempt))
        except Exception as error:  # whatever it is: else the run were Preparing for ever
            if not isinstance(error, (OutlastError, OSError)):
                _log.exception("launch broke off run=%s", spec.id)
            await self._fail(spec.id, state.attempt, failure_text(error))
            return
        await self._note_launched(spec.id, state.attempt, supervisor)

    def _prepare(
        self, folder: RunFolder, spec: RunSpec, attempt: int, gpus: tuple[int, ...]
    ) -> None:
        began_s = time.monotonic()
        work = launching.prepare(folder, spec, self._blobs)
        around = launching.surroundings(folder, spec, attempt, self._kit)
        launching.write_launch(folder, attempt, work, gpus, self._kit, around)
        _log.debug("prepared run=%s took_ms=%.1f", spec.id, 1e3 * (time.monotonic() - began_s))

    async def _note_launched(self, run_id: str, attempt: int, supervisor: Identity) -> None:
        self._on_launched(run_id, supervisor)
        launched = ev.Launched(now_ns(), attempt, *supervisor)
        try:
            await self._scribe.decide(run_id, decisions.launch(launched))
        except (OutlastError, OSError) as error:
            # Its own first word says the same.
            _log.warning("launch not recorded run=%s: %s", run_id, error)

    async def _fail(self, run_id: str, attempt: int, message: str) -> None:
        failed = ev.LaunchFailed(now_ns(), attempt, message)
        await self._scribe.insist(run_id, decisions.launch(failed))

    async def _in_pool(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
