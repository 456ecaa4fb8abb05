"""The client's half of a terminal, kept over all its connections.

Output is drawn once and in order, or what is missing is told (`Skipped`); what was typed is sent
again until the PTY has taken it, unless another driver took over. A connection without any frame
for 6 s is dead; the first retry comes at once.
Whoever uses it opens and closes sockets, and drops what an old socket still gives. Call `due` when
`wait_s` has passed, after having handed over all frames that have come by then.
The other end is `relay`; a twin in TypeScript passes the same vectors (tests/vectors/wire).
"""

from __future__ import annotations

from typing import Any, Callable, ClassVar, Dict, Optional

from outlast.wire import frame as wire
from outlast.wire.frame import Frame, telling
from outlast.wire.link import DEAD_S, LONGEST_PAUSE_S, PING_S, pause_s
from outlast.wire.terminal import (
    DRAWN_LEAST_BYTES,
    DRAWN_STEP_BYTES,
    DRIVER,
    INPUT_WINDOW_BYTES,
    LEAST_CONNECTION_S,
    PIECE_BYTES,
    RETRY_BELIEVED_S,
    ROLES,
    VERSION,
    VIEWER,
    Accepted,
    Actions,
    Attached,
    Closed,
    Connect,
    Draw,
    Ended,
    Live,
    News,
    Reset,
    Send,
    Sized,
    Skipped,
    whole,
)

OFFLINE, CONNECTING, GREETING, ONLINE, OVER = range(5)
# So many answers in a row that make no sense, and the other end isn't believed any more.
MOST_FAULTS = 5


