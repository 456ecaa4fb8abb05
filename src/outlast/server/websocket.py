"""One WebSocket as bytes: how much it may say, who gets its messages, and how it ends.

uvicorn's protocol with what it lacks: messages that go straight to whoever handles them, a bound on
frames and on answers that nobody reads, and an end for a client that reads nothing. Left to itself
such a client is never told: what it was sent waits in the kernel, which keeps the closed socket,
answers nothing, and may do so for minutes. Requests before the upgrade are `connections`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

log = logging.getLogger(__name__)

# So long a client may take to read what it was sent last and to close its side.
LAST_WORDS_S = 1.0
# Of one WebSocket, whatever they hold: pings, pieces of messages, messages. A tunnel at full speed
# has a tenth of it. Who says more is cut off, and so is who asks for answers without reading them.
MOST_FRAMES_A_SECOND = 10_000
MOST_UNREAD_BYTES = 1 << 20
MOST_FRAGMENTS = 1_000  # of one message: each costs fifty bytes, even an empty one
_BINARY = 0x82  # a whole binary message in one frame


class Taker(Protocol):
    """Who handles a WebSocket's messages as they come."""

    def message(self, message: bytes | str) -> None:
        """The client said this."""

    def drained(self) -> None:
        """The socket takes more."""

    def gone(self) -> None:
        """The socket is closed."""


class Leaving:
    """A transport that ends for sure: `close` waits a second for the client, `abort` not at all.

    After either it is closing for everybody above, and what is written is dropped.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._is_lost = False
        self._dropped_bytes = 0
        self._limit: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._limit is not None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Say that no more will be written, and close when the client has closed its side."""
        if self.is_closing():
            return
        # Read on: a socket that is closed with unread bytes is reset, and its last words are lost.
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS says so by itself
            self._transport.close()
        self._limit = self._loop.call_later(LAST_WORDS_S, self.abort)

    def abort(self) -> None:
        """Reset: what the client hasn't read is thrown away, by the kernel as well."""
        if not self._is_lost:
            reset = struct.pack("ii", 1, 0)
            found: socket.socket = self._transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self._transport.abort()

    def drop(self, data: bytes) -> None:
        """This came after the end; who says on and on doesn't listen."""
        self._dropped_bytes += len(data)
        if self._dropped_bytes > MOST_UNREAD_BYTES:
            self.abort()

    def lost(self) -> None:
        """The connection is gone: there is nothing left to wait for."""
        self._is_lost = True
        if self._limit is not None:
            self._limit.cancel()


class Begun:
    """Where the frames of a client begin, however its bytes were cut up."""

    def __init__(self) -> None:
        self._head = b""  # of a frame, as far as it came
        self._left_bytes = 0  # of the last frame that began

    def count(self, data: bytes, most: int) -> int:
        """How many begin in what comes next; it looks no further than `most`."""
        data = self._head + data if self._head else data
        at, count, end = self._left_bytes, 0, len(data)
        while end - at >= 2 and count < most:
            length = data[at + 1] & 127
            start = at + 2
            if length > 125:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start], "big")
            start += 4 * (data[at + 1] >> 7)  # the mask
            if start > end:
                break
            at, count = start + length, count + 1
        self._head, self._left_bytes = data[at:], max(0, at - end)
        return count


class WebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, counted as the connection that it was before.

    A route gets it in scope["extensions"]["outlast.socket"]. By `hand_to` it spares each message a
    queue, a task and two changes of what the loop listens to: half of the time of an echo.
    """

    def __init__(self, *, leave: Callable[[], None], ip: str, **options: Any) -> None:
        """`leave` is called once, when the connection is lost."""
        super().__init__(**options)
        self.leave = leave
        self.ip = ip
        self.taker: Taker | None = None
        self._begun = Begun()
        self._second, self._frames = 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.leaving = Leaving(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, self.leaving))

    def hand_to(self, taker: Taker) -> None:
        """From now on messages go to `taker`; first of all those that wait already."""
        self.taker = taker
        while not self.queue.empty():
            waiting: Any = self.queue.get_nowait()
            if waiting["type"] == "websocket.receive":
                taker.message(waiting.get("bytes") or waiting.get("text") or b"")
            else:
                taker.gone()
        self.listen(True)

    @property
    def unsent_bytes(self) -> int:
        """What was written and the kernel hasn't taken yet."""
        return self.transport.get_write_buffer_size()

    @property
    def is_full(self) -> bool:
        """Is so much unsent that `drained` will tell when there is room again?"""
        return not self.writable.is_set()

    def write(self, message: bytes | memoryview) -> None:
        """Send one binary message at once; nothing happens when the socket is closed."""
        if self.conn.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(b"".join((_head(len(message)), message)))

    def finish(self, code: int = 1000) -> None:
        """Close; a client that doesn't read what it was sent last is cut off soon."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def listen(self, is_listening: bool) -> None:
        """Read messages, or leave them unread for now."""
        if self.read_paused == is_listening and not self.transport.is_closing():
            self.read_paused = not is_listening
            (self.transport.resume_reading if is_listening else self.transport.pause_reading)()

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.transport.is_closing():
            self._count(data)
        if self.transport.is_closing() or self.disconnected:
            self.leaving.drop(data)
            return
        super().data_received(data)

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)

    def shutdown(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAGMENTS:
            self._cut_off("a message in too many pieces")

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.unsent_bytes > MOST_UNREAD_BYTES:
            self._cut_off("answers that it doesn't read")

    def _count(self, data: bytes) -> None:
        """Count the frames that begin here before any of them is parsed."""
        now = int(self.loop.time())
        if now != self._second:
            self._second, self._frames = now, 0
        self._frames += self._begun.count(data, MOST_FRAMES_A_SECOND)
        if self._frames >= MOST_FRAMES_A_SECOND:
            self._cut_off("too many frames in a second")

    def _cut_off(self, why: str) -> None:
        if not self.transport.is_closing():
            log.warning("cut off a WebSocket of %s: %s", self.ip, why)
            self.frames = []
            self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["outlast.socket"] = self

    def send_receive_event_to_app(self) -> None:
        if self.taker is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        is_text = self.curr_msg_data_type == "text"
        self.taker.message(data.decode("utf-8", "replace") if is_text else data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.taker is not None:
            self.taker.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self.leaving.lost()
        super().connection_lost(exc)
        if self.taker is not None:
            self.taker.gone()


def _head(size_bytes: int) -> bytes:
    """What stands before the payload of a server's binary message."""
    if size_bytes < 126:
        return bytes((_BINARY, size_bytes))
    if size_bytes < 1 << 16:
        return struct.pack(">BBH", _BINARY, 126, size_bytes)
    return struct.pack(">BBQ", _BINARY, 127, size_bytes)
