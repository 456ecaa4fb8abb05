"""Those who are attached to a terminal: what is said to each, and what each says.

A seat is one socket: a JSON line each way, then frames (`wire.frame`). Nothing here ever waits for
one: what is unsaid is kept as the newest frame of each kind, so a relay that doesn't read costs a
few hundred bytes. Who drives is told by `wire.driver`; the output itself is read from the journal.
"""

from __future__ import annotations

import _socket
import json
import select
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from outlast.supervisor.control import Asker, Taken
from outlast.supervisor.loop import Loop
from outlast.supervisor.tree import plain
from outlast.supervisor.typed import Typed
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Malformed, Splitter, lengthened, telling
from outlast.wire.terminal import DRIVER, MOST_CELLS, ROLES, VIEWER

MOST_SEATS = 64
# Never taken by those who only look on: else they could keep the one who types from coming back.
DRIVERS_SEATS = 8
_READ_BYTES = 64 << 10
_WHO_CHARS = 200
# So long the answer to a key waits for the key's echo: told together, they cost the relay one
# wake-up instead of two, and the echo, which somebody waits for, comes first.
_ECHO_S = 0.001
# Whoever drags a window sends a size for each step; the last one counts, and `timing` keeps each.
_SIZE_S = 0.05
_MOST_GAPS = 16  # unsaid; whoever reads so slowly begins anew


class Size(NamedTuple):
    columns: int
    rows: int


class Wish(NamedTuple):
    """What an attach request asks for."""

    role: str
    key: bytes
    epoch: Optional[int]
    who: str
    size: Optional[Size]

    @classmethod
    def of(cls, request: Dict[str, Any]) -> Wish:
        """Raises ValueError, with a sentence."""
        role, epoch = request.get("role"), request.get("epoch")
        if role not in ROLES:
            raise ValueError(f"role = {str(role)[:100]!r}: use one of: {', '.join(ROLES)}")
        if epoch is not None and (not isinstance(epoch, int) or epoch < 0):
            raise ValueError(f"epoch = {str(epoch)[:100]!r}: give a whole number, or null")
        try:
            key = bytes.fromhex(str(request.get("key") or ""))
        except ValueError:
            raise ValueError("key: give 32 hexadecimal digits") from None
        who = plain(str(request.get("who") or ""))[:_WHO_CHARS]
        return cls(str(role), key, epoch, who, size_of(request))


def size_of(said: Dict[str, Any]) -> Optional[Size]:
    """The columns and rows that were said; None when they are none that a terminal can have."""
    columns, rows = said.get("columns"), said.get("rows")
    for cells in (columns, rows):
        if not isinstance(cells, int) or not 1 <= cells <= MOST_CELLS:
            return None
    return Size(int(columns or 0), int(rows or 0))


class Screen:
    """What the room has to know of its terminal."""

    def __init__(self, size: Size, written: int) -> None:
        self.size = size
        self.written = written
        self.exit: Optional[Frame] = None


