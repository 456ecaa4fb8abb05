"""Who types into a session, and how much of it the PTY has taken: the supervisor's side.

At most one seat (an attached socket) drives. A driver is known by the key that it made at its
first attach and keeps over its connections. Another key takes over and fences the old one, whose
input is dropped from then on. Input is numbered by byte: a repeat is trimmed, a gap is refused, so
that what reaches the PTY is what was typed, once and in order.
It writes no file and no PTY: `held` is to be written, `to_bytes` to be kept after each
`wrote` and each attach that changed the epoch. What is kept:

    +-------+----------+-----+-------+   epoch, accepted: u64; crc: CRC-32 of the bytes before
    | epoch | accepted | key |  crc  |   key: 16 bytes; all big-endian; 36 bytes
    +-------+----------+-----+-------+
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple, Optional

from outlast.wire.frame import Malformed
from outlast.wire.terminal import DRIVER, VIEWER

KEY_BYTES = 16
# Input that the PTY doesn't take yet. Beyond it the driver's socket isn't read.
HELD_BYTES = 64 << 10
_KEPT = struct.Struct(">QQ16s")
_CHECK = struct.Struct(">I")
KEPT_BYTES = _KEPT.size + _CHECK.size


class Grant(NamedTuple):
    """What a seat got."""

    role: str
    epoch: int
    accepted: int
    is_fenced: bool = False
    has_changed: bool = False  # there is a new epoch: keep `to_bytes`
    displaced: Optional[int] = None  # the seat that drove: a viewer from now on, tell it
    replaced: Optional[int] = None  # the same driver's older seat: close it


class DriverLedger:
    """Epoch, key and accepted input of a session's driver."""

    __slots__ = ("accepted", "epoch", "held", "key", "seat")

    def __init__(self, epoch: int = 0, accepted: int = 0, key: bytes = b"") -> None:
        self.epoch = epoch
        self.accepted = accepted  # bytes of this epoch's input that the PTY has taken
        self.key = key  # empty while nobody has ever driven
        self.held = bytearray()  # taken from the socket, not yet by the PTY
        self.seat: Optional[int] = None  # who drives; None while the driver is away

    @classmethod
    def from_bytes(cls, kept: bytes) -> DriverLedger:
        """The ledger that `to_bytes` kept; a new one for b"". Raises ValueError when damaged."""
        if not kept:
            return cls()
        if len(kept) != KEPT_BYTES or _CHECK.pack(zlib.crc32(kept[: _KEPT.size])) != kept[-4:]:
            raise ValueError("the note of the driver is damaged")
        epoch, accepted, key = _KEPT.unpack_from(kept)
        return cls(epoch, accepted, key if epoch else b"")

    def to_bytes(self) -> bytes:
        """As it is kept in a file."""
        kept = _KEPT.pack(self.epoch, self.accepted, self.key)
        return kept + _CHECK.pack(zlib.crc32(kept))

    @property
    def wants_input(self) -> bool:
        """May the driver's socket be read?"""
        return len(self.held) < HELD_BYTES

    def attach(self, seat: int, role: str, key: bytes, epoch: Optional[int]) -> Grant:
        """Give a seat its role. `epoch`: in which this key drove; None = it never did.

        Raises Malformed for a key that is none.
        """
        if role != DRIVER:
            return Grant(VIEWER, self.epoch, 0)
        if len(key) != KEY_BYTES:
            raise Malformed(f"a driver's key of {len(key)} bytes, not {KEY_BYTES}")
        if key == self.key:
            older, self.seat = self.seat, seat
            return Grant(DRIVER, self.epoch, self.accepted, replaced=older)
        if epoch is not None:
            return Grant(VIEWER, self.epoch, 0, is_fenced=True)
        older, self.seat = self.seat, seat
        self.epoch, self.accepted, self.key = self.epoch + 1, 0, key
        self.held.clear()
        return Grant(DRIVER, self.epoch, 0, has_changed=True, displaced=older)

    def leave(self, seat: int) -> None:
        """This seat's socket is closed. Held input is still written: it was typed."""
        if self.seat == seat:
            self.seat = None

    def take(self, seat: int, number: int, data: bytes) -> int:
        """Hold what is new of this input; its number of bytes, 0 from a seat that doesn't drive.

        Raises Malformed when bytes before it are missing; nothing of it is held then.
        """
        if seat != self.seat:
            return 0
        expected = self.accepted + len(self.held)
        if number > expected:
            raise Malformed(f"input at {number}, but {expected} was expected")
        fresh = data[expected - number :]
        self.held += fresh
        return len(fresh)

    def wrote(self, size_bytes: int) -> int:
        """The PTY took so many bytes of `held`; returns `accepted`. Keep `to_bytes`, then tell."""
        del self.held[:size_bytes]
        self.accepted += size_bytes
        return self.accepted
