"""Take in a journal that is written elsewhere: by offset, so that a repeat changes nothing.

A batch begins at an offset. What the mirror holds already must be the same bytes and is left; the
rest is appended and synced before the answer. A gap is refused with the offset that is expected.
It doesn't read the records: that is the scheduler's ingestion.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import zlib

from outlast.errors import Conflict, DiskFull, Invalid, NotFound
from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.server.errors import HttpError
from outlast.server.follow import check_journal, holds_records

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Gap(HttpError):
    """Bytes before this batch are missing."""

    def __init__(self, expected: int) -> None:
        super().__init__(
            409, "gap", f"bytes are missing before this batch: go on at {expected}",
            expected=expected,
        )  # fmt: skip


def check(name: str, batch: bytes, crc32: str) -> None:
    """Raise unless this is a whole batch of a journal that may be mirrored."""
    check_journal(name)
    if name == names.DECISIONS:
        raise Conflict("decisions are written by the server itself")
    if crc32 and crc32.lower() != f"{zlib.crc32(batch):08x}":
        raise HttpError(
            400, "checksum", "the batch isn't what was sent (Outlast-Crc32 differs): send it again"
        )
    if holds_records(name) and batch and not batch.endswith(b"\n"):
        raise Invalid("the batch must end with a whole line", field="body")


def append(folder: RunFolder, name: str, at: int, batch: bytes, limit_bytes: int) -> int:
    """Make the mirror hold `batch` from offset `at` on, and return where it ends now.

    Durable on return. Raises Gap, Conflict when other bytes stand there, HttpError 413 when the
    journal would grow beyond `limit_bytes`, DiskFull; nothing of the batch was kept then.
    """
    if at + len(batch) > limit_bytes:
        raise HttpError(
            413, "journal_full",
            f"max_journal_bytes = {limit_bytes}: the journal {name} can't grow beyond that",
            hint="log less, or raise max_journal_bytes in the server's settings",
        )  # fmt: skip
    fd = _open(folder.file(check_journal(name)))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # two senders of one journal take turns
        size = os.fstat(fd).st_size
        if at > size:
            raise Gap(size)
        overlap = batch[: size - at]
        if overlap and os.pread(fd, len(overlap), at) != overlap:
            raise Conflict(f"other bytes already stand at {at} in this journal", expected=size)
        rest = batch[len(overlap) :]
        if rest:
            _write(fd, rest, size)
        return size + len(rest)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        raise NotFound("there is no such run in this workspace") from None
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("no room left for this journal; nothing of the batch was kept") from None
        raise Conflict("this journal isn't a regular file") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Conflict("this journal isn't a regular file")
    return fd


def _write(fd: int, data: bytes, size: int) -> None:
    """All of it, on the disk; else back to what it was."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
        os.fdatasync(fd)
    except OSError as error:
        os.ftruncate(fd, size)
        if error.errno in _FULL:
            raise DiskFull("no room left for this journal; nothing of the batch was kept") from None
        raise
