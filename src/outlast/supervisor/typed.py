"""What the driver types, on its way into the terminal: not one key lost, none twice.

Keeper and supervisor both hold a pipe before the terminal and a note in memory: the driver's ledger
and one byte that says "now being put". Bytes go in three steps: the note says so; they are put into
the empty pipe; the note says how many were accepted. Whoever takes over from a process that was
killed in between finds in the pipe whether, and how many, were put. From the pipe the kernel moves
them into the terminal (splice), where nothing can be lost either. Accepted means: in the pipe.

Nothing has to be on a disk: when both processes are killed, the terminal ends with them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
from typing import Callable, NamedTuple

from outlast.supervisor import kernel
from outlast.supervisor.loop import Loop
from outlast.wire.driver import KEPT_BYTES, DriverLedger

_PUT_BYTES = 32 << 10
_IS_PUTTING = b"\1"
_IS_PUT = b"\0"
_CANNOT = (errno.EINVAL, errno.ENOSYS)


class Ends(NamedTuple):
    """What both processes hold of this direction; made before they part."""

    terminal: int  # a descriptor of its own for the master, so that it can be watched apart
    put: int  # the pipe's end to write to
    placed: int  # and the one to read from
    note: int

    @classmethod
    def made(cls, master: int) -> Ends:
        """Raises OSError."""
        placed, put = os.pipe()
        for fd in (placed, put):
            os.set_blocking(fd, False)
        return cls(os.dup(master), put, placed, kernel.memory_file("driver"))


class Typed:
    """One terminal's input; `ledger` says who types."""

    def __init__(self, ends: Ends, loop: Loop, accepted: Callable[[], None]) -> None:
        """`accepted` is called whenever the terminal took some of the ledger's input."""
        self._ends = ends
        self._loop = loop
        self._accepted = accepted
        self._can_splice = True
        self._placed_bytes = self._level()  # what is in the pipe
        note = os.pread(ends.note, KEPT_BYTES + 1, 0)
        self.ledger = DriverLedger.from_bytes(note[:KEPT_BYTES])
        if note[KEPT_BYTES:] == _IS_PUTTING:
            self.ledger.accepted += self._placed_bytes
            self._keep(_IS_PUT)
        self.flow()

    def keep(self) -> None:
        """Note an epoch that has begun."""
        self._keep(_IS_PUT)

    def flow(self) -> None:
        """Move what is held as far as the terminal takes it; the rest as soon as it takes more."""
        before = self.ledger.accepted
        while self._empty() and self.ledger.held:
            self._put()
        if self._placed_bytes:
            self._loop.watch(self._ends.terminal, self.flow, select.POLLOUT)
        else:
            self._loop.forget(self._ends.terminal)
        if self.ledger.accepted != before:
            self._accepted()

    def _put(self) -> None:
        self._keep(_IS_PUTTING)
        size_bytes = os.write(self._ends.put, memoryview(self.ledger.held)[:_PUT_BYTES])
        self._placed_bytes += size_bytes
        self.ledger.wrote(size_bytes)
        self._keep(_IS_PUT)

    def _empty(self) -> bool:
        """Move what is in the pipe into the terminal; is nothing left?"""
        while self._placed_bytes:
            try:
                self._placed_bytes -= self._move()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.EIO:  # hung up: nobody is there to read it
                    raise
                self._placed_bytes -= len(os.read(self._ends.placed, _PUT_BYTES))
        return True

    def _move(self) -> int:
        if self._can_splice:
            try:
                return kernel.splice(self._ends.placed, self._ends.terminal, _PUT_BYTES)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._can_splice = False  # Linux 5.10 can't; a kill may then cost what is moved
        # Asked first, since what was read can't be put back: a canonical line at most is refused.
        if not select.select([], [self._ends.terminal], [], 0)[1]:
            raise BlockingIOError
        piece = os.read(self._ends.placed, 256)
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._ends.terminal, rest) :]
        return len(piece)

    def _level(self) -> int:
        count = fcntl.ioctl(self._ends.placed, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", count)[0])

    def _keep(self, state: bytes) -> None:
        os.pwrite(self._ends.note, self.ledger.to_bytes() + state, 0)
