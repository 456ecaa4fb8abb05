"""The bytes of a terminal, on their way into the run's `output`: not one lost, none twice.

They are moved by the kernel (splice), from the terminal into a pipe and from there into the
journal. Keeper and supervisor hold both, so a process that is killed in between takes nothing with
it: what had left the terminal is in the pipe, or at the end of the journal.

A full disk neither blocks the program nor loses silently: what the journal refuses goes into a file
in memory, of which the newest 1 MiB is kept. Once there is room, the journal's end moves past what
was lost, `gap` tells it, and what was kept follows. It knows nothing of who reads.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Callable, NamedTuple, Tuple

from outlast.supervisor import kernel

TURN_BYTES = 256 << 10  # then others get their turn, a Ctrl-C among them
KEPT_BYTES = 1 << 20  # while the disk is full
_READ_BYTES = 4096  # a terminal gives at most so much at once; splice sets whole pages aside for it
_READS = 15  # a pipe has 16 places, each for one read, however short
_HEAD_BYTES = 4096  # of the file in memory: where in the journal its first byte belongs
# Linux 5.10 can't splice from a terminal, a rare filesystem not into its files: the bytes then pass
# through this process, and kill -9 may cost those of one read.
_CANNOT = (errno.EINVAL, errno.ENOSYS)
_HEAD = struct.Struct("<Q")


class Ends(NamedTuple):
    """What both processes hold of this direction; made before they part."""

    master: int
    taken: int  # the pipe's end to read from
    take: int  # and the one to write to
    memory: int  # empty, unless the journal has refused something

    @classmethod
    def made(cls, master: int) -> Ends:
        """Raises OSError."""
        taken, take = os.pipe()
        for fd in (taken, take):
            os.set_blocking(fd, False)
        return cls(master, taken, take, kernel.memory_file("output"))


class Pump:
    """Moves; `turn` is called whenever the terminal has something."""

    def __init__(self, ends: Ends, path: str, gap: Callable[[int, int], bool]) -> None:
        """`gap(first, end)` tells that these bytes are lost; False: try again later.

        Raises OSError when the journal can't be opened.
        """
        self._ends = ends
        self._gap = gap
        # Not O_APPEND: splice refuses that, and the journal's end may have to skip what was lost.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.journal = os.open(path, flags, 0o600)
        self.length = os.lseek(self.journal, 0, os.SEEK_END)
        self.refusal = ""  # why the journal takes nothing now
        self._can_splice = self._can_splice_out = True
        if os.fstat(ends.memory).st_size:
            self.refusal = "the disk was full"
            self.recover()
        while self._put(TURN_BYTES):  # what a supervisor that was killed had in its hands
            continue

    def turn(self) -> int:
        """Take in what is there, 256 KiB at most; how many bytes that was."""
        turned = 0
        while turned < TURN_BYTES:
            taken, is_all = self._take()
            if taken:
                self._put(taken)
                turned += taken
            if is_all:
                break
        return turned

    def _take(self) -> Tuple[int, bool]:
        """Fill the pipe; how many bytes, and whether the terminal holds no more."""
        taken = 0
        # By hand only what surely finds room in the pipe, which has one page at least.
        for _ in range(_READS if self._can_splice else 1):
            try:
                taken += self._read()
            except BlockingIOError:
                return taken, True
            except OSError as error:
                if error.errno == errno.EIO:  # hung up: nobody holds the other end
                    return taken, True
                raise
        return taken, False

    def _read(self) -> int:
        if self._can_splice:
            try:
                return kernel.splice(self._ends.master, self._ends.take, _READ_BYTES)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._can_splice = False
        return os.write(self._ends.take, os.read(self._ends.master, _READ_BYTES))

    def _put(self, size_bytes: int) -> int:
        """Empty the pipe, of at most `size_bytes`; how many there were."""
        put = 0
        while put < size_bytes:
            try:
                put += self._move(size_bytes - put)
            except BlockingIOError:  # the pipe is empty
                break
            except OSError as error:
                if self.refusal:
                    raise
                self._refuse(error)
        self._count(put)
        return put

    def _move(self, size_bytes: int) -> int:
        if self._can_splice_out:
            try:
                return kernel.splice(self._ends.taken, self._target(), size_bytes)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._can_splice_out = False
        piece = os.read(self._ends.taken, size_bytes)
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._target(), rest) :]
            except OSError as error:
                if self.refusal:
                    raise
                self._refuse(error)
        return len(piece)

    def _target(self) -> int:
        return self._ends.memory if self.refusal else self.journal

    def _count(self, put: int) -> None:
        if not self.refusal:
            self.length += put
            return
        held = self._held()
        lost = held - KEPT_BYTES
        if lost > _HEAD_BYTES:
            kernel.punch(self._ends.memory, _HEAD_BYTES, lost - lost % _HEAD_BYTES)

    # --- while the journal takes nothing ---

    def _refuse(self, error: OSError) -> None:
        self.refusal = error.strerror or "it can't be written"
        self.length = os.fstat(self.journal).st_size
        head = _HEAD.pack(self.length).ljust(_HEAD_BYTES, b"\0")
        os.pwrite(self._ends.memory, head, 0)
        os.lseek(self._ends.memory, _HEAD_BYTES, os.SEEK_SET)

    def _held(self) -> int:
        """How many bytes came since the journal refused the first, those lost among them."""
        return max(os.fstat(self._ends.memory).st_size - _HEAD_BYTES, 0)

    def recover(self) -> bool:
        """Write what was kept, if there is room by now; is the journal whole again?

        Each step is told by the sizes of the two files, so that it may be cut off anywhere.
        """
        memory = self._ends.memory
        (base,) = _HEAD.unpack(os.pread(memory, _HEAD.size, 0))
        held = self._held()
        kept = base + max(held - KEPT_BYTES, 0)
        try:
            start = max(self.length, kept)
            self._reserve(start, base + held - start)
            if self.length < kept:
                if not self._gap(self.length, kept):
                    return False
                os.ftruncate(self.journal, kept)
                self.length = kept
            while self.length < base + held:
                start = _HEAD_BYTES + self.length - base
                piece = os.pread(memory, _HEAD_BYTES << 4, start)
                self.length += os.pwrite(self.journal, piece, self.length)
        except OSError as error:
            self.refusal = error.strerror or self.refusal
            os.lseek(memory, 0, os.SEEK_END)
            return False
        os.lseek(self.journal, self.length, os.SEEK_SET)
        os.ftruncate(memory, 0)
        self.refusal = ""
        return True

    def _reserve(self, start: int, size_bytes: int) -> None:
        """Is there room for all of it? Else a gap would be told at each try."""
        try:
            if size_bytes:
                kernel.reserve(self.journal, start, size_bytes)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
