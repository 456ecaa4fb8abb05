"""Sockets before they are requests: who may connect, how long headers may take, what HTTP is.

uvicorn's protocol with what it lacks: a deadline for headers (without one, a client that sends a
byte a minute keeps its socket for ever), caps on connections, a grammar without the ambiguities
that request smuggling lives on, and refusals that reach a client that is still sending. Bodies and
JSON are `limits`, what a request to upgrade turns into is `websocket`; hosts and tokens are `auth`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import h11
from h11._receivebuffer import ReceiveBuffer
from h11._util import LocalProtocolError
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from outlast.config import Settings
from outlast.server.answers import encode, secured
from outlast.server.errors import new_id
from outlast.server.websocket import WebSocket

MAX_HEADERS = 100
MAX_HEAD_BYTES = 16 << 10
# After a refusal the rest of the body is read and thrown away this long, so that the client gets to
# read the answer: closing a socket with unread bytes resets it, and the answer is lost.
LINGER_S = 1.0


class Connections:
    """Counts what is open, in all and by address."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.total = 0
        self.by_ip: Counter[str] = Counter()

    def enter(self, ip: str) -> bool:
        """Count one more; False, and nothing is counted, when that would be too many."""
        is_full = self.total >= self.settings.max_connections
        if is_full or self.by_ip[ip] >= self.settings.max_connections_per_ip:
            return False
        self.total += 1
        self.by_ip[ip] += 1
        return True

    def leave(self, ip: str) -> None:
        self.total -= 1
        self.by_ip[ip] -= 1
        if self.by_ip[ip] <= 0:
            del self.by_ip[ip]


class StrictBuffer(ReceiveBuffer):
    """The head of a request without what two readers could understand differently.

    Refuses folded header lines, bare line feeds, Content-Length beside Transfer-Encoding, a target
    that isn't a path, and too many headers.
    """

    def maybe_extract_lines(self) -> list[bytearray] | None:
        # The head is looked at before it is taken apart, which loses how its lines ended.
        raw = bytes(self._data)
        lines = super().maybe_extract_lines()
        if not lines:
            return lines
        head = raw[: len(raw) - len(self._data)]
        if head.count(b"\n") != head.count(b"\r\n"):
            raise LocalProtocolError("a line ends without CR LF")
        if not lines[0].endswith((b" HTTP/1.1", b" HTTP/1.0")):
            # A chunked body's trailers come this way too; nobody needs them.
            raise LocalProtocolError("another version of HTTP, or trailers")
        if any(line.startswith((b" ", b"\t")) for line in lines):
            raise LocalProtocolError("folded header line")
        if len(lines) > MAX_HEADERS or len(head) > MAX_HEAD_BYTES:
            raise LocalProtocolError("too much of a head", error_status_hint=431)
        names = {bytes(line.partition(b":")[0]).lower() for line in lines[1:]}
        if {b"content-length", b"transfer-encoding"} <= names:
            raise LocalProtocolError("both Content-Length and Transfer-Encoding")
        return lines


class LingeringTransport:
    """A transport whose `close` first lets the peer read the last answer."""

    def __init__(self, transport: asyncio.Transport, protocol: Http) -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if self._protocol.is_peer_sending():
            self._protocol.linger()
        else:
            self._transport.close()


class Http(H11Protocol):
    """One HTTP connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.counted = connections
        self.ip = ""
        self.is_counted = False
        self.is_lingering = False
        self.header_timer: asyncio.TimerHandle | None = None
        self.conn._receive_buffer = StrictBuffer()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        self.ip = self.client[0] if self.client else ""
        self.is_counted = self.counted.enter(self.ip)
        if not self.is_counted:
            self._refuse(503, "too many connections; try again later")
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_lingering:
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            # The request broke off in a way that leaves no room for an answer.
            self.transport.abort()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            if self.header_timer is None:
                self._await_headers()
        else:
            self._headers_came()

    def eof_received(self) -> None:
        if self.is_lingering:
            self.transport.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._headers_came()
        # The socket stays, so it stays counted: the next protocol gives it back.
        if self.is_counted:
            self.is_counted = False
            leave, ip = partial(self.counted.leave, self.ip), self.ip
            plain = self.transport._transport  # type: ignore[attr-defined]
            self.transport = plain
            upgraded = self.ws_protocol_class
            if upgraded is None:
                raise AssertionError("WebSockets are always on")

            def make(**options: Any) -> WebSocket:
                return WebSocket(**options, leave=leave, ip=ip)

            self.ws_protocol_class = make  # type: ignore[assignment]
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.our_state is h11.DONE and self.is_peer_sending():
            # Answered before the body was there: its rest would be read for nothing.
            self.linger()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of an answer there is no place for another
            return
        self._refuse(400, "this isn't a valid HTTP request")

    def is_peer_sending(self) -> bool:
        """Is the rest of a request still to come?"""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def linger(self) -> None:
        """Say that no more will be written, throw away what still comes, then close."""
        if self.is_lingering or self.transport.is_closing():
            return
        self.is_lingering = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS can't: the client reads Connection: close
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _await_headers(self) -> None:
        seconds = self.counted.settings.header_timeout_s
        self.header_timer = self.loop.call_later(seconds, self._headers_late)

    def _headers_came(self) -> None:
        if self.header_timer is not None:
            self.header_timer.cancel()
            self.header_timer = None

    def _headers_late(self) -> None:
        self.header_timer = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _leave(self) -> None:
        if self.is_counted:
            self.is_counted = False
            self.counted.leave(self.ip)

    def _refuse(self, status: int, message: str) -> None:
        """Answer without the application: it never sees this connection's bytes."""
        code = {400: "bad_request", 503: "unavailable"}[status]
        body = encode(
            {"error": {"code": code, "message": message, "hint": "", "field": "", "id": new_id()}}
        )
        headers = secured(
            [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
        )
        lines = [f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Busy'}".encode()]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.linger()
