"""Keep what runs print within `output_quota_bytes`: the oldest bytes are dropped, at a line's end.

Offsets stay as they are; a reader that asks for what is gone is told where the output now begins
(`journal.trim`), and so does `why`. Sessions have a quota of their own, which their supervisor
keeps. Other journals are never trimmed: nothing that was logged is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from outlast.errors import JournalError, NotFound
from outlast.journal.trim import first_offset, trim
from outlast.run.folder import OUTPUT, RunFolder

_log = logging.getLogger(__name__)

LOOK_S = 5.0
_LEAST_SLACK_BYTES = 1 << 20  # trimming syncs the file: not for every line
_LINE_BYTES = 64 << 10  # a line that is longer is cut


class Retention:
    """The quota of one workspace; with 0 nothing is ever dropped."""

    def __init__(self, quota_bytes: int) -> None:
        self._quota_bytes = quota_bytes
        self._slack_bytes = max(quota_bytes // 8, _LEAST_SLACK_BYTES)
        self._refused: set[str] = set()  # runs on filesystems that can't give back a part

    async def run(
        self,
        under_way: Callable[[], Iterable[RunFolder]],
        in_pool: Callable[[Callable[[], None]], Awaitable[Any]],
    ) -> None:
        """Look at the runs that are under way, again and again."""
        while self._quota_bytes:
            await asyncio.sleep(LOOK_S)
            folders = list(under_way())
            self._refused.intersection_update(folder.run_id for folder in folders)
            for folder in folders:
                await in_pool(lambda folder=folder: self.keep(folder))  # type: ignore[misc]

    def keep(self, folder: RunFolder, *, is_over: bool = False) -> None:
        """Drop what is beyond the quota, to the byte when the run is over. Blocks, never raises."""
        if not self._quota_bytes or folder.run_id in self._refused:
            return
        try:
            first = self._trimmed(folder.file(OUTPUT), 0 if is_over else self._slack_bytes)
        except JournalError as error:
            self._refused.add(folder.run_id)
            _log.warning("run=%s its output is kept whole: %s", folder.run_id, error.message)
        except NotFound:
            return  # the run was deleted meanwhile
        else:
            if first:
                _log.info("run=%s output before %d was dropped", folder.run_id, first)

    def _trimmed(self, path: str, slack_bytes: int) -> int:
        """The first offset that is kept, if something was dropped now; else 0."""
        try:
            found = os.lstat(path)
        except OSError:
            return 0  # nothing was printed
        if not stat.S_ISREG(found.st_mode):
            return 0
        excess_bytes = found.st_size - first_offset(path) - self._quota_bytes
        if excess_bytes <= slack_bytes:
            return 0
        return trim(path, _line_after(path, found.st_size - self._quota_bytes))


def _line_after(path: str, offset: int) -> int:
    """Where the next line begins, so that no half line is shown first."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return offset
    try:
        end = os.pread(fd, _LINE_BYTES, offset).find(b"\n")
    finally:
        os.close(fd)
    return offset + end + 1
