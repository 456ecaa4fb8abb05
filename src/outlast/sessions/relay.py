"""One client, joined to one session: its WebSocket, the supervisor's socket, and the journal.

The supervisor says only how long the journal is; the bytes are read from the file, from this
client's own offset and as far as it draws. So nobody waits for a client, and one that stops reading
costs its place and no more. Who may do what when is `wire.relay`; frames are handled as they come,
without a task in between, since every millisecond of an echo is felt.
A session that is over is served from its journal alone. Offers a client can't have (no such
session, no supervisor yet) are made in `server.routes.sessions`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import Any, NamedTuple, Protocol

from outlast.errors import Corrupt, JournalError, OutlastError, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.line import split
from outlast.journal.trim import first_offset
from outlast.run.folder import OUTPUT, TIMING, RunFolder
from outlast.sessions.link import Link, linked
from outlast.sessions.screens import Screens, Snapshot
from outlast.wire import frame as wire
from outlast.wire.frame import MAX_PAYLOAD_BYTES, Frame, Malformed, decode, telling
from outlast.wire.relay import Hello, ServerHalf
from outlast.wire.terminal import PIECE_BYTES, VIEWER, Actions, Closed, Forward, Picture, Read, Send

_log = logging.getLogger(__name__)

# Without an engine for snapshots a fresh client gets so much of the end; it fills one window.
TAIL_BYTES = 256 << 10
LINE_BYTES = 16 << 10  # a line that is longer is begun in its middle
# Output begins in small pieces, each twice the one before: over a connection that breaks again and
# again a large piece would never arrive whole, and the client would only fall behind.
FIRST_PIECE_BYTES = 1 << 10
# What the client's socket hasn't taken yet. Only one that says it draws what it doesn't read gets
# there; one that asks for answers without reading them is cut off at four times as much.
MOST_UNSENT_BYTES = 1 << 20
# Nobody types so fast: a client that says more waits for the rest of the second. A message counts
# once, and once more for every 16 KiB of it: 50 MB of input a second. Of what had come by then as
# much is heard again; then the client is cut off.
FRAMES_A_SECOND = 4_000
COUNTED_BYTES = 16 << 10
REFUSAL_S = 1.0  # a viewer's input is answered at most this often

FOLLOW_BYTES = 1 << 20
REDRAWN_S = 1.0  # an exact screen instead of an inexact one is tried at most this often


class Socket(Protocol):
    """The client's WebSocket, as the server offers it."""

    @property
    def unsent_bytes(self) -> int:
        """What was written and the kernel hasn't taken yet."""

    def write(self, message: bytes) -> None:
        """Send one binary message; never waits."""

    def listen(self, is_listening: bool) -> None:
        """Read the client's messages, or leave them unread for now."""


class Fate(NamedTuple):
    """How a session that is over ended."""

    code: int | None
    signal: int | None
    t_ns: int
    message: str
    status: str