class Room:
    """All seats of one terminal."""

    def __init__(
        self, loop: Loop, typed: Typed, screen: Screen, resize: Callable[[Size], None]
    ) -> None:
        """`resize` is called when the driver wants another size."""
        self._loop = loop
        self._typed = typed
        self._screen = screen
        self._resize = resize
        self._seats: Dict[int, Seat] = {}
        self._last_seat = 0
        self._wished: Optional[Size] = None  # by the driver, and not yet carried out

    # --- who is here ---

    def attach(self, request: Dict[str, Any], asker: Asker) -> None:
        """Give whoever asks a seat, or say why not."""
        ledger = self._typed.ledger
        try:
            wish = Wish.of(request)
            most = MOST_SEATS - (DRIVERS_SEATS if wish.role == VIEWER else 0)
            if len(self._seats) >= most:
                raise ValueError(f"{len(self._seats)} are attached already; detach one first")
            number = self._last_seat + 1
            grant = ledger.attach(number, wish.role, wish.key, wish.epoch)
        except ValueError as error:
            asker.reply({"error": str(error)})
            return
        self._last_seat = number
        if grant.has_changed:
            self._typed.keep()
        older = self._seats.get(grant.replaced or 0)
        if older is not None:
            older.dismiss("the same driver attached again", is_final=True)
        fenced = self._seats.get(grant.displaced or 0)
        if fenced is not None:  # what it typed and was held is dropped: read it on
            fenced.listen(True)
        try:
            taken = asker.take()
        except OSError:  # it is gone already
            ledger.leave(number)
            return
        if grant.role == DRIVER and wish.size is not None:
            self._wished = None
            self._resize(wish.size)
        seat = Seat(number, wish.who, taken, self._loop, self._heard, self._left)
        self._seats[number] = seat
        answer = {
            "ok": True,
            "role": grant.role,
            "epoch": grant.epoch,
            "accepted": grant.accepted,
            "written": self._screen.written,
            "columns": self._screen.size.columns,
            "rows": self._screen.size.rows,
            "fenced": grant.is_fenced,
            "driver": self.driver(),
            "viewers": self.viewers(),
        }
        seat.begin(json.dumps(answer).encode() + b"\n")
        if self._screen.exit is not None:
            seat.say(self._screen.exit)
        self._tell_news(besides=number)
        seat.feed(taken.rest)

    def driver(self) -> Optional[str]:
        """Who types now; None while nobody does."""
        seat = self._seats.get(self._typed.ledger.seat or 0)
        return None if seat is None else seat.who

    def viewers(self) -> List[str]:
        """The others who are here."""
        driving = self._typed.ledger.seat
        return [seat.who for seat in self._seats.values() if seat.number != driving]

    def is_empty(self) -> bool:
        return not self._seats

    # --- what is said to all ---

    def say(self, frame: Frame) -> None:
        """To everybody, as soon as each of them reads it."""
        for seat in list(self._seats.values()):
            seat.say(frame)

    def written(self, length: int, end: bytes = b"") -> None:
        """The journal has this length by now; `end` are its last bytes, when they are few."""
        self._screen.written = length
        self.say(Frame(wire.WRITTEN, length, end))

    def resized(self, size: Size) -> None:
        """The terminal has this size by now."""
        self._screen.size = size
        self.say(telling(wire.SIZE, self._screen.written, **size._asdict()))

    def accepted(self) -> None:
        """The terminal took some of the driver's input."""
        seat = self._seats.get(self._typed.ledger.seat or 0)
        if seat is not None:
            seat.say_soon(Frame(wire.ACCEPTED, self._typed.ledger.accepted))
            if self._typed.ledger.wants_input:
                seat.listen(True)

    def exited(self, frame: Frame) -> None:
        """The shell ended; whoever comes later is told as well."""
        self._screen.exit = frame
        self.say(frame)

    def close(self) -> None:
        """Everybody goes."""
        for seat in list(self._seats.values()):
            seat.close()

    def _tell_news(self, besides: int = 0) -> None:
        for seat in list(self._seats.values()):
            if seat.number != besides:
                seat.say(self._news_for(seat))

    def _news_for(self, seat: Seat) -> Frame:
        ledger = self._typed.ledger
        return telling(
            wire.NEWS,
            role=DRIVER if ledger.seat == seat.number else VIEWER,
            epoch=ledger.epoch,
            driver=self.driver(),
            viewers=self.viewers(),
        )

    # --- what is heard ---

    def _heard(self, seat: Seat, frame: Frame) -> None:
        is_driver = self._typed.ledger.seat == seat.number
        if frame.kind == wire.PING:
            seat.say(Frame(wire.PONG, frame.number))
        elif frame.kind == wire.BYE:
            seat.close()
        elif frame.kind == wire.INPUT and is_driver:
            self._type(seat, frame)
        elif frame.kind == wire.SIZE and is_driver:
            self._take_size(frame)
        elif frame.kind in (wire.INPUT, wire.SIZE):
            seat.say(self._news_for(seat))

    def _type(self, seat: Seat, frame: Frame) -> None:
        ledger = self._typed.ledger
        if not ledger.take(seat.number, frame.number, frame.payload):
            seat.say(Frame(wire.ACCEPTED, ledger.accepted))  # a repeat: it may not know
            return
        self._typed.flow()
        seat.listen(ledger.wants_input)

    def _take_size(self, frame: Frame) -> None:
        try:
            size = size_of(frame.said())
        except ValueError:
            raise Malformed("SIZE that isn't JSON") from None
        if size is None:
            raise Malformed(f"columns and rows: give whole numbers from 1 to {MOST_CELLS}")
        self._wished = size
        if self._loop.due_s("size") is None:
            self._size_now()

    def _size_now(self) -> None:
        if self._wished is not None:
            self._resize(self._wished)
            self._wished = None
            self._loop.after("size", _SIZE_S, self._size_now)

    def _left(self, seat: Seat) -> None:
        del self._seats[seat.number]
        self._typed.ledger.leave(seat.number)
        self._tell_news()


