"""Carry out stops: ask the supervisor until it has taken the request.

It may not listen yet, or be stopped itself. It is asked again when its socket appears, when a new
supervisor takes over, and now and then. With force, processes whose supervisor doesn't answer are
killed without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor as Pool

from outlast.errors import OutlastError
from outlast.executors.executor import Executor
from outlast.run.folder import RunFolder

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0


class Stopping:
    """The runs that are to be stopped and whose supervisor hasn't been told yet."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, asyncio.Event] = {}
        self._forced: set[str] = set()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._tasks

    def begin(
        self, folder: RunFolder, executor: Executor, reason: str, *, force: bool = False
    ) -> None:
        """Have the run stopped, unless that is under way; `force` makes it harder."""
        run_id = folder.run_id
        if force:
            self._forced.add(run_id)
        if run_id in self._tasks:
            self._again[run_id].set()
            return
        self._again[run_id] = asyncio.Event()
        ask: Callable[[], bool] = lambda: executor.stop(  # noqa: E731
            folder, reason, force=run_id in self._forced
        )
        task = asyncio.get_running_loop().create_task(self._ask(run_id, ask))
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._ended(run_id))

    def hurry(self, run_id: str) -> None:
        """Something changed: the supervisor may listen now."""
        if run_id in self._again:
            self._again[run_id].set()

    def forget(self, run_id: str) -> None:
        """There is nothing left to stop."""
        if run_id in self._tasks:
            self._tasks[run_id].cancel()

    async def close(self) -> None:
        """Give up; what isn't stopped is found again at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, run_id: str) -> None:
        self._tasks.pop(run_id, None)
        self._again.pop(run_id, None)
        self._forced.discard(run_id)

    async def _ask(self, run_id: str, ask: Callable[[], bool]) -> None:
        delay_s = FIRST_RETRY_S
        again = self._again[run_id]
        while True:
            again.clear()
            was_forced = run_id in self._forced
            try:
                is_taken = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
            except (OutlastError, OSError) as error:
                _log.warning("stopping failed, will retry run=%s: %s", run_id, error)
                is_taken = False
            if is_taken and (was_forced or run_id not in self._forced):
                return
            try:
                async with asyncio.timeout(delay_s):
                    await again.wait()
            except TimeoutError:
                delay_s = min(delay_s * 2, LAST_RETRY_S)
