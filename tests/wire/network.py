"""A session, its server and clients, in one process, over a network that does what a test says.

Nothing is timed: the test delivers frames, cuts links, kills processes and lets time pass. Each
client checks what it draws against the journal; the PTY checks what it is typed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from outlast.wire import frame as wire
from outlast.wire.client import ClientHalf
from outlast.wire.driver import DriverLedger
from outlast.wire.frame import Frame, decode, telling
from outlast.wire.relay import Hello, ServerHalf
from outlast.wire.terminal import (
    Action,
    Actions,
    Attached,
    Closed,
    Connect,
    Draw,
    Ended,
    Forward,
    Live,
    News,
    Picture,
    Read,
    Reset,
    Send,
    Skipped,
)

WHOLE = bytes(range(256)) * (1 << 12)


def printed(start: int, size_bytes: int) -> bytes:
    """The journal's bytes from `start` on: no two neighbouring windows of it look alike."""
    # 251 is prime: the pattern doesn't line up with any window.
    at = start % 251
    return (WHOLE[:251] * (size_bytes // 251 + 2))[at : at + size_bytes]


class Session:
    """Supervisor and PTY."""

    def __init__(self) -> None:
        self.written = 0
        self.first = 0
        self.exit: Frame | None = None
        self.ledger = DriverLedger()
        self.kept = b""
        self.typed: dict[str, bytearray] = {}  # by the driver's key: what reached the PTY
        self.seats: dict[int, Link] = {}
        self.seat_count = 0

    def attach(self, link: Link, hello: Hello) -> dict[str, object]:
        self.seat_count += 1
        seat = link.seat = self.seat_count
        grant = self.ledger.attach(seat, hello.role, bytes.fromhex(hello.key), hello.epoch)
        if grant.has_changed:
            self.keep()
        self.seats[seat] = link
        if grant.replaced in self.seats:
            older = self.seats.pop(grant.replaced)
            older.say(telling(wire.BYE, final=False, retry_s=0, reason="another connection"))
        if grant.displaced in self.seats:
            self.seats[grant.displaced].say(self.news("viewer"))
        return {
            "role": grant.role, "epoch": grant.epoch, "accepted": grant.accepted,
            "written": self.written, "columns": 80, "rows": 24, "fenced": grant.is_fenced,
            "driver": "someone", "viewers": [],
        }  # fmt: skip

    def news(self, role: str) -> Frame:
        return telling(wire.NEWS, role=role, epoch=self.ledger.epoch, driver="other", viewers=[])

    def keep(self) -> None:
        self.kept = self.ledger.to_bytes()

    def take(self, link: Link, frame: Frame) -> None:
        if frame.kind == wire.INPUT and link.seat in self.seats:
            self.ledger.take(link.seat, frame.number, frame.payload)

    def type(self, most_bytes: int) -> None:
        """The PTY takes some of what is held."""
        data = bytes(self.ledger.held[:most_bytes])
        if not data or self.exit is not None:
            return
        self.typed.setdefault(self.ledger.key.hex(), bytearray()).extend(data)
        accepted = self.ledger.wrote(len(data))
        self.keep()
        if self.ledger.seat in self.seats:
            self.seats[self.ledger.seat].say(Frame(wire.ACCEPTED, accepted))

    def print(self, size_bytes: int) -> None:
        if self.exit is None:
            self.written += size_bytes
            self.tell_written()

    def tell_written(self) -> None:
        for link in self.seats.values():
            link.say(Frame(wire.WRITTEN, self.written))

    def end(self) -> None:
        if self.exit is None:
            self.exit = telling(wire.EXIT, self.written, code=7, status="Completed")
            for link in self.seats.values():
                link.say(self.exit)

    def kill(self) -> None:
        """kill -9 of the supervisor: its keeper goes on from what was kept."""
        for link in list(self.seats.values()):
            link.say(telling(wire.BYE, final=False, retry_s=0.2, reason="not there yet"))
        self.seats.clear()
        self.ledger = DriverLedger.from_bytes(self.kept)


class Link:
    """One WebSocket and the relay behind it."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.is_black = False  # what is sent vanishes, and nobody is told
        self.is_open_here = self.is_open_there = True
        self.half: ServerHalf | None = None
        self.seat = 0

    def send_up(self, frame: Frame) -> None:
        if not self.is_black:
            self.up.append(frame.encode())

    def deliver_up(self) -> bool:
        """The next frame reaches the server; False when it isn't read, since the PTY is full."""
        is_full = self.seat == self.server.session.ledger.seat and self.is_open_there
        if not self.up or (is_full and not self.server.session.ledger.wants_input):
            return False
        frame = decode(self.up.popleft())
        if self.is_open_there:
            self.hear(frame)
        return True

    def hear(self, frame: Frame) -> None:
        if self.half is not None:
            self.do(self.half.heard(frame, self.server.now()))
            return
        hello = Hello.of(frame)
        half = ServerHalf(hello, self.server.now())
        session = self.server.session
        if session.exit is not None:  # served from the journal alone
            answer: dict[str, object] = {
                "role": "viewer", "epoch": 0, "accepted": 0, "written": session.written,
                "columns": 80, "rows": 24,
            }  # fmt: skip
        else:
            answer = session.attach(self, hello)
        self.half = half
        first, name = session.first, self.server.name
        self.do(half.attached(answer, session="s", server=name, first=first))
        if session.exit is not None:
            self.do(half.exited(session.exit))

    def say(self, frame: Frame) -> None:
        """The supervisor says something."""
        if self.half is not None and self.is_open_there:
            self.do(self.half.relayed(frame, self.server.now()))

    def serve(self) -> bool:
        """One turn of the relay; False when there was nothing to do."""
        if self.half is None or not self.is_open_there:
            return False
        session, now = self.server.session, self.server.now()
        want = self.half.next(now)
        if want is None:
            return False
        if isinstance(want, Picture):
            if session.written % 5:
                at = max(session.first, session.written - session.written % 100)
                self.do(self.half.snapshot(at, b"screen at %d" % at, now))
            else:  # no engine
                self.do(self.half.skip(max(session.first, session.written - 1000), "tail"))
        elif want.offset < session.first:
            self.do(self.half.skip(session.first, "trimmed"))
        else:
            assert isinstance(want, Read)
            size_bytes = min(want.limit_bytes, session.written - want.offset)
            self.do(self.half.read(printed(want.offset, size_bytes), now))
        return True

    def do(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                if not self.is_black:
                    self.down.append(action.frame.encode())
            elif isinstance(action, Forward):
                self.server.session.take(self, action.frame)
            else:
                assert isinstance(action, Closed), action
                assert "drawn up to" not in action.reason, action.reason
                self.close_there()

    def close_there(self) -> None:
        """The server's end is gone; the client notices unless the link is black."""
        self.is_open_there = False
        session = self.server.session
        if session.seats.get(self.seat) is self:
            del session.seats[self.seat]
        session.ledger.leave(self.seat)

    def notice(self) -> None:
        """Ends that are closed are seen by the other side, once all before it was delivered."""
        if self.is_black:
            return
        if self.is_open_here and not self.is_open_there and not self.down:
            self.is_open_here = False
            self.client.lost(self)
        if self.is_open_there and not self.is_open_here and not self.up:
            self.close_there()


class Server:
    def __init__(self, session: Session, now: Callable[[], float]) -> None:
        self.session, self.now = session, now
        self.name = "server-1"
        self.is_up = True
        self.is_starting = False

    def kill(self, links: list[Link]) -> None:
        self.is_up = False
        for link in links:
            if link.is_open_there:
                link.close_there()

    def start(self) -> None:
        if not self.is_up:
            self.is_up = True
            self.name = f"server-{int(self.name[7:]) + 1}"


class Client:
    """A client that checks what it is told to draw."""

    def __init__(self, server: Server, name: str, role: str) -> None:
        self.server, self.name = server, name
        self.keys = 0
        self.half = ClientHalf(self.new_key(), role=role, who=name, jitter=lambda: 0.5)
        self.link: Link | None = None
        self.links: list[Link] = []
        self.typed: dict[str, bytearray] = {}  # by key
        self.count = 0
        self.at: int | None = None  # up to where the screen shows the journal
        self.undrawn: deque[tuple[int, int]] = deque()  # (offset, bytes)
        self.skipped_bytes = 0
        self.is_live = False
        self.live = 0
        self.end: Ended | None = None
        self.story: list[Action] = []

    def new_key(self) -> str:
        self.keys += 1
        return f"{self.name.encode().hex():0>28}{self.keys:04x}"

    def type(self, size_bytes: int) -> None:
        data = bytes((self.count + i) % 247 for i in range(size_bytes))
        if self.half.role == "driver" and not self.half.is_over:
            self.typed.setdefault(self.half.key, bytearray()).extend(data)
            self.count += size_bytes
        self.do(self.half.typed(data))

    def deliver(self) -> None:
        link = self.link
        assert link is not None
        frame = decode(link.down.popleft())
        if link.is_open_here:
            self.do(self.half.heard(frame, self.server.now()))

    def lost(self, link: Link) -> None:
        if link is self.link:
            self.do(self.half.cut(self.server.now()))

    def draw(self, most: int) -> None:
        for _ in range(min(most, len(self.undrawn))):
            self.do(self.half.drawn(self.undrawn.popleft()[0]))

    def tick(self) -> None:
        self.do(self.half.due(self.server.now()))

    def do(self, actions: Actions) -> None:
        for action in actions:
            self.story.append(action)
            if isinstance(action, Send):
                assert self.link is not None
                self.link.send_up(action.frame)
            elif isinstance(action, Connect):
                self.connect()
            elif isinstance(action, Closed):
                assert "understood" not in action.reason, action.reason
                self.is_live = False
                if self.link is not None:
                    self.link.is_open_here = False
            else:
                self.show(action)

    def show(self, action: Action) -> None:
        if isinstance(action, Draw):
            assert action.offset == self.at, "drawn twice, or skipped silently"
            assert action.data == printed(action.offset, len(action.data))
            self.at = action.offset + len(action.data)
            self.undrawn.append((self.at, len(action.data)))
        elif isinstance(action, Reset):
            assert action.data in (b"", b"screen at %d" % action.offset)
            self.at = action.offset
            self.undrawn.append((self.at, len(action.data)))
        elif isinstance(action, Skipped):
            assert action.start < action.end
            assert self.at is None or action.why == "tail" or action.start <= (self.at or 0)
            self.skipped_bytes += action.end - action.start
            self.at = action.end
        elif isinstance(action, Live):
            assert not self.is_live
            assert not any(size and at <= self.live for at, size in self.undrawn), "too early"
            self.is_live = True
        elif isinstance(action, Attached):
            self.live = action.live
        elif isinstance(action, Ended):
            assert self.end is None
            assert self.at == self.server.session.written
            self.end = action
        elif isinstance(action, News) and action.dropped_bytes:
            assert action.role == "viewer"

    def connect(self) -> None:
        now = self.server.now()
        if not self.server.is_up:
            self.do(self.half.cut(now, "refused"))
        elif self.server.is_starting:
            self.do(self.half.refused(now, is_final=False, retry_s=0.5, reason="starting"))
        else:
            self.link = Link(self.server, self)
            self.links.append(self.link)
            self.do(self.half.connected(now))
