"""When which byte of a terminal's output came: the run's journal `timing`.

{"at": 1200, "t": …}                        bytes from offset 1200 on came at `t` (ns) or later
{"at": 1200, "t": …, "size": [120, 40]}     from there on the terminal had so many columns and rows
{"at": 1700, "t": …, "gap": [1200, 1700], "why": "…"}
                                            there was no room for these bytes; the file has a hole

Times may be left out while the disk is full, sizes and gaps may not.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Optional, Tuple

from outlast.errors import DiskFull, JournalError
from outlast.journal.writer import Writer
from outlast.supervisor.complaint import complain

_SPACING_NS = 100_000_000
_SPACING_BYTES = 64 << 10


class Timing:
    """Appends to one run's `timing`. Nothing here raises: the program in the terminal goes on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: Optional[Writer] = None
        self._size: Optional[Tuple[int, int]] = None  # that found no room yet
        self._at = -_SPACING_BYTES
        self._t_ns = 0
        self._complaint = ""

    def came(self, at: int, end: int) -> None:
        """Bytes from `at` to `end` came just now."""
        now_ns = time.time_ns()
        # A clock that was set back is noticed too.
        is_due = not 0 <= now_ns - self._t_ns < _SPACING_NS
        if is_due or end - self._at >= _SPACING_BYTES:
            self._at, self._t_ns = at, now_ns
            self._append({"at": at, "t": now_ns})

    def resized(self, at: int, columns: int, rows: int) -> None:
        """From `at` on the terminal has this size."""
        self._size = (columns, rows)
        self.catch_up(at)

    def catch_up(self, at: int) -> None:
        """Write the size that found no room before; the journal has the length `at` by now."""
        if self._size is not None:
            record = {"at": at, "t": time.time_ns(), "size": list(self._size)}
            if self._append(record):
                self._size = None

    def lost(self, first: int, end: int, why: str) -> bool:
        """These bytes will never be there; False when there is no room to say it yet."""
        record = {"at": end, "t": time.time_ns(), "gap": [first, end], "why": why}
        return self._append(record) and self.sync()

    def sync(self) -> bool:
        """Is all on the disk?"""
        try:
            if self._writer is not None:
                self._writer.sync()
        except JournalError as error:
            return self._stuck(error)
        return True

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _append(self, record: Dict[str, Any]) -> bool:
        try:
            if self._writer is None:
                self._writer = Writer(self._path)
            self._writer.append(record)
        except JournalError as error:
            return self._stuck(error)
        self._complaint = ""
        return True

    def _stuck(self, error: JournalError) -> bool:
        if not isinstance(error, DiskFull) and self._writer is not None:  # it sealed itself
            self._writer.close()
            self._writer = None
        if error.message != self._complaint:
            self._complaint = error.message
            complain(error.message)
        return False
