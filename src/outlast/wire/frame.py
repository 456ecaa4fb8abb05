"""One frame of a live connection, and how frames lie in a stream of bytes.

    +------+---------------------------+---------+
    | kind | number, 8 bytes, big-end. | payload |
    +------+---------------------------+---------+

A WebSocket carries one frame a binary message. On a plain stream (a Unix socket) each frame has its
length before it: 4 bytes, big-endian, counting kind, number and payload. What the number means
stands beside each kind. A reader passes over kinds that it doesn't know.

Who says a frame when is told by `terminal` (sessions) and `stream` (tunnels).
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

# Both protocols. Payloads of HELLO, WELCOME, BYE are JSON objects.
HELLO = 1  # client: who I am, and up to where I have everything; number = 0
WELCOME = 2  # server: from where it goes on; number = 0
PING = 3  # either: number comes back in PONG
PONG = 4
BYE = 5  # either: this connection ends; payload {"final", "retry_s", "reason"}; number = 0

# Terminals.
OUTPUT = 16  # server: number = offset of the first byte
SNAPSHOT = 17  # server: reset, then draw the payload; number = the offset that follows
GAP = 18  # server: bytes that will not come; number = where it goes on; {"from", "why"}
DRAWN = 19  # client: number = offset up to which all is drawn
INPUT = 20  # client: number = offset of the first byte in all that this driver typed
ACCEPTED = 21  # server: number = how much of the input the PTY has taken
SIZE = 22  # either: {"columns", "rows"}; number = offset of the output at which it took effect
NEWS = 23  # server: {"role", "epoch", "driver", "viewers"}; number = 0
EXIT = 24  # server: number = length of the output; {"code", "signal", "t_ns", "message", …}
WRITTEN = 25  # supervisor to server only: number = length of the journal; its last bytes, or none

# Tunnels.
DATA = 32  # number = offset of the first byte in this direction
TAKEN = 33  # number = how many bytes were handed on
END = 34  # number = length of this direction: no more will come

HEAD_BYTES = 9
LENGTH_BYTES = 4
MAX_PAYLOAD_BYTES = 1 << 20
_HEAD = struct.Struct(">BQ")
_LENGTH = struct.Struct(">I")


class Frame(NamedTuple):
    """One thing said."""

    kind: int
    number: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """As a message of a WebSocket."""
        return _HEAD.pack(self.kind, self.number) + self.payload

    def said(self) -> Dict[str, Any]:
        """The JSON object of the payload. Raises ValueError when it isn't one."""
        try:
            value = json.loads(self.payload)
        except RecursionError:
            raise ValueError("the payload is nested too deeply") from None
        if not isinstance(value, dict):
            raise ValueError("the payload isn't a JSON object")
        return value


class Malformed(ValueError):
    """These bytes are no frame; the connection can't go on."""


def decode(message: bytes) -> Frame:
    """The frame of one message. Raises Malformed."""
    if not HEAD_BYTES <= len(message) <= HEAD_BYTES + MAX_PAYLOAD_BYTES:
        raise Malformed(f"a frame of {len(message)} bytes")
    kind, number = _HEAD.unpack_from(message)
    return Frame(kind, number, bytes(message[HEAD_BYTES:]))


def telling(kind: int, number: int = 0, **fields: Any) -> Frame:
    """A frame whose payload is a JSON object."""
    return Frame(kind, number, json.dumps(fields, separators=(",", ":")).encode())


def lengthened(frame: Frame) -> bytes:
    """As it lies in a plain stream."""
    head = _LENGTH.pack(HEAD_BYTES + len(frame.payload))
    return head + _HEAD.pack(frame.kind, frame.number) + frame.payload


def parts(frame: Frame) -> Tuple[bytes, bytes]:
    """The same in two pieces, to be sent without a copy of the payload."""
    head = _LENGTH.pack(HEAD_BYTES + len(frame.payload)) + _HEAD.pack(frame.kind, frame.number)
    return head, frame.payload


class Splitter:
    """Takes frames out of a plain stream, however it was cut up."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> List[Frame]:
        """The frames that are whole by now. Raises Malformed; nothing after that is believed."""
        self._rest += piece
        frames: List[Frame] = []
        at = 0
        while len(self._rest) - at >= LENGTH_BYTES:
            (size_bytes,) = _LENGTH.unpack_from(self._rest, at)
            if not HEAD_BYTES <= size_bytes <= HEAD_BYTES + MAX_PAYLOAD_BYTES:
                raise Malformed(f"a frame of {size_bytes} bytes")
            start, end = at + LENGTH_BYTES, at + LENGTH_BYTES + size_bytes
            if end > len(self._rest):
                break
            kind, number = _HEAD.unpack_from(self._rest, start)
            frames.append(Frame(kind, number, bytes(self._rest[start + HEAD_BYTES : end])))
            at = end
        del self._rest[:at]
        return frames