class ClientHalf:
    """One client of one session."""

    def __init__(
        self,
        key: str,
        *,
        role: str = DRIVER,
        columns: int = 80,
        rows: int = 24,
        who: str = "",
        jitter: Callable[[], float],
    ) -> None:
        """`key`: 32 random hex digits. `jitter` gives numbers from 0 to 1; it spreads retries."""
        self.role = role  # the wanted one until welcomed, then the one that was given
        self.key = key
        self.epoch: Optional[int] = None
        self.columns, self.rows = columns, rows
        self.offline_since: Optional[float] = None  # of the first failure; None while online
        self._who = who
        self._jitter = jitter
        self._line = OFFLINE
        # Output: up to where it was handed over, drawn, and told as drawn.
        self._received = 0
        self._is_fresh = True  # nothing is on the screen that could be continued
        self._is_torn = False  # bytes were skipped, and nothing was drawn since
        self._base = 0  # where output begins for a fresh client without a snapshot
        self._drawn = -1
        self._told = 0
        self._gap_from = self._gap_to = 0  # the last bytes that didn't come
        self._live = 0
        self._is_live = False
        self._exit: Optional[Frame] = None
        # Input: what isn't accepted yet begins at `_accepted`.
        self._input = bytearray()
        self._accepted = 0
        self._sent = 0
        # Time.
        self._heard_at = 0.0
        self._pinged_at = 0.0
        self._pings = 0
        self._began_at = 0.0
        self._welcomed_at: Optional[float] = None
        self._retry_at = float("-inf")
        self._failures = 0
        self._faults = 0
        self._refused_since: Optional[float] = None

    # ---- what can be asked

    @property
    def is_online(self) -> bool:
        """Welcomed, and not cut since."""
        return self._line == ONLINE

    @property
    def is_over(self) -> bool:
        """The session ended, or the server refused for good: no connection will be asked for."""
        return self._line == OVER

    @property
    def is_live(self) -> bool:
        """Is all drawn that was there at the last attach?"""
        return self._is_live

    @property
    def queued_bytes(self) -> int:
        """Typed, and not yet taken by the PTY as far as is known here."""
        return len(self._input)

    def queued(self, most_bytes: int) -> bytes:
        """The beginning of what is queued."""
        return bytes(self._input[:most_bytes])

    @property
    def wants_input(self) -> bool:
        """False while so much is queued that whoever reads keys should wait."""
        return len(self._input) < INPUT_WINDOW_BYTES

    @property
    def received(self) -> int:
        """The journal's offset up to which output was handed over."""
        return self._received

    def wait_s(self, now: float) -> float:
        """How long until `due` has something to say; infinite when the session is over."""
        if self._line == OVER:
            return float("inf")
        if self._line == OFFLINE:
            return max(0.0, self._retry_at - now)
        if self._line == ONLINE:
            return max(0.0, min(self._pinged_at + PING_S, self._heard_at + DEAD_S) - now)
        return max(0.0, self._began_at + DEAD_S - now)

    # ---- what the user does

    def typed(self, data: bytes) -> Actions:
        """Keys, a paste, an answer of the terminal. Of a viewer, nothing is sent."""
        if self.role != DRIVER or self._line == OVER:
            return []
        self._input += data
        return self._pump()

    def resized(self, columns: int, rows: int) -> Actions:
        """The user's window has this size now."""
        self.columns, self.rows = columns, rows
        if self._line != ONLINE or self.role != DRIVER:
            return []
        return [Send(telling(wire.SIZE, columns=columns, rows=rows))]

    def drawn(self, offset: int) -> Actions:
        """Everything before this offset of the journal has been drawn."""
        if self._gap_from <= offset < self._gap_to:
            offset = self._gap_to  # there is nothing to draw in between
        if offset <= self._drawn:
            return []
        self._drawn = offset
        actions: Actions = []
        fresh_bytes = offset - self._told
        if self._line == ONLINE and (
            fresh_bytes >= DRAWN_STEP_BYTES
            or (fresh_bytes >= DRAWN_LEAST_BYTES and offset == self._received)
        ):
            self._told = offset
            actions.append(Send(Frame(wire.DRAWN, offset)))
        return actions + self._if_live()

    def take_over(self, key: str, now: float) -> Actions:
        """Drive again after another did, by a new connection. `key` must be a new one."""
        if self._line == OVER:
            return []
        self.role, self.key, self.epoch = DRIVER, key, None
        self._drop_input()
        was_offline = self._line == OFFLINE
        self._line, self._retry_at = OFFLINE, now
        return [] if was_offline else [Closed(False, 0.0, "taking over")]

    # ---- what the connection does

    def connected(self, now: float) -> Actions:
        """A connection is open; its first frame is returned."""
        self._is_fresh, self._is_torn = self._is_fresh or self._is_torn, False
        self._line = GREETING
        self._began_at = self._heard_at = self._pinged_at = now
        self._welcomed_at = None
        hello = telling(
            wire.HELLO,
            version=VERSION,
            role=self.role,
            key=self.key,
            epoch=self.epoch,
            output=None if self._is_fresh else self._received,
            input=self._accepted,
            columns=self.columns,
            rows=self.rows,
            who=self._who,
        )
        return [Send(hello)]

    def cut(self, now: float, reason: str = "the connection broke") -> Actions:
        """The connection broke, or couldn't be opened."""
        if self._line in (OFFLINE, OVER):
            return []
        if self._welcomed_at is None:
            self._refused_since = None  # no "try again": there was no answer at all
            retry_at = now + self._pause_s()
        else:
            retry_at = max(now, self._welcomed_at + LEAST_CONNECTION_S)
        return self._offline(now, retry_at, reason)

    def refused(self, now: float, *, is_final: bool, retry_s: float, reason: str) -> Actions:
        """The server said BYE, or answered the request for a connection with an error."""
        if self._line in (OFFLINE, OVER):
            return []
        if self._refused_since is None:
            self._refused_since = now
        if is_final or now - self._refused_since >= RETRY_BELIEVED_S:
            self._line = OVER
            return [Closed(True, 0.0, reason)]
        pause_s = min(max(retry_s, self._pause_s()), LONGEST_PAUSE_S)
        return self._offline(now, now + pause_s, reason)

    def hurry(self, now: float) -> None:
        """The network is back, or the user looks: the next try comes at once."""
        if self._line == OFFLINE:
            self._retry_at = min(self._retry_at, now)

    def due(self, now: float) -> Actions:
        """What time brings: a try to connect, a ping, or the end of a dead connection."""
        if self._line == OFFLINE and now >= self._retry_at:
            self._line, self._began_at, self._welcomed_at = CONNECTING, now, None
            return [Connect()]
        if self._line in (CONNECTING, GREETING) and now - self._began_at >= DEAD_S:
            return self.cut(now, "the server doesn't answer")
        if self._line == ONLINE:
            if now - self._heard_at >= DEAD_S:
                return self.cut(now, f"nothing was heard for {DEAD_S:g} s")
            if now - self._pinged_at >= PING_S:
                self._pinged_at = now
                self._pings += 1
                return [Send(Frame(wire.PING, self._pings))]
        return []

    def heard(self, frame: Frame, now: float) -> Actions:
        """A frame came. One that makes no sense ends the connection, and nothing of it is done."""
        if self._line not in (GREETING, ONLINE):
            return []
        self._heard_at = now
        if frame.kind == wire.OUTPUT and self._line == ONLINE:
            return self._output(frame, now)
        try:
            if frame.kind == wire.PING:
                return [Send(Frame(wire.PONG, frame.number))]
            if frame.kind == wire.BYE:
                return self._bye(frame.said(), now)
            if self._line == ONLINE:
                hear = self._HEARERS.get(frame.kind)
                return hear(self, frame, now) if hear is not None else []
            if frame.kind == wire.WELCOME:
                return self._welcome(frame.said(), now)
            return []
        except (ValueError, KeyError, TypeError) as error:
            return self._fault(now, f"frame {frame.kind}: {error}")

    # ---- frames

    def _welcome(self, says: Dict[str, Any], now: float) -> Actions:
        attached = Attached(
            str(says["session"]), str(says["server"]), whole(says["live"]), whole(says["first"])
        )
        accepted, base = whole(says["accepted"]), whole(says["output"])
        epoch = whole(says["epoch"])
        sized = Sized(whole(says["columns"], 1), whole(says["rows"], 1))
        news = self._news(says, says["fenced"])
        if self.role == DRIVER and not 0 <= accepted - self._accepted <= len(self._input):
            kept = f"{self._accepted} to {self._accepted + len(self._input)}"
            return self._fault(now, f"input goes on at {accepted}, but {kept} is known here")
        self._line, self._welcomed_at, self.offline_since = ONLINE, now, None
        self._failures, self._refused_since = 0, None
        self._live, self._base, self._is_live = attached.live, base, False
        self._exit = None
        actions: Actions = [attached, news]
        if self.role == DRIVER:
            self.epoch = epoch
            self._take(accepted)
            self._sent = accepted
        else:
            actions.append(sized)
        if self._is_fresh and attached.live <= base:  # nothing will come: it is empty
            actions += self._begin(base, b"")
            self._drawn = base
        self._told = self._received
        return actions + self._if_live() + self._pump()

    def _output(self, frame: Frame, now: float) -> Actions:
        end = frame.number + len(frame.payload)
        actions: Actions = []
        if self._is_fresh:
            if frame.number != self._base:
                return self._fault(now, f"output at {frame.number}, not {self._base}")
            actions = self._begin(frame.number, b"")
        elif frame.number > self._received:
            return self._fault(now, f"output at {frame.number}, not {self._received}")
        start, data = self._received, frame.payload[self._received - frame.number :]
        if not data:
            return actions
        self._received, self._faults, self._is_torn = end, 0, False
        if start < self._live < end:
            cut = self._live - start
            actions.append(Draw(start, data[:cut], True))
            start, data = self._live, data[cut:]
        actions.append(Draw(start, data, start < self._live))
        return actions + self._if_over() if self._exit is not None else actions

    def _gap(self, frame: Frame, now: float) -> Actions:
        says = frame.said()
        start, why = whole(says["from"]), str(says["why"])
        actions: Actions = []
        if self._is_fresh:
            start = self._received or start
            actions = [Reset(frame.number, b"")]
            self._is_fresh, self._drawn = False, -1
        elif frame.number <= self._received:
            return []
        else:
            start = self._received
        # Were the connection cut here, the next one had to begin with a whole screen.
        self._is_torn = True
        self._received = self._told = frame.number
        if start < frame.number:
            actions.append(Skipped(start, frame.number, why))
        self._gap_from = self._gap_from if self._gap_to == start else start
        self._gap_to = frame.number
        return actions + self.drawn(self._drawn) + self._if_over()

    def _snapshot(self, frame: Frame, now: float) -> Actions:
        self._faults = 0
        return self._begin(frame.number, frame.payload) + self._if_over()

    def _begin(self, offset: int, screen: bytes) -> Actions:
        """The screen begins anew at `offset`; what wasn't drawn before it is told."""
        actions: Actions = []
        if 0 < self._received < offset:
            actions.append(Skipped(self._received, offset, "skipped"))
        self._is_fresh = self._is_torn = False
        self._received = self._told = offset
        self._drawn, self._gap_from, self._gap_to = -1, 0, 0
        return [*actions, Reset(offset, screen)]

    def _accepted_more(self, frame: Frame, now: float) -> Actions:
        if self.role != DRIVER or frame.number <= self._accepted:
            return []
        if frame.number > self._sent:
            return self._fault(now, f"{frame.number} bytes accepted of {self._sent} sent")
        self._faults = 0
        self._take(frame.number)
        told: Actions = [Accepted(frame.number, len(self._input))]
        return told + self._pump()

    def _size(self, frame: Frame, now: float) -> Actions:
        says = frame.said()
        sized = Sized(whole(says["columns"], 1), whole(says["rows"], 1))
        return [] if self.role == DRIVER else [sized]

    def _heard_news(self, frame: Frame, now: float) -> Actions:
        says = frame.said()
        is_fenced = says["role"] == VIEWER and self.role == DRIVER
        return [self._news(says, is_fenced)]

    def _ended(self, frame: Frame, now: float) -> Actions:
        frame.said()
        self._exit = frame
        return self._if_over()

    def _bye(self, says: Dict[str, Any], now: float) -> Actions:
        return self.refused(
            now,
            is_final=says["final"] is True,
            retry_s=float(says.get("retry_s") or 0.0),
            reason=str(says.get("reason") or "the server ended the connection"),
        )

    _HEARERS: ClassVar[Dict[int, Callable[[ClientHalf, Frame, float], Actions]]] = {
        wire.GAP: _gap,
        wire.SNAPSHOT: _snapshot,
        wire.ACCEPTED: _accepted_more,
        wire.SIZE: _size,
        wire.NEWS: _heard_news,
        wire.EXIT: _ended,
    }

    # ---- what follows from it

    def _news(self, says: Dict[str, Any], is_fenced: bool) -> News:
        role = says["role"]
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role")
        driver = says["driver"]
        viewers = tuple(str(name) for name in says["viewers"])
        dropped_bytes = 0
        if role == VIEWER and self.role == DRIVER:
            dropped_bytes = len(self._input)
            self._drop_input()
            self.epoch = None
        if role == VIEWER:
            self.role = VIEWER
        driver = str(driver) if driver is not None else None
        return News(self.role, bool(is_fenced), driver, viewers, dropped_bytes)

    def _pump(self) -> Actions:
        """Send what was typed, as far as the window goes."""
        actions: Actions = []
        if self._line != ONLINE or self.role != DRIVER:
            return actions
        end = min(self._accepted + len(self._input), self._accepted + INPUT_WINDOW_BYTES)
        while self._sent < end:
            start = self._sent - self._accepted
            piece = bytes(self._input[start : min(start + PIECE_BYTES, end - self._accepted)])
            actions.append(Send(Frame(wire.INPUT, self._sent, piece)))
            self._sent += len(piece)
        return actions

    def _take(self, accepted: int) -> None:
        del self._input[: accepted - self._accepted]
        self._accepted = accepted

    def _drop_input(self) -> None:
        self._input.clear()
        self._accepted = self._sent = 0

    def _if_live(self) -> Actions:
        if self._is_live or self._is_fresh or self._line != ONLINE or self._drawn < self._live:
            return []
        self._is_live = True
        return [Live()]

    def _if_over(self) -> Actions:
        if self._exit is None or self._received < self._exit.number:
            return []
        says = self._exit.said()
        self._line = OVER
        return [
            Ended(
                says.get("code"),
                says.get("signal"),
                says.get("t_ns"),
                str(says.get("message") or ""),
                str(says.get("status") or ""),
            )
        ]

    def _pause_s(self) -> float:
        """Doubles with each failure in a row."""
        self._failures += 1
        return pause_s(self._failures, self._jitter())

    def _offline(self, now: float, retry_at: float, reason: str) -> Actions:
        self._line, self._retry_at, self._is_live = OFFLINE, retry_at, False
        if self.offline_since is None:
            self.offline_since = now
        return [Closed(False, retry_at - now, reason)]

    def _fault(self, now: float, reason: str) -> Actions:
        """The other end said what can't be. A new connection sets most of it right."""
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            self._line = OVER
            return [Closed(True, 0.0, f"the server isn't understood: {reason}")]
        return self._offline(now, now + self._pause_s(), f"the server isn't understood: {reason}")
