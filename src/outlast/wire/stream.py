"""Both ends of a stream of bytes that outlasts its connections. Pure: no socket and no clock.

    client                                   node
    HELLO {"stream", "token", "received", "taken"} ->
                                          <- WELCOME {"received", "taken"}, or BYE
    DATA(offset) TAKEN(n) END(length) PING PONG BYE, both ways, until the connection breaks

Each end keeps what it sent until the other has handed it on (TAKEN), and holds what it received
until it is handed on: WINDOW_BYTES in each direction. A full window only keeps the sender from
reading more; it never ends anything. After a break both say what they have received and go on
there; what comes twice is trimmed. An END counts as one byte behind the last, so that TAKEN of
length + 1 says that the end was handed on as well.

Who reads, writes and waits: `supervisor.stream` at the node, `ssh.proxy` at the client.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from outlast.wire.frame import (
    BYE,
    DATA,
    END,
    HELLO,
    PING,
    PONG,
    TAKEN,
    WELCOME,
    Frame,
    Malformed,
    telling,
)  # fmt: skip
from outlast.wire.link import DEAD_S, PING_S

WINDOW_BYTES = 16 << 20  # bandwidth x round trip, with room: 100 MB/s over 160 ms
PIECE_BYTES = 256 << 10
_TELL_TAKEN_BYTES = 1 << 20
# A keystroke is a piece of its own: kept as such, 16 MiB of them would be half a million objects.
_MERGED_BYTES = 16 << 10
_MOST_PIECES = 1_000  # that wait as they came; then small ones are merged
_GREATEST = (1 << 63) - 1


class Denied(Exception):
    """This connection doesn't carry the stream; what stands in it is untouched."""

    def __init__(self, reason: str, *, is_final: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final

    def bye(self) -> Frame:
        """As it is said to the other end."""
        return telling(BYE, 0, final=self.is_final, reason=self.reason)


class Outgoing:
    """Bytes for the other end, kept until it has handed them on."""

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._sent: Deque[bytes] = deque()  # on this connection, and not taken yet
        self._unsent: Deque[bytes] = deque()
        self._first = 0  # offset of the first byte that is kept
        self._at = 0  # offset of the first unsent byte
        self.length = 0
        self.is_ended = False
        self.is_end_sent = False
        self.taken = 0

    @property
    def room_bytes(self) -> int:
        """How much may be put now."""
        return 0 if self.is_ended else max(0, self._window_bytes - (self.length - self._first))

    @property
    def is_taken(self) -> bool:
        """Has the other end handed on everything, the end included?"""
        return self.is_ended and self.taken > self.length

    def put(self, data: bytes) -> None:
        """Append; at most `room_bytes`, which the caller has looked at."""
        if self.is_ended:
            raise AssertionError("nothing comes after the end")
        self.length += len(data)
        if self._unsent and len(self._unsent[-1]) + len(data) <= _MERGED_BYTES:
            self._unsent[-1] += data
        elif data:
            self._unsent.append(data)

    @property
    def has_frame(self) -> bool:
        return bool(self._unsent) or (self.is_ended and not self.is_end_sent)

    def next_frame(self) -> Optional[Frame]:
        """What is sent next on this connection; None when there is nothing."""
        if self._unsent:
            data = self._unsent.popleft()
            if len(data) > PIECE_BYTES:
                self._unsent.appendleft(data[PIECE_BYTES:])
                data = data[:PIECE_BYTES]
            frame = Frame(DATA, self._at, data)
            self._sent.append(data)
            self._at += len(data)
            return frame
        if self.is_ended and not self.is_end_sent:
            self.is_end_sent = True
            return Frame(END, self.length)
        return None

    def drop(self, taken: int) -> None:
        """The other end has handed on so much. Raises Malformed."""
        if taken > self._at + (1 if self.is_end_sent else 0):
            raise Malformed(f"{taken} bytes taken, of {self._at} that were sent")
        self.taken = max(self.taken, taken)
        while self._sent and self._first + len(self._sent[0]) <= taken:
            self._first += len(self._sent.popleft())

    def can_rewind(self, received: int) -> bool:
        """Is this a place from which everything that follows is kept?"""
        return self._first <= received <= self._at + (1 if self.is_end_sent else 0)

    def rewind(self, received: int) -> None:
        """A new connection: go on behind what the other end has received; see `can_rewind`."""
        self.is_end_sent = received > self.length and self.is_ended
        # Pieces that were received whole stay; of one that was cut, the rest is sent.
        while self._sent and self._at - len(self._sent[-1]) >= received:
            self._at -= len(self._sent[-1])
            self._unsent.appendleft(self._sent.pop())
        if self._sent and received < self._at:
            data = self._sent.pop()
            known = received - (self._at - len(data))
            self._sent.append(data[:known])
            self._unsent.appendleft(data[known:])
            self._at = received


class Incoming:
    """Bytes from the other end, held until they are handed on."""

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._pieces: Deque[memoryview] = deque()
        self.received = 0  # bytes, and one more for the end
        self.taken = 0  # the same of what was handed on
        self.length: Optional[int] = None  # once the end came

    def add(self, frame: Frame) -> None:
        """One DATA or END. Raises Malformed for a gap, or for more than the window."""
        length = self.received if self.length is None else self.length
        if frame.number > length:
            raise Malformed(f"bytes {length} to {frame.number} are missing, or come after the end")
        if frame.kind == END:
            if frame.number < length:
                raise Malformed(f"it ends at {frame.number}, after {length} bytes")
            self.length, self.received = length, length + 1
            return
        known = length - frame.number
        if len(frame.payload) <= known:
            return
        if self.length is not None:
            raise Malformed("bytes after the end")
        piece = memoryview(frame.payload)[known:]
        if length + len(piece) - self.taken > self._window_bytes:
            raise Malformed("more than the window holds")
        self.received += len(piece)
        is_many = len(self._pieces) >= _MOST_PIECES
        if is_many and len(self._pieces[-1]) + len(piece) <= _MERGED_BYTES:
            piece = memoryview(b"".join((self._pieces.pop(), piece)))
        self._pieces.append(piece)

    def next_piece(self) -> Optional[memoryview]:
        """What is handed on next; None when there is nothing."""
        return self._pieces[0] if self._pieces else None

    def hand(self, size_bytes: int) -> None:
        """So much of the next piece was handed on."""
        piece = self._pieces.popleft()
        if size_bytes < len(piece):
            self._pieces.appendleft(piece[size_bytes:])
        self.taken += size_bytes

    @property
    def is_at_end(self) -> bool:
        """Is there nothing left to hand on but the end?"""
        return self.length is not None and self.taken == self.length

    def hand_end(self) -> None:
        """The end was handed on."""
        self.taken = self.received

    @property
    def is_over(self) -> bool:
        return self.length is not None and self.taken > self.length

    def discard(self) -> None:
        """Nobody is there any more to whom it could be handed."""
        self._pieces.clear()
        self.taken = self.received


class Link:
    """One end, over all its connections: `ClientLink` or `NodeLink`."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self.outgoing = Outgoing(window_bytes)
        self.incoming = Incoming(window_bytes)
        self.is_up = False  # both have said where they stand
        self.is_connected = False
        self._due: Deque[Frame] = deque()  # said before data
        self._tell_taken_bytes = min(_TELL_TAKEN_BYTES, window_bytes // 4)
        self._told_taken = 0
        self._heard_s = 0.0
        self._pinged_s = 0.0

    @property
    def is_done(self) -> bool:
        """Has everything been handed on, both ways, and does the other end know it?"""
        is_told = self._told_taken == self.incoming.taken
        return self.outgoing.is_taken and self.incoming.is_over and is_told

    # --- a connection ---

    def disconnected(self) -> None:
        """The connection broke: keep everything for the next."""
        self.is_up = self.is_connected = False
        self._due.clear()

    def heard(self, now_s: float) -> None:
        """Something came, if only a part of a frame: the other end lives."""
        self._heard_s = now_s

    def receive(self, frame: Frame, now_s: float) -> None:
        """One frame came. Raises Malformed or Denied: this connection is of no more use."""
        self.heard(now_s)
        if frame.kind == BYE:
            raise _denial(frame)
        if not self.is_up:
            self._greeted(frame, now_s)
        elif frame.kind in (DATA, END):
            self.incoming.add(frame)
        elif frame.kind == TAKEN:
            self.outgoing.drop(frame.number)
        elif frame.kind == PING:
            self._say_once(Frame(PONG, frame.number))

    def _greeted(self, frame: Frame, now_s: float) -> None:
        raise NotImplementedError

    def _say_once(self, frame: Frame) -> None:
        """In place of an older one of its kind: who asks and doesn't read costs one answer."""
        for unsaid in self._due:
            if unsaid.kind == frame.kind:
                self._due.remove(unsaid)
                break
        self._due.append(frame)

    def next_frame(self) -> Optional[Frame]:
        """What is sent next; None when there is nothing now. Ask when the socket has room."""
        if self._due:
            return self._due.popleft()
        if not self.is_up:
            return None
        if self._has_taken:
            return self._tell_taken()
        return self.outgoing.next_frame()

    @property
    def has_frame(self) -> bool:
        """Would `next_frame` give one?"""
        return bool(self._due) or (self.is_up and (self._has_taken or self.outgoing.has_frame))

    def tick(self, now_s: float) -> None:
        """Ping when it is time; call this every PING_S or oftener."""
        if self.is_up and now_s - self._pinged_s >= PING_S:
            self._pinged_s = now_s
            self._say_once(Frame(PING))
            if self._told_taken != self.incoming.taken:
                self._say_once(self._tell_taken())

    def is_dead(self, now_s: float) -> bool:
        """Is there a connection on which nothing came for DEAD_S?

        Only the client need ask. At the node a connection that broke silently costs nothing, and a
        slow one may hold a client's pings behind minutes of its data.
        """
        return self.is_connected and now_s - self._heard_s >= DEAD_S

    @property
    def _has_taken(self) -> bool:
        untold = self.incoming.taken - self._told_taken
        return untold >= self._tell_taken_bytes or (untold > 0 and self.incoming.is_over)

    def _tell_taken(self) -> Frame:
        self._told_taken = self.incoming.taken
        return Frame(TAKEN, self._told_taken)

    def _connected(self, now_s: float) -> None:
        self.disconnected()
        self.is_connected = True
        self._heard_s = self._pinged_s = now_s

    def _stand(self) -> Dict[str, int]:
        """Where this end stands, as HELLO and WELCOME say it."""
        self._told_taken = self.incoming.taken
        return {"received": self.incoming.received, "taken": self.incoming.taken}

    def _go_on(self, said: Dict[str, Any], now_s: float) -> None:
        """From where the other end stands. Raises Denied, Malformed; nothing has changed then."""
        received, taken = _count(said, "received"), _count(said, "taken")
        if taken > received or not self.outgoing.can_rewind(received):
            raise Denied(f"the two ends don't fit: byte {received} isn't kept (any more)")
        self._connected(now_s)
        self.outgoing.rewind(received)
        self.outgoing.drop(taken)
        self.is_up = True


class ClientLink(Link):
    """The end that connects."""

    def __init__(self, stream: str, token: str, window_bytes: int = WINDOW_BYTES) -> None:
        super().__init__(window_bytes)
        self._name = {"stream": stream, "token": token}

    def connected(self, now_s: float) -> None:
        """A new connection is open: HELLO is the first frame."""
        self._connected(now_s)
        self._due.append(telling(HELLO, 0, **self._name, **self._stand()))

    def _greeted(self, frame: Frame, now_s: float) -> None:
        if frame.kind == WELCOME:
            self._go_on(_said(frame), now_s)


class NodeLink(Link):
    """The end that is connected to; `knows` says whether a token is the stream's."""

    def __init__(self, knows: Callable[[str], bool], window_bytes: int = WINDOW_BYTES) -> None:
        super().__init__(window_bytes)
        self._knows = knows

    def greet(self, frame: Frame, now_s: float) -> None:
        """The first frame of a new connection, which from now on is the stream's.

        Raises Denied or Malformed; then the connection before it goes on untouched.
        """
        if frame.kind != HELLO:
            raise Malformed("the first frame must be HELLO")
        said = _said(frame)
        token = said.get("token")
        if not isinstance(token, str) or not self._knows(token):
            raise Denied("this is not the token of the tunnel")
        self._go_on(said, now_s)
        self._due.append(telling(WELCOME, 0, **self._stand()))

    def _greeted(self, frame: Frame, now_s: float) -> None:
        raise AssertionError("greet() comes first")


def _said(frame: Frame) -> Dict[str, Any]:
    try:
        return frame.said()
    except ValueError:
        raise Malformed("a greeting that is no JSON object") from None


def _count(said: Dict[str, Any], field: str) -> int:
    value = said.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _GREATEST:
        raise Malformed(f"{field}: give a number of bytes")
    return value


def _denial(frame: Frame) -> Denied:
    said = _said(frame)
    return Denied(str(said.get("reason") or "no reason given"), is_final=said.get("final") is True)


__all__: List[str] = [
    "PIECE_BYTES", "WINDOW_BYTES", "ClientLink", "Denied", "Link", "NodeLink",
]  # fmt: skip
