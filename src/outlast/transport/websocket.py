"""A WebSocket without threads and callbacks, for whoever waits on several things at once.

Opening it takes the time that it takes; after that nothing blocks: wait for `fileno()` with select
or poll, for writing too while `wants_write`. Messages are binary, uncompressed, and at most
MAX_MESSAGE_BYTES. It neither pings nor reconnects: what is said on it does (see `wire`).
The protocol itself is `websockets`' ClientProtocol, whose mask is written in C.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from outlast.errors import Invalid, OutlastError, Unreachable
from outlast.transport.address import Address
from outlast.transport.refusal import error_of

OPENING_TIMEOUT_S = 6.0
MAX_MESSAGE_BYTES = (1 << 20) + 64
_READ_BYTES = 256 << 10
# A turn of the caller's loop: more would keep it from its keys.
_MOST_READ_BYTES = 1 << 20
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class WebSocket:
    """One open WebSocket to a server's `path`, with the address's token."""

    def __init__(
        self,
        address: Address,
        path: str,
        *,
        timeout_s: float = OPENING_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises Unreachable, or what the server answers instead: Refused, NotFound, …"""
        parts = urlsplit(address.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid.field("url", address.url, "give the server as http(s)://HOST:PORT")
        is_tls = parts.scheme == "https"
        uri = parse_uri(f"{'wss' if is_tls else 'ws'}://{parts.netloc}{path}")
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
        self._unsent: deque[memoryview] = deque()
        self._parts: list[bytes] = []  # of a message that came in several frames
        where = (parts.hostname, parts.port or (443 if is_tls else 80))
        try:
            self._socket: socket.socket = socket.create_connection(where, timeout_s)
        except OSError as error:
            raise Unreachable(_reason(error)) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_tls:
                context = tls or ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
            self._early = self._shake_hands(address.token, path)
            self._socket.setblocking(False)
        except (OSError, InvalidHandshake) as error:
            self._socket.close()
            raise Unreachable(_reason(error)) from None
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Is something unsent? Then call `flush` when the socket can be written."""
        return bool(self._unsent)

    @property
    def unsent_bytes(self) -> int:
        """What `send` was given, and the socket didn't take yet."""
        return sum(map(len, self._unsent))

    def send(self, message: bytes) -> None:
        """Send a binary message, or keep what the socket doesn't take. Raises Unreachable."""
        if self._protocol.state is not OPEN:
            raise Unreachable("the connection is closed")
        self._protocol.send_binary(message)
        self._queue()
        self.flush()

    def flush(self) -> bool:
        """Send on; True when nothing is left. Raises Unreachable."""
        try:
            while self._unsent:
                part = self._unsent[0]
                sent = self._socket.send(part)
                if sent < len(part):
                    self._unsent[0] = part[sent:]
                else:
                    self._unsent.popleft()
        except _NOT_NOW:
            return False
        except OSError as error:
            raise Unreachable(_reason(error)) from None
        return True

    def receive(self) -> list[bytes]:
        """The messages that are there by now, without waiting.

        Raises Unreachable when the connection is over and all of its messages were returned; its
        facts are `code` and `reason` of the server's close, where it said one.
        """
        messages, self._early = self._early, []
        taken_bytes = 0
        while taken_bytes < _MOST_READ_BYTES:
            try:
                data = self._socket.recv(_READ_BYTES)
            except _NOT_NOW:
                break
            except OSError as error:
                if messages:
                    break
                raise Unreachable(_reason(error)) from None
            taken_bytes += len(data)
            messages += self._feed(data)
            if not data:
                break
            if len(data) < _READ_BYTES and not isinstance(self._socket, ssl.SSLSocket):
                break  # the socket is empty: no need to ask it again
        self._queue()
        with contextlib.suppress(Unreachable):
            self.flush()  # pongs and the answer to a close; a broken socket shows at the next read
        if not messages and self._protocol.state is not OPEN:
            raise self._ending()
        return messages

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye if it can be said at once, and close. Does nothing when it is closed."""
        if self._socket.fileno() < 0:
            return
        with contextlib.suppress(OutlastError, OSError):
            if self._protocol.state is OPEN:
                self._protocol.send_close(code, reason)
                self._queue()
                self.flush()
        self._socket.close()

    def _shake_hands(self, token: str, path: str) -> list[bytes]:
        """Returns messages that came along with the answer."""
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        self._protocol.send_request(request)
        self._socket.sendall(b"".join(self._protocol.data_to_send()))
        while True:
            data = self._socket.recv(_READ_BYTES)
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            events = self._protocol.events_received()
            if events and isinstance(events[0], Response):
                error = self._protocol.handshake_exc
                if isinstance(error, InvalidStatus):
                    answer = events[0]
                    raise error_of(answer.status_code, bytes(answer.body or b""), path)
                if error is not None:
                    raise error
                return self._messages(events[1:])
            if not data or self._protocol.handshake_exc is not None:
                raise Unreachable("the server closed the connection before it answered")

    def _feed(self, data: bytes) -> list[bytes]:
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        return self._messages(self._protocol.events_received())

    def _messages(self, events: list[Any]) -> list[bytes]:
        messages: list[bytes] = []
        for event in events:
            if not isinstance(event, Frame):
                continue
            if event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
                if event.fin and not self._parts:
                    messages.append(bytes(event.data))
                    continue
                self._parts.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._parts))
                    self._parts.clear()
        return messages

    def _queue(self) -> None:
        # An empty part stands for the end of what this side sends.
        self._unsent.extend(memoryview(part) for part in self._protocol.data_to_send() if part)

    def _ending(self) -> Unreachable:
        said = self._protocol.close_rcvd
        if said is None:
            return Unreachable("the connection broke")
        reason = said.reason or "the server closed the connection"
        return Unreachable(reason, code=int(said.code), reason=said.reason)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


__all__ = ["MAX_MESSAGE_BYTES", "OPENING_TIMEOUT_S", "WebSocket"]
