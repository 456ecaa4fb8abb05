"""Carry out what scripts asked to be registered as models, exactly once each.

What was uploaded is registered at once, since uploads never change; an output once the run's
outputs are stored, and before the run is called Completed (scheduler/finish asks for that). The
version and the settled wish are one transaction, so a kill between them can't double or lose one.
What can't be registered fails with a reason, which becomes a warning on the run. Files are copied
and hashed, never read as anything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import Executor as Pool

from sqlalchemy.engine import Connection

from outlast.artifacts.blobs import Blobs
from outlast.artifacts.inside import open_beneath, walk_beneath
from outlast.errors import Conflict, Corrupt, Invalid, NotFound, OutlastError
from outlast.run.folder import MANIFEST, UPLOADS, RunFolder
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.run.state import RunState
from outlast.scheduler import decisions
from outlast.scheduler.scribe import Scribe, now_ns
from outlast.store import manifests, models, registrations, runs
from outlast.store.database import Database
from outlast.store.models import File, Lineage
from outlast.store.registrations import FAILED, WAITING, Asked

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0
_PART = re.compile(r"\.part-\d+-[0-9a-f]{4}$")  # an upload that isn't whole yet


class _Fails(Exception):
    """It can't be registered, now or later; the text says why and what would help."""


class Registering:
    """The registrations of one workspace's runs."""

    def __init__(
        self,
        scribe: Scribe,
        database: Database,
        blobs: Blobs,
        pool: Pool,
        folder_of: Callable[[str], RunFolder],
    ) -> None:
        self._scribe = scribe
        self._database = database
        self._blobs = blobs
        self._pool = pool
        self._folder_of = folder_of
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._asking: set[str] = set()  # runs that wait for a registration

    def asked(self, run_id: str) -> None:
        """This run asks for a registration: do at once what can be done at once."""
        self._asking.add(run_id)
        self._begin(run_id)

    def ended(self, run_id: str) -> None:
        """This run is over: what can't be registered any more is told."""
        if run_id in self._asking:
            self._begin(run_id)

    def waiting(self) -> list[str]:
        """In a thread: the runs that wait for a registration, as an earlier server left them."""
        with self._database.read() as connection:
            return registrations.runs_waiting(connection)

    async def close(self) -> None:
        """Stop; what isn't registered is found again at the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def carry_out(self, run_id: str) -> tuple[str, ...]:
        """In a thread: register what can be now; returns why others of this run can't ever be.

        Raises DiskFull, Unreachable: the rest waits, and trying again is safe. NotFound: the run is
        gone.
        """
        with self._database.read() as connection:
            if not registrations.of_run(connection, run_id, WAITING):
                self._asking.discard(run_id)
                return _failures(connection, run_id)
            spec = runs.spec_of(connection, run_id)
            _, state = runs.state_of(connection, run_id)
            manifest = manifests.load(connection, run_id)
            waiting = [one.asked for one in registrations.of_run(connection, run_id, WAITING)]
        for asked in waiting:
            self._one(spec, state, manifest, asked)
        with self._database.read() as connection:
            return _failures(connection, run_id)

    def _begin(self, run_id: str) -> None:
        if run_id in self._tasks:
            self._again.add(run_id)
            return
        task = asyncio.get_running_loop().create_task(self._insist(run_id))
        self._tasks[run_id] = task
        task.add_done_callback(lambda done: self._ended(run_id, done))

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(run_id, None)
        if task.cancelled():
            return
        if task.exception() is not None:
            _log.error("registering broke off run=%s", run_id, exc_info=task.exception())
        if run_id in self._again:
            self._again.discard(run_id)
            self._begin(run_id)

    async def _insist(self, run_id: str) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                loop = asyncio.get_running_loop()
                failures = await loop.run_in_executor(self._pool, self.carry_out, run_id)
                if failures:
                    choice = decisions.warn(now_ns(), "not_registered", failures)
                    await self._scribe.insist(run_id, choice)
                return
            except NotFound:
                return  # deleted meanwhile, and its wishes with it
            except (OutlastError, OSError) as error:
                _log.warning("registering is held up, will retry run=%s: %s", run_id, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LAST_RETRY_S)

    # --- one wish, in a thread ---

    def _one(self, spec: RunSpec, state: RunState, manifest: Manifest | None, asked: Asked) -> None:
        try:
            files = self._uploaded(spec, asked)
            if files is None:
                files = self._stored(spec.id, state, manifest, asked)
            if files is None:
                return
            new = models.check(_new(spec.id, manifest, asked, files))
        except (_Fails, Conflict, Corrupt, Invalid, NotFound) as error:
            # Nothing that waiting would mend; and no model may keep its run from being Completed.
            message = f"model {asked.name!r} was not registered: {error}"
            self._database.transact(
                lambda connection: registrations.settle(connection, spec.id, asked, message=message)
            )
            return
        self._database.transact(lambda connection: _register(connection, new, asked))

    def _uploaded(self, spec: RunSpec, asked: Asked) -> list[File] | None:
        """The files, stored, when they are uploads and all of them; None when they aren't."""
        uploads = self._folder_of(spec.id).file(UPLOADS)
        if not os.path.isdir(uploads):
            return None
        try:
            fd = open_beneath(uploads, asked.path)
        except NotFound:
            return None
        except Invalid:
            return None if _may_grow(asked.path, spec) else self._uploaded_folder(uploads, asked)
        try:
            stored = self._blobs.put(fd)
        finally:
            os.close(fd)
        return [File(asked.path.rpartition("/")[2], stored.size_bytes, stored.sha256)]

    def _uploaded_folder(self, uploads: str, asked: Asked) -> list[File] | None:
        begin = asked.path.rpartition("/")[0]
        files: list[File] = []
        with self._blobs.batch() as batch:
            for found in walk_beneath(uploads):
                if not found.path.startswith(asked.path + "/") or _PART.search(found.path):
                    continue
                fd = open_beneath(uploads, found.names)
                try:
                    stored = batch.put(fd)
                finally:
                    os.close(fd)
                files.append(File(_below(found.path, begin), stored.size_bytes, stored.sha256))
        return files or None

    def _stored(
        self, run_id: str, state: RunState, manifest: Manifest | None, asked: Asked
    ) -> list[File] | None:
        """The files among the run's stored outputs; None while they aren't stored."""
        if manifest is None or manifest.attempt < asked.attempt:
            if state.is_over and not self._may_be_stored(run_id, state, asked):
                raise _Fails(
                    f"the run is {state.status} and has stored no outputs, so there is no "
                    f"{asked.path!r}; upload_file() keeps a file at once, whatever the end"
                )
            return None
        if manifest.attempt > asked.attempt:
            raise _Fails(
                f"attempt {asked.attempt}, which asked for it, stored no outputs; "
                f"those that are stored are of attempt {manifest.attempt}"
            )
        found = manifest.below(asked.path)
        if not found:
            raise _Fails(
                f"{asked.path!r} isn't among the run's stored files; write it below outputs/, "
                "declare its folder as an output, or upload it "
                f"(what there is: outlast outputs {manifest.run_id})"
            )
        for _, entry in found:
            if not self._blobs.keep(entry.sha256, entry.size_bytes):
                raise _Fails(f"the stored content of {entry.path!r} is gone")
        return [File(name, entry.size_bytes, entry.sha256) for name, entry in found]

    def _may_be_stored(self, run_id: str, state: RunState, asked: Asked) -> bool:
        """Are the outputs of a run that is over still to be stored, or to be pushed by hand?"""
        if state.is_committed or state.attempt != asked.attempt:
            return False
        return os.path.exists(self._folder_of(run_id).file(MANIFEST))


