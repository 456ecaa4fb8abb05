"""Write a file once and for all: whole and on the disk, or not at all."""

from __future__ import annotations

import os


def making_of(path: str) -> str:
    """Where `write` makes it."""
    return f"{path}.making"


def write(path: str, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder (0600). Raises OSError."""
    making = making_of(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(making, flags, 0o600), "wb") as file:
            file.write(data)
            file.truncate()  # only now: room may have been set aside for it
            file.flush()
            os.fsync(file.fileno())
        os.rename(making, path)
    except OSError:
        if os.path.lexists(making):  # its bytes may be what the disk has no room for
            os.unlink(making)
        raise
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