class Seat:
    """One socket."""

    def __init__(
        self,
        number: int,
        who: str,
        taken: Taken,
        loop: Loop,
        heard: Callable[[Seat, Frame], None],
        left: Callable[[Seat], None],
    ) -> None:
        self.number = number
        self.who = who
        self._socket: _socket.socket = taken.socket
        self._fd = taken.socket.fileno()
        self._loop = loop
        self._heard = heard
        self._left = left
        self._splitter = Splitter()
        self._is_listening = True
        self._out = b""  # partly sent
        self._unsaid: Dict[int, Frame] = {}  # the newest of each kind, oldest first
        self._soon: Optional[Frame] = None  # said with what is said next, or by a timer
        self._timer = f"seat {number}"
        self._events = -1

    def begin(self, line: bytes) -> None:
        """Answer the request; frames follow."""
        self._out = line
        self._flush()

    def say(self, frame: Frame) -> None:
        """Send this now or later, in place of an older one of its kind."""
        if self._fd < 0:
            return
        kind = frame.kind
        if kind == wire.GAP:  # each of them counts
            kind = -1 - sum(1 for told in self._unsaid if told < 0)
            if kind < -_MOST_GAPS:
                self.close()
                return
        self._unsaid.pop(kind, None)
        self._unsaid[kind] = frame
        if not self._out:
            self._flush()

    def say_soon(self, frame: Frame) -> None:
        """Send this within a millisecond or two, in place of an older one, behind a WRITTEN."""
        if self._fd < 0:
            return
        if self._soon is None and not self._out:
            self._loop.after(self._timer, _ECHO_S, self._flush)
        self._soon = frame

    def listen(self, is_listening: bool) -> None:
        """Read what it says, or leave it unread for now."""
        if self._fd >= 0 and is_listening != self._is_listening:
            self._is_listening = is_listening
            self._watch()

    def feed(self, piece: bytes) -> None:
        """Bytes that it sent."""
        try:
            for frame in self._splitter.feed(piece):
                if self._fd < 0:
                    return
                self._heard(self, frame)
        except Malformed as error:
            self.dismiss(str(error))

    def dismiss(self, reason: str, *, is_final: bool = False) -> None:
        """Say why, if it reads, and close; unless it is final, it may attach again at once."""
        self.say(telling(wire.BYE, final=is_final, retry_s=0.0, reason=reason))
        self.close()

    def close(self) -> None:
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        self._loop.cancel(self._timer)
        self._fd = -1
        self._socket.close()
        self._left(self)

    def _ready(self) -> None:
        if self._out:
            self._flush()
        if self._fd >= 0 and self._is_listening:
            try:
                piece = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if piece:
                self.feed(piece)
            else:
                self.close()
        elif not self._out:  # nothing was waited for, so it hung up
            self.close()

    def _flush(self) -> None:
        try:
            while self._out or self._unsaid or self._soon:
                if not self._out:
                    self._out = self._gathered()
                sent = self._socket.send(self._out, _socket.MSG_NOSIGNAL)
                self._out = self._out[sent:]
        except BlockingIOError:
            pass  # the loop tells when it reads again
        except OSError:
            self.close()
            return
        self._watch()

    def _gathered(self) -> bytes:
        frames = list(self._unsaid.values())
        self._unsaid.clear()
        if self._soon is not None:
            is_behind = bool(frames) and frames[0].kind == wire.WRITTEN
            frames.insert(1 if is_behind else 0, self._soon)
            self._soon = None
            self._loop.cancel(self._timer)
        return b"".join([lengthened(frame) for frame in frames])

    def _watch(self) -> None:
        events = select.POLLIN if self._is_listening else 0
        if self._out:
            events |= select.POLLOUT
        if events != self._events:
            self._events = events
            self._loop.watch(self._fd, self._ready, events)
