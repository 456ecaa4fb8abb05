"""Room on the disk for a run's last words, for the day when the run or another has filled it.

A program without room for a traceback dies silently, and a run whose end can't be written down is
never over. So a little is set aside beyond the end of what they are written to, and given back at
the end. Nothing is promised where the file system can't do that, or has no room now.
"""

from __future__ import annotations

import errno
import os
from typing import Callable, Dict

from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.supervisor import durable, kernel
from outlast.supervisor.complaint import complain

_ROOM_BYTES = 16 << 10
_NOT_TO_BE_HAD = (errno.EOPNOTSUPP, errno.ENOSPC, errno.EDQUOT)
_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Room:
    """What is set aside in one run's folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._growing = [folder.file(names.EVENTS), folder.file(names.OUTPUT)]
        self._end = durable.making_of(folder.file(names.END))
        self._sizes: Dict[str, int] = {}

    def keep(self) -> None:
        """Set aside what is missing; asks the disk only for files that have grown."""
        for path in self._growing:
            try:
                size = os.lstat(path).st_size
            except FileNotFoundError:
                continue
            if size != self._sizes.get(path):
                self._sizes[path] = size
                _set_aside(path, size)
        if self._end not in self._sizes:
            self._sizes[self._end] = 0
            _set_aside(self._end, 0, os.O_CREAT)

    def give_back(self) -> None:
        """The run is over: keep none of it."""
        for path in self._growing:
            if path in self._sizes:
                _with(path, lambda fd: os.ftruncate(fd, os.fstat(fd).st_size))


def _set_aside(path: str, start: int, flags: int = 0) -> None:
    _with(path, lambda fd: kernel.reserve(fd, start, _ROOM_BYTES), flags)


def _with(path: str, work: Callable[[int], None], flags: int = 0) -> None:
    try:
        fd = os.open(path, _FLAGS | flags, 0o600)
        try:
            work(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NOT_TO_BE_HAD:
            complain(f"room beside {path}: {error.strerror}")
