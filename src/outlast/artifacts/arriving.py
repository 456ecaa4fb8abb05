"""Contents that come from a client in pieces, and go on where they broke off.

A piece belongs at an offset and may come twice; nothing is believed before the whole has the
promised sha256. What never gets whole is removed by the clean-up like other leftovers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import NamedTuple

from outlast.artifacts.blobs import INCOMING, MODE, Blobs
from outlast.artifacts.copying import write_all
from outlast.errors import Conflict, DiskFull, Invalid, Unreachable

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Arrived(NamedTuple):
    """How far a content is."""

    size_bytes: int  # where the next piece belongs
    is_stored: bool


def take(blobs: Blobs, sha: str, total_bytes: int, at: int, data: bytes) -> Arrived:
    """Take the piece at this offset of a content; stored when it was the last one.

    Raises Conflict with `expected` when pieces before it are missing (nothing was taken), and when
    the whole isn't what its sha256 promised (all was dropped); Invalid for more bytes than the
    total; DiskFull, Unreachable.
    """
    blobs.path(sha)  # refuses what isn't a sha256
    path = os.path.join(blobs.folder, INCOMING, f"client-{sha}")
    if at + len(data) > total_bytes:
        raise Invalid.field("size", total_bytes, f"the content has {at + len(data)} bytes by now")
    if blobs.keep(sha, total_bytes):
        return Arrived(total_bytes, True)
    try:
        fd = os.open(path, _FLAGS, MODE | 0o200)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # two senders of one content take turns
            return _append(blobs, fd, path, sha, total_bytes, at, data)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(f"no room for this content in {blobs.folder}") from None
        raise Unreachable(f"{blobs.folder} can't be written: {error.strerror}") from None


def _append(
    blobs: Blobs, fd: int, path: str, sha: str, total_bytes: int, at: int, data: bytes
) -> Arrived:
    there = os.fstat(fd).st_size
    if at > there:
        raise Conflict(f"the bytes from {there} on are missing", expected=there)
    os.ftruncate(fd, at)
    os.lseek(fd, at, os.SEEK_SET)
    write_all(fd, memoryview(data))
    if at + len(data) < total_bytes:
        return Arrived(at + len(data), False)
    try:
        blobs.put(fd, sha)
    except Conflict:
        os.unlink(path)
        raise Conflict("the bytes aren't those that the sha256 promised; send them again") from None
    os.unlink(path)
    return Arrived(total_bytes, True)