def _new(run_id: str, manifest: Manifest | None, asked: Asked, files: list[File]) -> models.New:
    digest = manifest.digest() if manifest and manifest.attempt == asked.attempt else ""
    return models.New(
        asked.name, files, f"run:{run_id}", asked.tags, asked.properties, asked.description,
        Lineage(run_id, asked.attempt, digest, asked.path),
        f"{run_id}/{asked.journal}/{asked.offset}",
    )  # fmt: skip


def _register(connection: Connection, new: models.New, asked: Asked) -> None:
    """Both or none. Another thread, or this one before a lost connection, may have been first."""
    if registrations.is_waiting(connection, new.lineage.run, asked):
        made = models.register(connection, new, now_ns())
        registrations.settle(connection, new.lineage.run, asked, version=made.version)


def _failures(connection: Connection, run_id: str) -> tuple[str, ...]:
    return tuple(one.message for one in registrations.of_run(connection, run_id, FAILED))


def _below(path: str, begin: str) -> str:
    return path[len(begin) + 1 :] if begin else path


def _may_grow(path: str, spec: RunSpec) -> bool:
    """Will outputs be added to this folder when the run ends? Then it isn't complete before."""
    roots = [output.path.strip("/") for output in spec.outputs]
    if spec.kind != "interactive":
        roots.append("outputs")
    return any((path + "/").startswith(root + "/") or root.startswith(path + "/") for root in roots)
