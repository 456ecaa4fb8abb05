"""Append records to a journal: one writer, whole lines, nothing half-written.

What holds: a record whose `append` returned is in the kernel's hands and survives the death of this
process; it survives a power loss once `sync` returned. The file is at every moment a sequence of
whole lines plus, after a crash, one torn line, which the next writer cuts off before it appends.
A full disk is an answer, not an end: the part that was written is cut back, and the writer goes on.
It does not buffer, does not start threads, and does not decide when to sync. Read with `cursor`.
"""

from __future__ import annotations

import errno
import os
import stat
from _thread import RLock
from types import TracebackType
from typing import Any, Mapping, NoReturn, Optional, Type

from outlast.errors import DiskFull, JournalError, Sealed
from outlast.journal.line import pack
from outlast.journal.trim import first_offset, sync_folder

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_SCAN_BYTES = 64 << 10
# fdatasync is not everywhere (macOS); fsync does at least as much.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Writer:
    """The one writer of a record journal; safe to use from threads and from signal handlers.

    A forked child must not append with its parent's writer (compare `pid` with `os.getpid()`); it
    may close it, which leaves the parent's open.
    """

    __slots__ = ("_fd", "_is_new", "_lock", "_sealed_because", "path", "pid")

    def __init__(self, path: str) -> None:
        """Open the journal, creating it (0600) if need be, and cut off a torn last line.

        Raises JournalError when it can't be opened or isn't a regular file, DiskFull when there is
        no room for a new file; nothing was changed then.
        """
        self.path = os.path.abspath(path)
        self.pid = os.getpid()
        # Re-entrant, since a signal handler may append while its own thread is appending. The lock
        # is there for the repair of a short write: nobody may append between write and repair.
        self._lock = RLock()
        self._sealed_because = ""
        self._fd = _open(self.path)
        try:
            end = _cut_torn_line(self._fd, first_offset(self.path))
        except BaseException:
            os.close(self._fd)
            raise
        self._is_new = end == 0

    def append(self, record: Mapping[str, Any]) -> int:
        """Append one record and return the offset after it.

        When it returns, the record survives the death of this process, and a power loss after
        `sync`. Raises Invalid (see `line.pack`), DiskFull (nothing was written; the writer stays
        usable), or Sealed.
        """
        return self.append_packed(pack(record))

    def append_packed(self, line: bytes) -> int:
        """Append a line from `line.pack` or `pack_json`, or several joined: all of them or none."""
        with self._lock:
            if self._fd < 0:
                raise Sealed(f"{self.path} {self._sealed_because}")
            try:
                written = os.write(self._fd, line)
            except OSError as error:
                self._refuse(error)
            if written != len(line):
                self._cut_back(line[:written])
                raise DiskFull(f"no room in {self.path}: nothing was written", path=self.path)
            # The kernel's own count: right even when a signal handler appended just before.
            return os.lseek(self._fd, 0, os.SEEK_CUR)

    def sync(self) -> None:
        """Return once everything appended before is on the disk.

        Raises JournalError when the disk didn't take it. The writer is then sealed, since the
        kernel forgets what it couldn't write and a second sync would falsely succeed: open another
        journal, or this one again after reading what it still holds.
        """
        # Not under the lock: appending goes on while the disk works.
        fd = self._fd
        if fd < 0:
            raise Sealed(f"{self.path} {self._sealed_because}")
        try:
            _sync_data(fd)
            if self._is_new:
                sync_folder(os.path.dirname(self.path))
                self._is_new = False
        except OSError as error:
            if self._fd != fd:  # closed meanwhile by another thread
                raise Sealed(f"{self.path} {self._sealed_because}") from error
            self._seal(f"is sealed: the disk refused to keep it ({error.strerror})")
            raise JournalError(
                f"{self.path} could not be written to the disk: {error.strerror}",
                hint="check the disk; the last records may be lost at a power failure",
                path=self.path,
            ) from error

    @property
    def offset(self) -> int:
        """The offset after the last record, in bytes; raises Sealed after `close`."""
        with self._lock:
            if self._fd < 0:
                raise Sealed(f"{self.path} {self._sealed_because}")
            return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close without syncing; appending afterwards raises Sealed. Closing twice is fine."""
        if os.getpid() != self.pid:
            self._lock = RLock()  # a thread of the parent may have held it when this child began
        self._seal("is closed")

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _seal(self, because: str) -> None:
        with self._lock:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                self._sealed_because = because
                try:
                    os.close(fd)
                except OSError as error:
                    if error.errno != errno.EBADF:  # the program closed it already
                        raise

    def _refuse(self, error: OSError) -> NoReturn:
        """Turn a failed write into the caller's error; the kernel says that nothing was written."""
        if error.errno in _NO_ROOM:
            raise DiskFull(
                f"no room in {self.path} ({error.strerror}): nothing was written", path=self.path
            ) from error
        # A disk that fails, or a descriptor that the program closed under us: don't write on.
        self._seal(f"is sealed: a write failed ({error.strerror})")
        raise Sealed(f"{self.path} {self._sealed_because}", path=self.path) from error

    def _cut_back(self, fragment: bytes) -> None:
        """Take the part of a line that still found room off the end of the file."""
        try:
            start = os.fstat(self._fd).st_size - len(fragment)
            # Other bytes at the end mean that a signal handler appended a whole record in between.
            # That one stays; readers then report the fragment as corrupt.
            if start >= 0 and os.pread(self._fd, len(fragment), start) == fragment:
                os.ftruncate(self._fd, start)
        except OSError as error:
            self._seal(f"is sealed: half a line could not be cut off ({error.strerror})")
            raise Sealed(f"{self.path} {self._sealed_because}", path=self.path) from error


def _open(path: str) -> int:
    # O_NOFOLLOW: a job could plant a link in its own folder and have us write through it.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        kind = DiskFull if error.errno in _NO_ROOM else JournalError
        raise kind(f"{path} can't be opened for writing: {error.strerror}", path=path) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise JournalError(f"{path} isn't a regular file", path=path)
    return fd


def _cut_torn_line(fd: int, first: int) -> int:
    """Cut what follows the last newline, which never was a record; return the end."""
    size = os.fstat(fd).st_size
    block_end = size
    while block_end > first:  # before `first` are holes, not lines
        block_start = max(first, block_end - _SCAN_BYTES)
        newline = os.pread(fd, block_end - block_start, block_start).rfind(b"\n")
        if newline >= 0:
            end = block_start + newline + 1
            break
        block_end = block_start
    else:
        end = min(first, size)
    if end != size:
        os.ftruncate(fd, end)
    return end
