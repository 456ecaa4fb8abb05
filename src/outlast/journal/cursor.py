"""Follow a journal from an offset: the only way in which anything live is read.

A cursor never skips silently: it gives the next bytes or whole records, gives nothing when there is
nothing yet, reports a damaged line and goes on behind it, or raises Trimmed. A line is a record
once its newline is there, so a reader beside a writer never sees half of one.
It opens no sockets, and knows no kind of record (see `run.events`); bytes are in `line`.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type

from outlast.errors import Corrupt, Invalid, JournalError, Trimmed
from outlast.journal.line import MAX_LINE_BYTES, add_range, line_bytes, parse, split
from outlast.journal.trim import first_offset
from outlast.journal.watch import Watcher

LIMIT_BYTES = 1 << 20
WAIT_S = 0.5


class Bodies(NamedTuple):
    """Checked records as JSON, for a reader with its own decoder; offsets are the journal's."""

    bodies: List[bytes]
    ends: List[int]  # for each body, the offset after it
    corrupt: List[Tuple[int, int]]  # [start, end) of what was damaged and left out
    offset: int  # where the cursor is now


class Batch(NamedTuple):
    """Decoded records; offsets are the journal's."""

    records: List[Dict[str, Any]]
    ends: List[int]  # for each record, the offset after it
    corrupt: List[Tuple[int, int]]  # [start, end) of what was damaged and left out
    offset: int  # where the cursor is now


class Cursor:
    """A place in a journal; `offset` is where it reads next and may be set."""

    __slots__ = ("_fd", "offset", "path")

    def __init__(self, path: str, offset: int = 0) -> None:
        """Nothing is opened yet: the journal may come later. Raises Invalid for offset < 0."""
        if offset < 0:
            raise Invalid.field("offset", offset, "give an offset in bytes, 0 or more")
        self.path = os.path.abspath(path)
        self.offset = offset
        self._fd = -1

    def read_bytes(self, limit_bytes: int = LIMIT_BYTES) -> bytes:
        """The next bytes, at most `limit_bytes`; b"" when there are none yet.

        Raises Trimmed when retention took the place away, and Corrupt when the journal is shorter
        than the offset; the cursor stays where it was.
        """
        data = self._peek(limit_bytes)
        self.offset += len(data)
        return data

    def read_lines(self, limit_bytes: int = LIMIT_BYTES) -> bytes:
        """As `read_bytes`, but up to the last newline: whole lines, unchecked.

        One line longer than `limit_bytes` is still given whole, and one longer than MAX_LINE_BYTES,
        which no writer makes, in pieces.
        """
        data = self._peek_lines(limit_bytes)
        self.offset += len(data)
        return data

    def read_bodies(self, limit_bytes: int = LIMIT_BYTES) -> Bodies:
        """The next whole records as JSON, from about `limit_bytes`; raises as `read_bytes`."""
        start = self.offset
        data = self._peek_lines(limit_bytes)
        found = split(data)
        ends = [start + end for end in found.ends]
        corrupt = [(start + left, start + right) for left, right in found.corrupt]
        if found.consumed < len(data):  # a piece of an overlong line
            add_range(corrupt, start + found.consumed, start + len(data))
        self.offset = start + len(data)
        return Bodies(found.bodies, ends, corrupt, self.offset)

    def read_records(self, limit_bytes: int = LIMIT_BYTES) -> Batch:
        """The next whole records, from about `limit_bytes` of the journal.

        A damaged record is left out and its range reported. Raises as `read_bytes`.
        """
        found = self.read_bodies(limit_bytes)
        records: List[Dict[str, Any]] = []
        ends: List[int] = []
        corrupt = list(found.corrupt)
        for body, end in zip(found.bodies, found.ends):
            try:
                records.append(parse(body))
                ends.append(end)
            except Corrupt:
                # The checksum is right but it isn't JSON: whoever wrote it didn't use `pack`.
                corrupt.append((end - line_bytes(body), end))
        return Batch(records, ends, sorted(corrupt), found.offset)

    def size(self) -> int:
        """The journal's end in bytes, 0 when it doesn't exist yet."""
        if self._fd < 0 and not self._open():
            return 0
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Give the descriptor back; reading again opens the journal again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _open(self) -> bool:
        """Open the journal; False while it doesn't exist."""
        # A job may plant anything in its folder: follow no link, and don't hang on a FIFO.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self.path, flags)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise JournalError(
                f"{self.path} can't be read: {error.strerror}", path=self.path
            ) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise JournalError(f"{self.path} isn't a regular file", path=self.path)
        self._fd = fd
        return True

    def _peek(self, limit_bytes: int) -> bytes:
        if limit_bytes < 1:
            raise Invalid.field("limit_bytes", limit_bytes, "read at least 1 byte")
        if self._fd < 0 and not self._open():
            return b""
        try:
            data = os.pread(self._fd, limit_bytes, self.offset)
        except OSError as error:
            raise JournalError(
                f"{self.path} can't be read: {error.strerror}", path=self.path
            ) from error
        # Asked after reading: whoever punches a hole has said so before, so zeros can't pass.
        first = first_offset(self.path)
        if self.offset < first:
            raise Trimmed(asked=self.offset, first=first)
        if not data and self.offset > self.size():
            raise Corrupt(
                f"offset {self.offset} is beyond the end of {self.path} ({self.size()} bytes): "
                "the journal lost its end, or the offset belongs to another journal",
                asked=self.offset,
                size=self.size(),
            )
        return data

    def _peek_lines(self, limit_bytes: int) -> bytes:
        while True:
            data = self._peek(limit_bytes)
            end = data.rfind(b"\n") + 1
            if end:
                return data[:end]
            if len(data) < limit_bytes:
                return b""
            if limit_bytes >= MAX_LINE_BYTES:
                return data
            limit_bytes = min(2 * limit_bytes, MAX_LINE_BYTES)


def follow(
    path: str, offset: int = 0, *, stop: Callable[[], bool], wait_s: float = WAIT_S
) -> Iterator[Batch]:
    """Yield batches of records (or of damage) as they come, until `stop()` says so.

    `stop` is asked whenever the journal changes, and at least every `wait_s`; what was written
    before it became true is still yielded. Raises NotFound when the folder doesn't exist, and as
    `Cursor.read_records`.
    """
    with Cursor(path, offset) as cursor, Watcher() as watcher:
        watcher.add(os.path.dirname(cursor.path))
        is_last = False
        while not is_last:
            is_last = stop()
            batch = cursor.read_records()
            while batch.records or batch.corrupt:
                yield batch
                batch = cursor.read_records()
            if not is_last:
                watcher.wait(wait_s)


def follow_bytes(
    path: str, offset: int = 0, *, stop: Callable[[], bool], wait_s: float = WAIT_S
) -> Iterator[bytes]:
    """As `follow`, for a journal of bytes."""
    with Cursor(path, offset) as cursor, Watcher() as watcher:
        watcher.add(os.path.dirname(cursor.path))
        is_last = False
        while not is_last:
            is_last = stop()
            data = cursor.read_bytes()
            while data:
                yield data
                data = cursor.read_bytes()
            if not is_last:
                watcher.wait(wait_s)
