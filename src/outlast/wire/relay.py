"""The server's half of one terminal connection: what to read, what to send, whom to believe.

Between a client (`client`) and the session's supervisor (`driver`). Output is read from the journal
and sent as far as the client draws, so a client that stops reading costs nothing but its place. One
that is too far behind, or that pressed Ctrl-C behind a flood, gets the screen as it is by then.

    half = ServerHalf(Hello.of(first_frame), now)
    half.attached(answer, …)      the supervisor's answer, or that of a session that is over
    half.heard / relayed / due    frames of the client / of the supervisor / time
    half.next(now)                what to read or to picture now; then read(), snapshot() or skip()

The relay around it owns the sockets, the journal and the engine for snapshots.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Union

from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Malformed, telling
from outlast.wire.link import DEAD_S, PING_S
from outlast.wire.pace import Pace
from outlast.wire.terminal import (
    BEHIND_BYTES,
    DRIVER,
    INPUT_WINDOW_BYTES,
    PIECE_BYTES,
    ROLES,
    VERSION,
    VIEWER,
    Actions,
    Closed,
    Forward,
    Picture,
    Read,
    Send,
    cells,
    whole,
)

MOST_WHO = 100
# What isn't INPUT is short; who says more at once says it to waste the server's time.
MOST_SAID_BYTES = 4 << 10
# Sizes wait for the output before them; whoever is so far behind gets the screen as it is instead.
MOST_SIZES = 64
# After Ctrl-C the client wants the prompt, not the rest of the flood, and no snapshot that takes
# its time: it gets the last lines as they are at once, and a whole screen when the hurry is over.
HURRY_S = 1.0
LAST_BYTES = 16 << 10
INTERRUPTS = (b"\x03", b"\x1a", b"\x1c")
# A client that speaks but answers no ping doesn't read. It may be far away, and slow: a window that
# is full takes a link of 1 kB/s half a minute.
UNREAD_S = 60.0


class Hello(NamedTuple):
    """A client's first frame."""

    role: str
    key: str
    epoch: Optional[int]
    output: Optional[int]  # None: it has no screen yet
    input: int
    columns: int
    rows: int
    who: str

    @classmethod
    def of(cls, frame: Frame) -> Hello:
        """Raises Malformed, with a sentence for the client."""
        if frame.kind != wire.HELLO:
            raise Malformed("the first frame must be HELLO")
        if len(frame.payload) > MOST_SAID_BYTES:
            raise Malformed(f"HELLO: more than {MOST_SAID_BYTES} bytes")
        try:
            says = frame.said()
            if says["version"] != VERSION:
                raise Malformed(f"version {says['version']!r} isn't spoken here, {VERSION} is")
            if says["role"] not in ROLES:
                raise ValueError(f"role {says['role']!r} is neither of {', '.join(ROLES)}")
            key = str(says["key"])
            if len(bytes.fromhex(key)) != 16 or len(key) != 32:
                raise ValueError("key must be 32 hex digits")
            epoch, output = says.get("epoch"), says.get("output")
            return cls(
                says["role"],
                key,
                None if epoch is None else whole(epoch),
                None if output is None else whole(output),
                whole(says.get("input", 0)),
                cells(says["columns"]),
                cells(says["rows"]),
                str(says.get("who", ""))[:MOST_WHO],
            )
        except Malformed:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed(f"HELLO: {error}") from None

    def attach(self) -> Dict[str, Any]:
        """The line that asks the supervisor for this client's place."""
        return {
            "op": "attach",
            "role": self.role,
            "key": self.key,
            "epoch": self.epoch,
            "who": self.who,
            "columns": self.columns,
            "rows": self.rows,
        }


