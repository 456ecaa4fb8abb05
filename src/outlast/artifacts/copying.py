"""Copying a file and hashing it, in one pass.

Between descriptors only: which file that is, and that it is the right kind of file, was settled by
whoever opened it. Nothing is synced here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import queue
import threading
from hashlib import sha256
from typing import NamedTuple

from outlast.errors import Unreachable

_CHUNK_BYTES = 1 << 20  # stays in the second-level cache between reading, hashing and writing
_FICLONE = 0x40049409


class Stored(NamedTuple):
    """One content."""

    sha256: str
    size_bytes: int


def _read(fd: int, buffer: memoryview, at: int) -> int:
    """Reading a source fails for reasons of its own: not to be told as the blobs' trouble."""
    try:
        return os.preadv(fd, [buffer], at)
    except OSError as error:
        raise Unreachable(f"reading failed after {at} bytes: {error.strerror}") from None


def copied(source: int, target: int) -> Stored:
    """Copy a whole file and hash the very bytes that were written; `target` is empty, O_RDWR.

    Raises OSError for what is wrong with the target, Unreachable for what is with the source.
    """
    size_bytes = os.fstat(source).st_size
    if size_bytes and reflink(source, target):
        return hashed(target)
    if size_bytes <= _CHUNK_BYTES:
        return _copied_plainly(source, target, size_bytes)
    return _copied_in_parallel(source, target)


def _copied_plainly(source: int, target: int, size_bytes: int) -> Stored:
    hasher = sha256()
    # A file that grows takes more rounds; a whole chunk would cost more than a small file does.
    buffer = memoryview(bytearray(max(size_bytes, 4096)))
    at = 0
    while count := _read(source, buffer, at):
        hasher.update(buffer[:count])
        write_all(target, buffer[:count])
        at += count
    return Stored(hasher.hexdigest(), at)


def _copied_in_parallel(source: int, target: int) -> Stored:
    """Hash in a second thread while this one reads and writes: all three release the interpreter.

    Four buffers go round: as many as keep both busy, few enough to stay in the cache.
    """
    hasher = sha256()
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    filled: queue.SimpleQueue[tuple[memoryview, int]] = queue.SimpleQueue()
    for _ in range(4):
        free.put(memoryview(bytearray(_CHUNK_BYTES)))

    def hash_all() -> None:
        while (item := filled.get())[1]:
            hasher.update(item[0][: item[1]])
            free.put(item[0])

    thread = threading.Thread(target=hash_all, name="outlast-hash", daemon=True)
    thread.start()
    at = 0
    try:
        while count := _read(source, buffer := free.get(), at):
            filled.put((buffer, count))
            write_all(target, buffer[:count])
            at += count
    finally:
        filled.put((memoryview(b""), 0))
        thread.join()
    return Stored(hasher.hexdigest(), at)


def hashed(fd: int) -> Stored:
    """The hash and size of a whole open file, wherever its offset is. Raises Unreachable."""
    hasher = sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    at = 0
    while count := _read(fd, buffer, at):
        hasher.update(buffer[:count])
        at += count
    return Stored(hasher.hexdigest(), at)


def write_all(fd: int, content: memoryview) -> None:
    """Write all of it; after an OSError some of it may be written."""
    while content:
        content = content[os.write(fd, content) :]


def reflink(source: int, target: int) -> bool:
    """Let `target` share the blocks of `source` until either is written; False where it can't be.

    Raises OSError when there is no room.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False  # another filesystem, or one that doesn't know reflinks
    return True
