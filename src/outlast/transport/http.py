"""HTTP/1.1 on one socket: a request, its answer, and the next one on the same line.

The grammar is h11's; sockets, deadlines and TLS are here. An answer is read as it comes, in bounded
memory. Whatever breaks is an OSError: `Broken` where the bytes weren't HTTP or stopped too early.
What is asked, and what is done when it broke, is told by `connection`.
"""

from __future__ import annotations

import os
import select
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import h11

from outlast.errors import Invalid

_READ_BYTES = 256 << 10


class Broken(ConnectionError):
    """The answer broke off, or wasn't one."""


class Line:
    """One open connection, of one thread in one process; closed when nobody has it any more."""

    def __init__(self, url: str, connect_timeout_s: float) -> None:
        self._made_for = (os.getpid(), url)
        self._host, self._socket = _connected(url, connect_timeout_s)
        # Not by __del__: in a cycle of garbage the socket's own would complain before it.
        self.close = weakref.finalize(self, self._socket.close)
        self._talk = h11.Connection(h11.CLIENT)

    def is_usable(self, url: str) -> bool:
        """May the next request go this way?"""
        is_mine = self._made_for == (os.getpid(), url)
        is_idle = self._talk.our_state is h11.IDLE and self._talk.their_state is h11.IDLE
        return is_mine and is_idle and not _is_closed_by_peer(self._socket)

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout_s: float,
        *, quiet_s: float = 0.0, on_quiet: Callable[[], None] | None = None,
    ) -> Answer:  # fmt: skip
        """Send it whole, and wait for the head of its answer. Raises OSError, Invalid.

        `on_quiet` is called once when nothing has come for `quiet_s`.
        """
        self._socket.settimeout(timeout_s)
        sent = {"Host": self._host, "Accept-Encoding": "identity", **headers}
        if body or method not in ("GET", "HEAD", "DELETE"):
            sent["Content-Length"] = str(len(body))
        try:
            asked = h11.Request(method=method, target=target, headers=list(sent.items()))
        except h11.LocalProtocolError as error:  # a token with a line break, say
            raise Invalid(f"this can't be asked by HTTP: {error}") from None
        events = (asked, h11.Data(data=body), h11.EndOfMessage())
        try:
            self._socket.sendall(b"".join(self._talk.send(event) or b"" for event in events))
        except (BrokenPipeError, ConnectionResetError) as error:
            # A refusal of what was too much comes before all of it was read.
            try:
                return Answer(self)
            except OSError:
                raise error from None
        if on_quiet is not None and not self._has_answer(quiet_s):
            on_quiet()
        return Answer(self)

    def _has_answer(self, within_s: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def next_event(self) -> object:
        """What came next of the answer. Raises OSError."""
        try:
            while (event := self._talk.next_event()) is h11.NEED_DATA:
                self._talk.receive_data(self._socket.recv(_READ_BYTES))
        except h11.RemoteProtocolError as error:
            raise Broken(f"the answer broke off: {error}") from None
        return event

    def answered(self) -> None:
        """The answer was read to its end."""
        if self._talk.our_state is h11.DONE and self._talk.their_state is h11.DONE:
            self._talk.start_next_cycle()


class Answer:
    """The answer to the last request of a line; read it to its end, or close the line."""

    def __init__(self, line: Line) -> None:
        """Raises OSError when no head comes."""
        self._line = line
        self._is_over = False
        event = line.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = line.next_event()
        if not isinstance(event, h11.Response):
            raise Broken("the server closed the connection")
        self.status = event.status_code
        self._headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}

    def header(self, name: str, default: str = "") -> str:
        """The value of a header, whatever its case."""
        return self._headers.get(name.lower(), default)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, in pieces of up to 256 KiB. Raises OSError when it breaks off."""
        while not self._is_over:
            event = self._line.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:  # EndOfMessage
                self._is_over = True
                self._line.answered()

    def read(self) -> bytes:
        """The whole body. Raises OSError when it breaks off."""
        return b"".join(self.pieces())


def _connected(url: str, timeout_s: float) -> tuple[str, socket.socket]:
    """The Host header, and an open socket. Raises OSError, or Invalid for what isn't a URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid.field("url", url, "give the server as http://HOST:PORT or https://HOST:PORT")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # As bytes: a str would be encoded by IDNA, which is 3 ms of imports for a loopback address.
    host = parts.hostname.encode() if parts.hostname.isascii() else parts.hostname
    line = socket.create_connection((host, port), timeout_s)  # type: ignore[arg-type]
    # Requests are small and each is answered: waiting to fill a packet would only delay them.
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "https":
        import ssl  # 10 ms that only TLS pays

        line = ssl.create_default_context().wrap_socket(line, server_hostname=parts.hostname)
    return parts.netloc.rpartition("@")[2], line


def _is_closed_by_peer(sock: socket.socket) -> bool:
    """Has the server closed this idle connection, or sent what nobody asked for?"""
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError as error:
        # With TLS a peek isn't possible; whatever is wrong shows at the next request.
        return type(error).__name__ not in ("SSLWantReadError", "SSLWantWriteError")
    except ValueError:
        return False
    return True
