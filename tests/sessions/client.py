"""A client of a session, as small as one can be: ClientHalf, a WebSocket, and what was drawn."""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
from collections.abc import Callable
from typing import Any

from outlast.errors import OutlastError
from outlast.transport.address import Address
from outlast.transport.websocket import WebSocket
from outlast.wire.client import ClientHalf
from outlast.wire.frame import Malformed, decode
from outlast.wire.terminal import (
    Actions,
    Attached,
    Closed,
    Connect,
    Draw,
    Ended,
    News,
    Reset,
    Send,
    Skipped,
)


class Client:
    """Draws into memory; `until` is its loop."""

    def __init__(
        self,
        address: Address,
        session: str,
        *,
        role: str = "driver",
        columns: int = 80,
        rows: int = 24,
        who: str = "test",
        bytes_a_second: float = 0.0,
        seed: int = 0,
    ) -> None:
        """`bytes_a_second` is how fast it draws; 0 = at once."""
        self.half = ClientHalf(
            os.urandom(16).hex(), role=role, columns=columns, rows=rows, who=who,
            jitter=random.Random(seed).random,
        )  # fmt: skip
        self.address = address
        self.path = f"/api/sessions/{session}/terminal"
        self.drawn = bytearray()  # everything, in the order drawn
        self.offsets: list[tuple[int, int]] = []  # what of the journal it was: [start, end)
        self.resets: list[tuple[int, bytes]] = []
        self.skipped: list[Skipped] = []
        self.news: list[News] = []
        self.attached: list[Attached] = []
        self.closed: list[Closed] = []
        self.ended: Ended | None = None
        self.connections = 0
        self._rate = bytes_a_second
        self._may_draw_at = 0.0
        self._undrawn: list[int] = []  # offsets that a slow client has yet to draw
        self._socket: WebSocket | None = None

    # --- what a user does ---

    def type(self, data: bytes) -> None:
        self._do(self.half.typed(data))

    def resize(self, columns: int, rows: int) -> None:
        self._do(self.half.resized(columns, rows))

    def until(self, is_it: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Go on until this holds; fails when it doesn't come."""
        deadline = time.monotonic() + timeout_s
        while not is_it():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise AssertionError(f"it never came to that: {self}")
            self.turn(left_s)

    def until_drawn(self, text: bytes, timeout_s: float = 30.0) -> None:
        self.until(lambda: text in self.drawn, timeout_s)

    def turn(self, most_s: float) -> None:
        """One look at the socket and the clock, waiting at most so long."""
        wait_s = min(most_s, self.half.wait_s(time.monotonic()))
        if self._undrawn:
            wait_s = min(wait_s, max(0.0, self._may_draw_at - time.monotonic()))
        if self._socket is None:
            time.sleep(min(wait_s, 0.5))
        else:
            fd = self._socket.fileno()
            writes = [fd] if self._socket.wants_write else []
            select.select([fd], writes, [], wait_s)
            self._read()
        self._draw_slowly()
        self._do(self.half.due(time.monotonic()))

    def stand_still(self, seconds: float) -> None:
        """As a stopped process: nothing is read and nothing answered."""
        time.sleep(seconds)

    def cut(self) -> None:
        """The network breaks."""
        self._drop()
        self._do(self.half.cut(time.monotonic()))

    def close(self) -> None:
        self._drop()

    @property
    def text(self) -> str:
        return self.drawn.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return (
            f"online={self.half.is_online} over={self.half.is_over} at={self.half.received} "
            f"queued={self.half.queued_bytes} connections={self.connections} "
            f"closed={self.closed[-3:]} ended={self.ended} drawn=…{bytes(self.drawn[-300:])!r}"
        )

    # --- inside ---

    def _read(self) -> None:
        assert self._socket is not None
        try:
            if self._socket.wants_write:
                self._socket.flush()
            messages = self._socket.receive()
        except OutlastError as error:
            self._drop()
            self._do(self.half.cut(time.monotonic(), error.message))
            return
        for message in messages:
            try:
                frame = decode(message)
            except Malformed:
                raise AssertionError(f"the server sent {message!r}") from None
            self._do(self.half.heard(frame, time.monotonic()))

    def _do(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Connect):
                self._connect()
            elif isinstance(action, Draw):
                self.drawn += action.data
                end = action.offset + len(action.data)
                self.offsets.append((action.offset, end))
                self._drew(end)
            elif isinstance(action, Reset):
                self.resets.append((action.offset, action.data))
                self.drawn += action.data
                self._drew(action.offset)
            else:
                self._note(action)

    def _note(self, action: Any) -> None:
        if isinstance(action, Closed):
            self.closed.append(action)
            self._drop()
        elif isinstance(action, Skipped):
            self.skipped.append(action)
        elif isinstance(action, News):
            self.news.append(action)
        elif isinstance(action, Attached):
            self.attached.append(action)
        elif isinstance(action, Ended):
            self.ended = action

    def _drew(self, offset: int) -> None:
        if self._rate:
            self._undrawn.append(offset)
        else:
            self._do(self.half.drawn(offset))

    def _draw_slowly(self) -> None:
        while self._undrawn and time.monotonic() >= self._may_draw_at:
            offset = self._undrawn.pop(0)
            before = self._undrawn[0] if self._undrawn else offset
            self._may_draw_at = time.monotonic() + abs(before - offset) / self._rate
            self._do(self.half.drawn(offset))

    def _connect(self) -> None:
        self.connections += 1
        try:
            self._socket = WebSocket(self.address, self.path, timeout_s=6.0)
        except OutlastError as error:
            self._do(self.half.cut(time.monotonic(), error.message))
        else:
            self._do(self.half.connected(time.monotonic()))

    def _send(self, action: Send) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(action.frame.encode())
        except OutlastError as error:
            self._drop()
            self._do(self.half.cut(time.monotonic(), error.message))

    def _drop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OutlastError):
                self._socket.close()
            self._socket = None