class Relay:
    """One connection of one client; `serve` it, and call the methods below it as things come."""

    def __init__(
        self, socket: Socket, folder: RunFolder, hello: Hello, *, server: str, screens: Screens
    ) -> None:
        """`server` names this process of the server."""
        self._socket = socket
        self._folder = folder
        self._hello = hello
        self._server = server
        self._screens = screens
        self._followed = 0  # offset at which the engine was last told that there is more
        self._half = ServerHalf(hello, time.monotonic())
        self._link: Link | None = None
        self._cursor = Cursor(folder.file(OUTPUT))
        self._piece_bytes = FIRST_PIECE_BYTES
        self._gaps = _gaps(folder)
        self._end_at, self._end_bytes = 0, b""  # the journal's last bytes, as they were told
        self._size = (hello.columns, hello.rows)
        self._has_exited = False
        self._news: dict[str, Any] = {}  # the last, for a viewer that has to be told again
        self._told_at = float("-inf")
        self._second, self._frames = 0, 0
        self._pauses: set[str] = set()  # why the client isn't read at present
        self._timer: asyncio.TimerHandle | None = None
        self._picturing: asyncio.Task[None] | None = None
        self._awaiting: asyncio.Task[None] | None = None  # that an exact picture can be had
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def role(self) -> str:
        """What the client is at present: driver or viewer."""
        return self._half.role

    async def attach(self) -> None:
        """Take the client's place at the supervisor, and welcome it.

        Raises Unreachable when no supervisor listens or answers, Refused when it says no; the
        client has been told nothing then.
        """
        link = await linked(self._folder, self._hello.attach(), self)
        try:
            answer = await link.answered()
        except BaseException:
            link.close()
            raise
        self._link = link
        self._welcome(answer)

    def show(self, fate: Fate, columns: int, rows: int) -> None:
        """Welcome the client to a session that is over: what it printed, and how it ended."""
        length = self._cursor.size()
        self._welcome(
            {
                "role": VIEWER,
                "epoch": 0,
                "accepted": 0,
                "written": length,
                "columns": columns,
                "rows": rows,
                "fenced": False,
                "driver": None,
                "viewers": [],
            }
        )
        self._exited(telling(wire.EXIT, length, **fate._asdict()))

    async def serve(self) -> str:
        """Until the client goes, or is told to; returns why."""
        return await self._over

    def close(self) -> None:
        """Give everything back."""
        for held in (self._timer, self._picturing, self._awaiting):
            if held is not None:
                held.cancel()
        if self._link is not None:
            self._link.close()
        self._cursor.close()
        self._end("closed")

    def say_goodbye(self, reason: str, *, is_final: bool = False, retry_s: float = 0.0) -> None:
        """Tell the client why it is cut off, and end."""
        self._do([Send(goodbye(reason, is_final=is_final, retry_s=retry_s))])
        self._end(reason)

    # --- the client's socket ---

    def message(self, message: bytes | str) -> None:
        """The client said something."""
        if self._over.done():
            return
        self._count(len(message))
        if self._over.done():
            return
        try:
            if isinstance(message, str):
                raise Malformed("only binary messages are frames")
            frame = decode(message)
        except Malformed as error:
            self.say_goodbye(str(error))
            return
        if frame.kind == wire.INPUT and self._half.role == VIEWER == self._hello.role:
            self._refuse_input()
        self._do(self._half.heard(frame, time.monotonic()))
        self._go_on()

    def drained(self) -> None:
        """The client's socket takes more."""
        self._go_on()

    def gone(self) -> None:
        """The client's socket is closed."""
        self._end("the client is gone")

    def _count(self, size_bytes: int) -> None:
        now = time.monotonic()
        if int(now) != self._second:
            self._second, self._frames = int(now), 0
        before, self._frames = self._frames, self._frames + 1 + size_bytes // COUNTED_BYTES
        if before < FRAMES_A_SECOND <= self._frames:
            self._pause("it says too much", True)
            rest_s = self._second + 1 - now
            asyncio.get_running_loop().call_later(rest_s, self._pause, "it says too much", False)
        elif self._frames > 2 * FRAMES_A_SECOND:
            self.say_goodbye("it says too much at once", retry_s=1.0)

    def _pause(self, why: str, is_paused: bool) -> None:
        (self._pauses.add if is_paused else self._pauses.discard)(why)
        self._socket.listen(not self._pauses)

    def _refuse_input(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= REFUSAL_S:
            self._told_at = now
            refusal = "a viewer's keys are not passed on"
            self._do([Send(telling(wire.NEWS, **{**self._news, "refused": refusal}))])

    # --- the supervisor's ---

    def relayed(self, frame: Frame) -> None:
        """The supervisor said something."""
        if self._over.done():
            return
        if frame.kind == wire.EXIT:
            self._exited(frame)
            return
        if frame.kind == wire.GAP:
            self._gaps.append((int(frame.said()["from"]), frame.number))
        elif frame.kind == wire.WRITTEN:
            self._end_at, self._end_bytes = frame.number - len(frame.payload), frame.payload
            if frame.number - self._followed >= FOLLOW_BYTES:
                self._followed = frame.number
                self._screens.follow(self._folder)
        elif frame.kind == wire.NEWS:
            self._news = frame.said()
        elif frame.kind == wire.SIZE:
            said = frame.said()
            self._size = (int(said["columns"]), int(said["rows"]))
        self._do(self._half.relayed(frame, time.monotonic()))
        self._go_on()

    def unlinked(self) -> None:
        """The supervisor ended, or was replaced: who comes again finds out which."""
        if not self._has_exited and not self._over.done():
            self.say_goodbye("the session's supervisor was replaced")

    def is_full(self, is_full: bool) -> None:
        """The supervisor doesn't take input at present."""
        self._pause("the terminal takes no input", is_full)

    # --- what follows from it ---

    def _welcome(self, answer: dict[str, Any]) -> None:
        self._size = (answer["columns"], answer["rows"])
        self._news = {key: answer.get(key) for key in ("role", "epoch", "driver", "viewers")}
        first = first_offset(self._cursor.path)
        actions = self._half.attached(
            answer, session=self._folder.run_id, server=self._server, first=first
        )
        self._do(actions)
        self._go_on()
        self._set_timer()

    def _exited(self, frame: Frame) -> None:
        self._has_exited = True
        self._do(self._half.exited(frame))
        self._go_on()

    def _do(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._socket.write(action.frame.encode())
                if self._socket.unsent_bytes > 4 * MOST_UNSENT_BYTES:
                    self._end("the client doesn't read what it asks for")
            elif isinstance(action, Forward):
                if self._link is not None:
                    self._link.send(action.frame)
            elif isinstance(action, Closed):
                self._end(action.reason)

    def _go_on(self) -> None:
        """Send what the client may get now."""
        while not self._over.done() and self._socket.unsent_bytes < MOST_UNSENT_BYTES:
            wanted = self._half.next(time.monotonic())
            if wanted is None:
                return
            if isinstance(wanted, Picture):
                drawing = self._picture() if wanted.up_to is None else self._redraw(wanted.up_to)
                self._picturing = asyncio.get_running_loop().create_task(drawing)
                return
            if not self._read(wanted):
                return

    def _read(self, wanted: Read) -> bool:
        """Hand over what is in the journal there; False when there is nothing."""
        limit_bytes = min(wanted.limit_bytes, self._piece_bytes)
        self._piece_bytes = min(2 * self._piece_bytes, PIECE_BYTES)
        for start, end in self._gaps:
            if start <= wanted.offset < end:
                self._do(self._half.skip(end, "lost"))
                return True
            if wanted.offset < start:
                limit_bytes = min(limit_bytes, start - wanted.offset)
        if wanted.offset == self._end_at and 0 < len(self._end_bytes) <= limit_bytes:
            self._do(self._half.read(self._end_bytes, time.monotonic()))
            return True
        self._cursor.offset = wanted.offset
        try:
            data = self._cursor.read_bytes(limit_bytes)
        except Trimmed as error:
            self._do(self._half.skip(int(error.facts["first"]), "trimmed"))
            return True
        except (Corrupt, JournalError) as error:
            _log.error("run=%s: %s", self._folder.run_id, error.message)
            self.say_goodbye("its output can't be read", retry_s=1.0)
            return False
        self._do(self._half.read(data, time.monotonic()))
        return bool(data)

    async def _picture(self) -> None:
        """The screen as it is by now; without an engine for that, the end of the output."""
        shot = await self._shot()
        if shot is not None:
            self._do(self._half.snapshot(shot.offset, shot.data, time.monotonic()))
            if shot.will_be_exact:
                self._await_exact()
        else:
            try:
                start = tail_start(self._cursor, TAIL_BYTES)
            except JournalError as error:
                _log.error("run=%s: %s", self._folder.run_id, error.message)
                self.say_goodbye("its output can't be read", retry_s=1.0)
                return
            self._do(self._half.skip(start, "tail"))
        self._go_on()

    async def _redraw(self, up_to: int) -> None:
        """The screen that the client has, but exact; without one, the client keeps its own."""
        shot = await self._shot(up_to)
        if shot is not None and shot.is_exact:
            self._do(self._half.snapshot(shot.offset, shot.data, time.monotonic()))
        else:
            self._half.not_redrawn()
            if shot is not None and shot.will_be_exact:
                self._await_exact(REDRAWN_S)
        self._go_on()

    async def _shot(self, up_to: int | None = None) -> Snapshot | None:
        try:
            shot = await self._screens.snapshot(self._folder, *self._size, up_to=up_to)
        except (OutlastError, OSError) as error:
            _log.warning("no snapshot run=%s: %s", self._folder.run_id, error)
            return None
        return shot if shot is None or len(shot.data) <= MAX_PAYLOAD_BYTES else None

    def _await_exact(self, rest_s: float = 0.0) -> None:
        """Have the screen drawn once more as soon as the engine has followed the output."""
        if self._awaiting is None or self._awaiting.done():
            waiting = self._until_exact(rest_s)
            self._awaiting = asyncio.get_running_loop().create_task(waiting)

    async def _until_exact(self, rest_s: float) -> None:
        await asyncio.sleep(rest_s)
        if await self._screens.caught_up(self._folder):
            self._half.redraw()
            self._go_on()

    def _set_timer(self) -> None:
        wait_s = self._half.wait_s(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._do(self._half.due(time.monotonic()))
        if not self._over.done():
            self._set_timer()

    def _end(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(reason)


def goodbye(reason: str, *, is_final: bool, retry_s: float = 0.0) -> Frame:
    """BYE, for a client that can't be served, or not now."""
    return telling(wire.BYE, final=is_final, retry_s=retry_s, reason=reason)


def tail_start(cursor: Cursor, size_bytes: int) -> int:
    """Where the last `size_bytes` of the output begin, moved on to the start of a line."""
    first = first_offset(cursor.path)
    start = max(first, cursor.size() - size_bytes)
    if start == first:
        return start
    cursor.offset = start
    line_end = cursor.read_bytes(LINE_BYTES).find(b"\n")
    return start if line_end < 0 else start + line_end + 1


def _gaps(folder: RunFolder) -> list[tuple[int, int]]:
    """What a full disk has left out of the output, as far as it was noted."""
    gaps: list[tuple[int, int]] = []
    if not os.path.exists(folder.file(TIMING)):
        return gaps
    with Cursor(folder.file(TIMING)) as cursor:
        while lines := cursor.read_lines():
            if b'"gap"' in lines:  # a busy day's times are tens of megabytes, and the loop waits
                bodies = [body for body in split(lines).bodies if b'"gap"' in body]
                gaps += [tuple(json.loads(body)["gap"]) for body in bodies]
    return gaps
