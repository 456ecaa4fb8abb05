"""Journals for those who follow them: bytes from an offset, and a call when there may be more.

One watcher for all of them, in the server's loop. Nobody is waited for and nothing is buffered:
whoever follows has an offset of its own and reads when it is ready. Frames are `live`; HTTP is
`routes/journals`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from outlast.errors import Corrupt, JournalError, NotFound, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.watch import Watcher
from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.server.errors import HttpError

log = logging.getLogger(__name__)

_LOGGED = re.compile(re.escape(names.LOGGED_PREFIX) + r"[A-Za-z0-9._-]{1,200}")
RECORDS = frozenset((names.EVENTS, names.DECISIONS, names.TRIALS))
BYTES = frozenset((names.OUTPUT, names.ENVIRONMENT))


class Piece(NamedTuple):
    """Bytes of a journal, from `start` to just before `next`."""

    data: bytes
    start: int
    next: int


def check_journal(name: str) -> str:
    """Return `name` if it is a journal of a run's folder; nothing else in there is shown.

    Raises NotFound.
    """
    if name in RECORDS or name in BYTES or _LOGGED.fullmatch(name):
        return name
    known = "events, decisions, output, environment, trials or logged.WRITER"
    raise NotFound("a run has no such journal", hint=known)


def folder_of(runs_folder: str, run_id: str) -> RunFolder:
    """The folder of a run whose id has been checked. Raises NotFound when there is none."""
    path = os.path.join(runs_folder, run_id)
    if not os.path.isdir(path):
        raise NotFound("there is no such run in this workspace")
    return RunFolder(path)


def holds_records(name: str) -> bool:
    """Is this a journal of records (whole lines), or one of bytes?"""
    return name not in BYTES


def read(folder: RunFolder, name: str, start: int, limit_bytes: int) -> Piece:
    """The bytes that are there from `start` on, at most so many; empty when there are none yet.

    Raises Trimmed, and HttpError 416 when the journal ends before `start`.
    """
    try:
        with Cursor(folder.file(check_journal(name)), start) as cursor:
            data = cursor.read_bytes(limit_bytes)
            return Piece(data, start, cursor.offset)
    except Trimmed:
        raise
    except Corrupt as error:
        size = error.facts.get("size", 0)
        raise HttpError(
            416, "beyond_end", f"the journal has {size} bytes; nothing is at {start}", expected=size
        ) from None
    except JournalError as error:
        log.warning("run=%s journal=%s: %s", folder.run_id, name, error.message)
        raise NotFound("this journal can't be read: it isn't a regular file") from None


def size_bytes(folder: RunFolder, name: str) -> int:
    """Where the journal ends now."""
    try:
        with Cursor(folder.file(check_journal(name))) as cursor:
            return cursor.size()
    except JournalError:
        raise NotFound("this journal can't be read: it isn't a regular file") from None


class Followers:
    """Calls those who follow a folder whenever one of its files changes. For the loop only."""

    def __init__(self) -> None:
        self._watcher = Watcher()
        self._wakes: dict[str, dict[object, Callable[[str], None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Listen in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._watcher.fileno(), self._changed)

    def close(self) -> None:
        """Wake everybody one last time and stop listening."""
        if self._loop is not None:
            self._loop.remove_reader(self._watcher.fileno())
            self._loop = None
        for folder in list(self._wakes):
            self._call(folder, "")
        self._watcher.close()

    @contextmanager
    def watching(self, folder: RunFolder, call: Callable[[str], None]) -> Iterator[None]:
        """Call with each changed file's name ("" = any may have changed) while the block runs.

        Read once after entering: what changed before isn't reported. Raises NotFound.
        """
        key = object()
        path = folder.path
        if path not in self._wakes:
            self._watcher.add(path)
        self._wakes.setdefault(path, {})[key] = call
        try:
            yield
        finally:
            calls = self._wakes[path]
            del calls[key]
            if not calls:
                del self._wakes[path]
                self._watcher.remove(path)

    def _changed(self) -> None:
        for folder, name in self._watcher.read():
            self._call(folder, name)

    def _call(self, folder: str, name: str) -> None:
        for call in list(self._wakes.get(folder, {}).values()):
            call(name)