class ServerHalf:
    """One connection of one client."""

    def __init__(self, hello: Hello, now: float) -> None:
        self.hello = hello
        self.role = VIEWER  # until the supervisor says otherwise
        self.sent = 0  # offset of the journal up to which the client was served
        self.drawn = 0  # up to where it says that it has drawn
        self._written = 0
        self._is_welcomed = False
        self._is_closed = False
        self._wants_picture = False
        self._wants_redraw = False  # an exact screen can be had instead of the one that was sent
        self._is_picturing = False  # Picture was answered, and the snapshot is awaited
        self._jumps_to: Optional[int] = None  # Read was answered with a place near the end
        self._has_no_screen = hello.output is None
        self._is_busy = False  # next() was answered, and the answer is awaited
        self._pace = Pace()
        self._hurry_until = float("-inf")
        self._sizes: Deque[Frame] = deque()  # not yet reached by what was sent
        self._exit: Optional[Frame] = None
        self._typed = 0  # end of the input that came
        self._accepted = 0
        self._heard_at = self._pinged_at = self._answered_at = now
        self._pings = self._answered = 0

    @property
    def is_closed(self) -> bool:
        """Closed was returned, or all was said."""
        return self._is_closed

    def attached(
        self, answer: Dict[str, Any], *, session: str, server: str, first: int = 0
    ) -> Actions:
        """Welcome the client. `answer`: the supervisor's (see FORMATS.md, attach).

        `first`: the first offset that the journal keeps. For a session that is over give an answer
        with role viewer, then `exited`.
        """
        self.role = answer["role"]
        self._written = int(answer["written"])
        self._accepted = self._typed = int(answer["accepted"])
        asked = self.hello.output
        if asked is None or asked > self._written:  # or its journal was cut by a loss of power
            self._has_no_screen, self.sent = True, first
        else:
            self._has_no_screen, self.sent = False, asked
        self.drawn = self.sent
        lag_bytes = self._written - self.sent
        self._wants_picture = lag_bytes > (0 if self._has_no_screen else BEHIND_BYTES)
        self._is_welcomed = True
        welcome = telling(
            wire.WELCOME,
            session=session,
            role=self.role,
            fenced=bool(answer.get("fenced")),
            epoch=answer["epoch"],
            accepted=self._accepted,
            columns=answer["columns"],
            rows=answer["rows"],
            output=self.sent,
            live=self._written,
            first=first,
            driver=answer.get("driver"),
            viewers=answer.get("viewers", []),
            server=server,
        )
        actions: Actions = [Send(welcome)]
        if not self._wants_picture and self.sent < first:
            actions += self.skip(first, "trimmed")
        return actions

    # ---- what comes

    def heard(self, frame: Frame, now: float) -> Actions:
        """A frame of the client."""
        if self._is_closed or not self._is_welcomed:
            return []
        self._heard_at = now
        if frame.kind == wire.INPUT:
            return self._input(frame, now)
        if len(frame.payload) > MOST_SAID_BYTES:
            return self._close(f"more than {MOST_SAID_BYTES} bytes that aren't input")
        if frame.kind == wire.DRAWN:
            if frame.number > self.sent:
                return self._close(f"drawn up to {frame.number}, but {self.sent} was sent")
            self._pace.drawn(max(0, frame.number - self.drawn), self.sent - frame.number, now)
            self.drawn = max(self.drawn, frame.number)
        elif frame.kind == wire.PING:
            return [Send(Frame(wire.PONG, frame.number))]
        elif frame.kind == wire.PONG:
            if frame.number == self._pings:
                self._pace.answered(now - self._pinged_at)
            if self._answered < frame.number <= self._pings:
                self._answered, self._answered_at = frame.number, now
        elif frame.kind == wire.SIZE and self.role == DRIVER:
            return self._size(frame)
        elif frame.kind == wire.BYE:
            self._is_closed = True
            return [Closed(True, 0.0, "the client said goodbye")]
        elif frame.kind == wire.HELLO:
            return self._close("a second HELLO")
        return []

    def relayed(self, frame: Frame, now: float) -> Actions:
        """A frame of the supervisor, or one like it. WRITTEN may come from the journal as well."""
        if self._is_closed or not self._is_welcomed:
            return []
        if frame.kind == wire.WRITTEN:
            self._written = max(self._written, frame.number)
        elif frame.kind == wire.ACCEPTED:
            self._accepted = max(self._accepted, frame.number)
            return [Send(frame)]
        elif frame.kind == wire.NEWS:
            self.role = frame.said()["role"]
            return [Send(frame)]
        elif frame.kind == wire.SIZE:
            self._sized(frame)
            return self._reached()
        elif frame.kind == wire.EXIT:
            return self.exited(frame)
        elif frame.kind == wire.BYE:
            self._is_closed = True
            says = frame.said()
            return [
                Send(frame),
                Closed(says.get("final") is True, says.get("retry_s", 0.0), says.get("reason", "")),
            ]
        return []

    def exited(self, frame: Frame) -> Actions:
        """The shell ended (EXIT): told when all output before it was sent."""
        self._exit = frame
        self._written = max(self._written, frame.number)
        return self._reached()

    def due(self, now: float) -> Actions:
        """A ping every 2 s; the end of a client that is silent for 6, or reads nothing for 60."""
        if self._is_closed:
            return []
        if now - self._heard_at >= DEAD_S:
            self._is_closed = True
            return [Closed(False, 0.0, f"nothing was heard for {DEAD_S:g} s")]
        if now - self._answered_at >= UNREAD_S:
            return self._close(f"no ping was answered for {UNREAD_S:g} s")
        if self._is_welcomed and now - self._pinged_at >= PING_S:
            self._pinged_at = now
            self._pings += 1
            return [Send(Frame(wire.PING, self._pings))]
        return []

    def wait_s(self, now: float) -> float:
        """How long until `due` has something to say."""
        return max(0.0, min(self._pinged_at + PING_S, self._heard_at + DEAD_S) - now)

    # ---- what goes

    def next(self, now: float) -> Optional[Union[Read, Picture]]:
        """What the client may get now, None while it has all or its window is full.

        After an answer nothing more is given before read(), snapshot() or skip() was said.
        """
        if self._is_busy or self._is_closed or not self._is_welcomed:
            return None
        lag_bytes = self._written - self.sent
        is_hurried = now < self._hurry_until and not self._has_no_screen
        wants_picture = self._wants_picture and not is_hurried
        if self._wants_redraw and lag_bytes <= 0 and not (is_hurried or self._is_picturing):
            self._is_picturing = True
            return Picture(has_history=True, up_to=self.sent)
        if (lag_bytes <= 0 and not wants_picture) or (self._is_picturing and not is_hurried):
            return None
        room_bytes = self._pace.window_bytes - (self.sent - self.drawn)
        if room_bytes < min(lag_bytes, PIECE_BYTES, self._pace.window_bytes // 2):
            self._pace.is_blocked = True
            return None
        if is_hurried and lag_bytes > LAST_BYTES:
            self._is_busy, self._jumps_to = True, self._written - LAST_BYTES
            return Read(self._jumps_to, LAST_BYTES)
        if wants_picture or (not is_hurried and self._is_too_far(lag_bytes)):
            self._is_picturing = True
            return Picture(has_history=self._has_no_screen)
        self._is_busy = True
        limit_bytes = min(lag_bytes, room_bytes, PIECE_BYTES)
        if self._sizes:
            limit_bytes = min(limit_bytes, self._sizes[0].number - self.sent)
        return Read(self.sent, limit_bytes)

    def read(self, data: bytes, now: float) -> Actions:
        """The bytes of the journal at Read's offset; none: the journal doesn't have them yet."""
        self._is_busy = False
        jumps_to, self._jumps_to = self._jumps_to, None
        if not data or self._is_closed:
            return []
        actions: Actions = []
        if jumps_to is not None:
            cut = data.find(b"\n") + 1
            actions = self.skip(jumps_to + cut, "skipped")
            data = data[cut:]
            self._wants_picture = True  # later: what was skipped may have changed more than text
            if not data:
                return actions
        self._pace.sent(self.sent - self.drawn, now)
        frame = Frame(wire.OUTPUT, self.sent, data)
        self.sent += len(data)
        self._has_no_screen = False
        return [*actions, Send(frame), *self._reached()]

    def snapshot(self, offset: int, screen: bytes, now: float) -> Actions:
        """The screen as it is after `offset` bytes."""
        self._is_picturing = False
        if self._is_closed or (offset < self.sent and not self._has_no_screen):
            # Older than what is on the client's screen: another one only if a hurry overtook it.
            self._wants_picture = self._wants_picture and now < self._hurry_until
            return []
        self._wants_picture = self._wants_redraw = False
        actions: Actions = []
        if not self._has_no_screen and offset > self.sent:
            fields: Dict[str, Any] = {"from": self.sent, "why": "skipped"}
            actions.append(Send(telling(wire.GAP, offset, **fields)))
        self._has_no_screen = False
        self._move(offset)
        return [*actions, Send(Frame(wire.SNAPSHOT, offset, screen)), *self._reached()]

    def redraw(self) -> None:
        """The screen that was sent isn't exact, but one can be: `next` asks for it in a pause."""
        self._wants_redraw = True

    def not_redrawn(self) -> None:
        """There was no exact screen after all: what is on the client's stays."""
        self._is_picturing = self._wants_redraw = False

    def skip(self, offset: int, why: str) -> Actions:
        """The bytes before `offset` will not come.

        Why: "trimmed" (retention), "lost" (the disk was full), "tail" (there is no engine for
        snapshots: it begins at a line).
        """
        self._is_busy = self._is_picturing = self._wants_picture = False
        self._jumps_to = None
        if self._is_closed or offset <= self.sent:
            return []
        fields: Dict[str, Any] = {"from": self.sent, "why": why}
        gap = telling(wire.GAP, offset, **fields)
        self._has_no_screen = False
        self._move(offset)
        return [Send(gap), *self._reached()]

    # ---- inside

    def _input(self, frame: Frame, now: float) -> Actions:
        if self.role != DRIVER:
            return []  # a viewer, or a driver that doesn't know yet that another took over
        end = frame.number + len(frame.payload)
        if end - self._accepted > INPUT_WINDOW_BYTES:
            return self._close(f"more than {INPUT_WINDOW_BYTES} bytes of input at once")
        self._typed = max(self._typed, end)
        if any(key in frame.payload for key in INTERRUPTS):
            self._hurry_until = now + HURRY_S
        return [Forward(frame)]

    def _size(self, frame: Frame) -> Actions:
        try:
            says = frame.said()
            columns, rows = cells(says["columns"]), cells(says["rows"])
        except (ValueError, KeyError) as error:
            return self._close(f"SIZE: {error}")
        return [Forward(telling(wire.SIZE, columns=columns, rows=rows))]

    def _sized(self, frame: Frame) -> None:
        if self._sizes and self._sizes[-1].number == frame.number:
            self._sizes.pop()  # nothing was printed in between
        self._sizes.append(frame)
        if len(self._sizes) > MOST_SIZES:
            self._sizes.popleft()
            self._wants_picture = True

    def _is_too_far(self, lag_bytes: int) -> bool:
        return lag_bytes > BEHIND_BYTES and self._pace.is_slow(lag_bytes)

    def _move(self, offset: int) -> None:
        """Go on at `offset`, as if all before it had been drawn."""
        self.sent = self.drawn = offset
        self._written = max(self._written, offset)
        passed: List[Frame] = []
        while self._sizes and self._sizes[0].number <= offset:
            passed.append(self._sizes.popleft())
        if passed:
            self._sizes.appendleft(passed[-1])

    def _reached(self) -> Actions:
        """What was waiting for the output before it."""
        actions: Actions = []
        while self._sizes and self._sizes[0].number <= self.sent:
            actions.append(Send(self._sizes.popleft()))
        if self._exit is not None and self.sent >= self._exit.number:
            actions.append(Send(self._exit))
            self._exit = None
        return actions

    def _close(self, reason: str) -> Actions:
        self._is_closed = True
        bye = telling(wire.BYE, final=False, retry_s=0.0, reason=reason)
        return [Send(bye), Closed(False, 0.0, reason)]
