"""Store the outputs of runs whose processes are over, and only then let them be Completed.

One task a run: the blobs, then the manifest's rows in one transaction, then what goes to datastores
(scheduler/delivering), then the models that its script asked to be registered
(scheduler/registering), then the decision `Committed`. Each part may
be done twice. A failure is a decision too (`CommitFailed`: why, and when it is tried again), until
the run's `storage_s` is over; then `StorageGaveUp`, with the files still on the node, and `push`
begins again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from concurrent.futures import Executor as Pool
from typing import NamedTuple

from sqlalchemy.engine import Connection

from outlast.artifacts.blobs import Blobs
from outlast.artifacts.commit import store
from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, NotFound, OutlastError
from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.folder import RunFolder
from outlast.run.manifest import Manifest
from outlast.run.state import RunState
from outlast.scheduler import decisions, delivering
from outlast.scheduler.scribe import Scribe, failure_text, now_ns
from outlast.store import manifests, models
from outlast.store.database import Database

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0


class _Task(NamedTuple):
    task: asyncio.Task[None]
    hurry: asyncio.Event  # set: don't wait for the next try


class Storing:
    """The runs whose outputs are being stored."""

    def __init__(
        self,
        scribe: Scribe,
        database: Database,
        blobs: Blobs,
        pool: Pool,
        folder_of: Callable[[str], RunFolder],
        register: Callable[[str], tuple[str, ...]],
    ) -> None:
        """`register` is asked, in a thread, once the outputs are stored; returns what failed."""
        self._scribe = scribe
        self._database = database
        self._blobs = blobs
        self._pool = pool
        self._folder_of = folder_of
        self._register = register
        self._tasks: dict[str, _Task] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._tasks

    def begin(self, run_id: str) -> None:
        """Store this run's outputs, unless that is under way."""
        if run_id not in self._tasks:
            hurry = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._store(run_id, hurry))
            self._tasks[run_id] = _Task(task, hurry)
            task.add_done_callback(lambda done: self._ended(run_id, done))

    async def push(self, run_id: str) -> None:
        """Try now, whatever was given up before.

        Raises what keeps them from being stored (DiskFull, NotFound, Corrupt, …); the run is as it
        was then.
        """
        if run_id in self._tasks:
            self._tasks[run_id].hurry.set()
        await self._commit(run_id)

    async def close(self) -> None:
        """Stop; what isn't stored is found again at the next start."""
        tasks = [entry.task for entry in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(run_id, None)
        if not task.cancelled() and task.exception() is not None:
            _log.error("storing outputs broke off run=%s", run_id, exc_info=task.exception())

    async def _store(self, run_id: str, hurry: asyncio.Event) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self._commit(run_id)
                return
            except Exception as error:
                if not isinstance(error, (OutlastError, OSError)):
                    _log.exception("storing outputs failed run=%s", run_id)
                if await self._fail(run_id, error, delay_s):
                    return
            hurry.clear()
            try:
                async with asyncio.timeout(delay_s):
                    await hurry.wait()
            except TimeoutError:
                delay_s = min(delay_s * 2, LAST_RETRY_S)

    async def _commit(self, run_id: str) -> None:
        loop = asyncio.get_running_loop()
        manifest = await loop.run_in_executor(self._pool, self._write, run_id)
        # Whoever sees it Completed must find every point that was logged, and every model.
        await self._scribe.read(run_id, is_whole=True)
        deliver = delivering.deliver
        await loop.run_in_executor(self._pool, deliver, self._database, self._blobs, run_id)
        failures = await loop.run_in_executor(self._pool, self._register, run_id)

        def committed(state: RunState) -> tuple[ev.Event, ...]:
            warned = decisions.warn(now_ns(), "not_registered", failures)(state)
            if state.is_committed or not _may_commit(state):
                return warned
            files, size_bytes = len(manifest.entries), manifest.size_bytes
            done = ev.Committed(now_ns(), state.attempt, manifest.digest(), files, size_bytes)
            return (*warned, done)

        await self._scribe.decide(run_id, committed, is_synced=True)

    def _write(self, run_id: str) -> Manifest:
        """In a thread: the blobs first, so that no row ever names what isn't there."""
        manifest = store(self._folder_of(run_id), self._blobs)

        def rows(connection: Connection) -> None:
            manifests.commit(connection, manifest, now_ns())
            models.note_manifest(connection, manifest)

        self._database.transact(rows)
        return manifest

    async def _fail(self, run_id: str, error: Exception, delay_s: float) -> bool:
        """Say so in the journal; True when storing is given up."""
        reason, message = reason_of(error), failure_text(error)
        is_over = False

        def failed(state: RunState) -> tuple[ev.Event, ...]:
            nonlocal is_over
            t_ns = now_ns()
            deadline_ns = deadline_of(state, t_ns)
            is_over = state.is_committed or not _may_commit(state)
            if is_over:
                return ()
            if t_ns >= deadline_ns or reason == "changed":
                is_over = True
                return (ev.StorageGaveUp(t_ns, state.attempt, _gave_up(state, message)),)
            retry_ns = min(t_ns + int(delay_s * 1e9), deadline_ns)
            return (ev.CommitFailed(t_ns, state.attempt, reason, message, retry_ns, deadline_ns),)

        try:
            await self._scribe.decide(run_id, failed)
        except NotFound:  # the run was deleted meanwhile
            return True
        except (OutlastError, OSError) as second:
            # The same full disk may hold the journal. It is tried again all the same.
            _log.warning("storage failure not recorded run=%s: %s; %s", run_id, message, second)
        return is_over


def deadline_of(state: RunState, t_ns: int) -> int:
    """Until when storing this run's outputs is tried."""
    if state.is_over:
        return (state.ended_ns or t_ns) + int(state.storage_s * 1e9)
    return state.deadline_ns or t_ns + int(state.storage_s * 1e9)


def reason_of(error: BaseException) -> str:
    """The word for why storing failed, as `CommitFailed` carries it."""
    if isinstance(error, DiskFull):
        return "disk_full"
    if isinstance(error, (Corrupt, Conflict, NotFound, Invalid)):
        return "changed"  # the files are no longer what the manifest says: waiting doesn't help
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full"
    return "unavailable"


def _may_commit(state: RunState) -> bool:
    return state.is_over or (state.outcome == "completed" and state.status != runs.NOT_STARTED)


def _gave_up(state: RunState, message: str) -> str:
    return f"its outputs could not be stored and are still on this machine: {message}"
