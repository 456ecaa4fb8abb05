"""Keeps a terminal's output on the disk, and within its quota; in a thread, beside the loop.

While bytes come they are synced once a second: so much may be lost at a loss of power. Beyond the
quota the oldest bytes are dropped (`journal.trim`): offsets stay, readers are told the first one
that is kept.
"""

from __future__ import annotations

import _thread
from typing import Tuple

from outlast.errors import OutlastError
from outlast.journal.trim import first_offset, trim
from outlast.supervisor.complaint import complain
from outlast.supervisor.ending import sync_file
from outlast.supervisor.loop import Loop

_SYNC_S = 1.0


class Upkeep:
    """Of one journal, and of those that tell of it."""

    def __init__(
        self, path: str, companions: Tuple[str, ...], quota_bytes: int, loop: Loop
    ) -> None:
        self._path = path
        self._companions = companions
        self._quota_bytes = quota_bytes
        # Trimming syncs twice: done for a good piece at a time.
        self._slack_bytes = max(quota_bytes // 8, 1 << 20)
        self._loop = loop
        self._length = 0
        self._is_due = False
        self._is_busy = False
        try:
            self._first = first_offset(path)
        except OutlastError as error:
            complain(error.message)
            self._first = 0

    def grown(self, length: int) -> None:
        """The journal has this length by now."""
        self._length = length
        if not self._is_due:
            self._is_due = True
            self._loop.after("upkeep", _SYNC_S, self._begin)

    def _begin(self) -> None:
        if self._is_busy:  # the disk is slow
            self._loop.after("upkeep", _SYNC_S, self._begin)
            return
        self._is_due = False
        self._is_busy = True
        _thread.start_new_thread(self._work, (self._length,))

    def _work(self, length: int) -> None:
        try:
            for path in (self._path, *self._companions):
                sync_file(path)
            if length - self._first > self._quota_bytes + self._slack_bytes:
                self._first = (
                    length - self._quota_bytes
                )  # also if it can't be: not tried each second
                trim(self._path, self._first)
        except OutlastError as error:
            complain(f"{error.message}: more than the quota is kept")
        finally:
            self._is_busy = False
