"""Give back the room of a journal's beginning, without renaming it or moving an offset.

The first offset that is kept is written to `<journal>.first` and synced before a hole is punched,
so that a reader never takes a hole's zeros for data: it is told `Trimmed`. Where the filesystem
can't punch holes, trimming refuses and changes nothing. It does not decide what may go (retention
does that), and it never touches what the writer appends meanwhile.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Dict

from outlast.errors import Corrupt, Invalid, JournalError, NotFound
from outlast.journal.line import pack, unpack

_KEEP_SIZE = 1
_PUNCH_HOLE = 2
_PAGE_BYTES = 4096
# So far behind the end that no writer gets there between the question and the answer.
_PROBE_BEYOND_BYTES = 1 << 30


def first_offset(path: str) -> int:
    """The first offset that the journal still holds; 0 when it was never trimmed.

    Raises Corrupt when the file that says so can't be understood.
    """
    try:
        fd = os.open(path + ".first", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise Corrupt(f"{path}.first can't be read: {error.strerror}", path=path) from error
    try:
        first = unpack(os.read(fd, _PAGE_BYTES)).get("first")
    except OSError as error:
        raise Corrupt(f"{path}.first can't be read: {error.strerror}", path=path) from error
    finally:
        os.close(fd)
    if not isinstance(first, int) or first < 0:
        raise Corrupt(f"{path}.first holds no offset", path=path)
    return first


def trim(path: str, upto: int) -> int:
    """Forget the bytes before `upto` and return the first offset kept.

    In a record journal `upto` is the end of a record. At most the journal's end is taken; what is
    trimmed stays trimmed. Whole pages before it are given back to the disk. Raises Invalid,
    NotFound, or JournalError where the filesystem can't punch holes; nothing was trimmed then.
    """
    if upto < 0:
        raise Invalid.field("upto", upto, "give an offset in bytes, 0 or more")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise NotFound(f"there is no journal {path}", path=path) from error
    except OSError as error:
        raise JournalError(f"{path} can't be opened: {error.strerror}", path=path) from error
    try:
        size = os.fstat(fd).st_size
        first = max(first_offset(path), min(upto, size))
        hole_bytes = first - first % _PAGE_BYTES
        if hole_bytes:
            beyond = size - size % _PAGE_BYTES + _PROBE_BEYOND_BYTES
            _punch(fd, path, beyond, _PAGE_BYTES)
            # Else a power loss could leave the journal shorter than its first offset.
            os.fsync(fd)
        if first:
            _write_first(path, first)
        if hole_bytes:
            _punch(fd, path, 0, hole_bytes)
        return first
    finally:
        os.close(fd)


def sync_folder(folder: str) -> None:
    """Return once the names in a folder are on the disk; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_first(path: str, first: int) -> None:
    """Replace `<path>.first`, all or nothing, and have it on the disk on return."""
    temporary = path + ".first.new"
    record: Dict[str, Any] = {"first": first}
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600)
        try:
            line = pack(record)
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path + ".first")
        sync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise JournalError(
            f"{path} was not trimmed: {path}.first can't be written ({error.strerror})", path=path
        ) from error


def _punch(fd: int, path: str, start: int, size_bytes: int) -> None:
    import ctypes  # only here: a supervisor that never trims doesn't pay for it

    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    number = errno.EOPNOTSUPP
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        number = 0
        if call(fd, _PUNCH_HOLE | _KEEP_SIZE, start, size_bytes) != 0:
            number = ctypes.get_errno()
    if number:
        raise JournalError(
            f"the filesystem of {path} can't give back a part of a file ({os.strerror(number)})",
            hint="keep the journal whole, or move the workspace to ext4, xfs, btrfs or tmpfs",
            path=path,
        )
