"""One server as its clients see it: JSON requests, streams by offset, and plain errors.

A request that can be repeated is repeated while the server restarts; one that can't (its answer was
lost) raises Unreachable and says so. Each thread has a connection of its own, kept open. Proxies of
the environment are not used: the token goes to the server and to nobody between. Where a
workspace's server is, `transport.address` tells; starting one is not done here (see sdk.start).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from outlast.errors import Unreachable
from outlast.transport.address import Address, find
from outlast.transport.http import Answer, Line
from outlast.transport.refusal import error_of

CONNECT_TIMEOUT_S = 5.0
# Taking a snapshot of a large folder is the longest that a request works before it answers.
ANSWER_TIMEOUT_S = 120.0
# A restart takes about 1.5 s, a machine under load several times that.
PATIENCE_S = 30.0
# Who follows a run has time: the run goes on without a server as well.
FOLLOW_PATIENCE_S = 600.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
# An outage is told of when it lasts longer than this; a restart is over by then.
QUIET_S = 3.0
# A server that takes a request and says nothing is told of after this time: it may be stopped.
SLOW_S = 5.0
BUSY = frozenset((429, 502, 503, 504))

# Where the server is now, asked with how long it hasn't answered; None while there is none.
Locate = Callable[[float], Address | None]


class Piece(NamedTuple):
    """Bytes of a journal: they begin at `start`, the next ones at `next`."""

    data: bytes
    start: int
    next: int
    size_bytes: int  # of the whole journal by now
    is_end: bool  # nothing will ever follow


class Connection:
    """Requests to one server.

    `locate` is asked for the address again whenever the server can't be reached, since a restarted
    one may listen elsewhere. `tell` is called with one line when an outage lasts, and when it ends.
    """

    def __init__(
        self,
        address: Address,
        *,
        locate: Locate | None = None,
        tell: Callable[[str], None] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.address = address
        self.tell = tell
        self.patience_s = patience_s
        self._locate = locate
        self._mine = threading.local()

    def get(self, path: str, *, patience_s: float | None = None, **query: Any) -> Any:
        """The JSON answer of a GET. Raises the error that the server named, or Unreachable."""
        answer = self._request("GET", with_query(path, query), patience_s=patience_s)
        return json.loads(answer.data)

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """The bytes of a GET's answer."""
        return self._request("GET", with_query(path, query)).data

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, repeat: bool = False
    ) -> Any:
        """The JSON answer of a POST; `repeat` only where doing it twice is doing it once.

        An error has the fact `is_repeated`: an earlier try may have been carried out.
        """
        return json.loads(self._request("POST", path, body or {}, repeat=repeat).data)

    def put(self, path: str, body: Mapping[str, Any] | bytes, **query: Any) -> Any:
        """The JSON answer of a PUT of JSON or of bytes; it is repeated like a GET."""
        return json.loads(self._request("PUT", with_query(path, query), body).data)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return json.loads(self._request("PATCH", path, body).data)

    def delete(self, path: str) -> None:
        """Raises as the server says; NotFound also when a repeated request had succeeded before."""
        self._request("DELETE", path)

    def piece(
        self, path: str, start: int, *, wait_s: float = 0.0, limit_bytes: int = 1 << 20,
        patience_s: float | None = None,
    ) -> Piece:  # fmt: skip
        """Bytes of a journal from `start` on; waits up to `wait_s` while there are none.

        Raises Trimmed when retention has punched `start` out, Invalid when it is beyond the end.
        """
        query = {"from": start, "wait": f"{wait_s:g}", "limit": limit_bytes}
        answer = self._request("GET", with_query(path, query), wait_s=wait_s, patience_s=patience_s)
        begin = int(answer.header("Outlast-From") or start)
        following = int(answer.header("Outlast-Next") or begin + len(answer.data))
        size_bytes = int(answer.header("Outlast-Size") or following)
        is_end = answer.header("Outlast-End") == "1"
        return Piece(answer.data, begin, following, size_bytes, is_end)

    def follow(self, path: str, start: int = 0, *, wait_s: float = 30.0) -> Iterator[Piece]:
        """Every byte of a journal from `start` on, once and in order, until its end.

        Goes on over a restart of the server by asking again from the last offset. A piece without
        bytes means that nothing came for `wait_s`; the last piece has `is_end`.
        """
        while True:
            asked = time.monotonic()
            piece = self.piece(path, start, wait_s=wait_s, patience_s=FOLLOW_PATIENCE_S)
            yield piece
            if piece.is_end:
                return
            start = piece.next
            if not piece.data and time.monotonic() - asked < min(wait_s, LONGEST_PAUSE_S):
                time.sleep(LONGEST_PAUSE_S / 4)  # a server that is about to stop answers early

    def download(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` on, in pieces of up to 256 KiB.

        Raises Unreachable when they break off; what was yielded by then is right.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        # On a connection of its own: the caller may ask other things before the last byte.
        own = Connection(self.address)
        try:
            answer = own._send("GET", path, None, 0.0, headers)
            if answer.status not in (200, 206):
                raise error_of(answer.status, answer.read(), path)
            yield from answer.pieces()
        except OSError as error:
            raise Unreachable(f"{path} broke off: {_reason(error)}") from None
        finally:
            own.close()

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        line: Line | None = self._mine.__dict__.pop("line", None)
        if line is not None:
            line.close()

    def find_again(self, offline_s: float) -> Address:
        """Where the server is now, after so long without an answer; a killed one may be started.

        Raises Unreachable when that fails.
        """
        self._relocate(offline_s)
        return self.address

    def _request(
        self, method: str, path: str, body: Any = None, *, repeat: bool = True,
        wait_s: float = 0.0, patience_s: float | None = None,
    ) -> _Whole:  # fmt: skip
        outage = _Outage(self.patience_s if patience_s is None else patience_s, self.tell)
        if not repeat:
            # A kept connection may be closed by now, and then nobody knows what became of it.
            self.close()
        while True:
            retry_after_s = 0.0
            try:
                answer = self._send(method, path, body, wait_s, {})
                data = answer.read()
                if answer.status < 300:
                    outage.is_over(self.address)
                    return _Whole(answer.header, data)
                error = error_of(answer.status, data, path)
                error.facts["is_repeated"] = outage.has_begun
                if answer.status not in BUSY or not (repeat or answer.status == 429):
                    break
                reason = error.message
                retry_after_s = _seconds(answer.header("Retry-After"))
            except OSError as broken:
                self.close()
                reason = _reason(broken)
                if not repeat and not isinstance(broken, ConnectionRefusedError):
                    raise Unreachable(
                        f"the connection broke during {method} {path} ({reason}): whether it was "
                        "carried out is unknown",
                        hint="outlast ls",
                    ) from None
            except BaseException:
                # Ctrl-C between a request and its answer: the next request needs a new connection.
                self.close()
                raise
            outage.pause(reason, retry_after_s, self.address)
            self._relocate(outage.lasted_s)
        raise error

    def _send(
        self, method: str, path: str, body: Any, wait_s: float, headers: Mapping[str, str]
    ) -> Answer:
        sent = dict(headers)
        if self.address.token:
            sent["Authorization"] = f"Bearer {self.address.token}"
        data = b""
        if isinstance(body, bytes):
            data = body
            sent["Content-Type"] = "application/octet-stream"
        elif body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        return self._line().request(
            method, path, sent, data, ANSWER_TIMEOUT_S + wait_s,
            quiet_s=SLOW_S + wait_s, on_quiet=self.tell and self._tell_slow,
        )  # fmt: skip

    def _tell_slow(self) -> None:
        if self.tell is not None:
            self.tell(
                f"still no answer from {self.address.url}: the server is busy, or stopped; runs go "
                "on, and this waits   look by: outlast doctor"
            )

    def _line(self) -> Line:
        """This thread's open connection to the server where it is now."""
        line: Line | None = self._mine.__dict__.get("line")
        if line is None or not line.is_usable(self.address.url):
            self.close()
            line = self._mine.line = Line(self.address.url, CONNECT_TIMEOUT_S)
        return line

    def _relocate(self, lasted_s: float) -> None:
        found = self._locate(lasted_s) if self._locate is not None else None
        if found is not None:
            self.address = found


class _Whole(NamedTuple):
    """An answer that was read to its end."""

    header: Callable[[str], str]
    data: bytes


class _Outage:
    """One stretch of time without an answer."""

    def __init__(self, patience_s: float, tell: Callable[[str], None] | None) -> None:
        self._patience_s = patience_s
        self._tell = tell
        self._pause_s = FIRST_PAUSE_S
        self._began = 0.0  # at the first failure: the time before was spent waiting for news
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        return self._began > 0

    @property
    def lasted_s(self) -> float:
        return time.monotonic() - self._began

    def pause(self, reason: str, at_least_s: float, address: Address) -> None:
        """Wait before the next try. Raises Unreachable when patience is over."""
        self._began = self._began or time.monotonic()
        pause_s = max(self._pause_s, min(at_least_s, self._patience_s / 2))
        if self.lasted_s + pause_s > self._patience_s:
            raise Unreachable(
                f"no answer from {address.url} for {self._patience_s:g} s ({reason})",
                hint="outlast status",
            )
        if self._tell is not None and not self._is_told and self.lasted_s > QUIET_S:
            self._is_told = True
            self._tell(f"the server doesn't answer ({reason}); runs go on, trying again")
        time.sleep(pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def is_over(self, address: Address) -> None:
        if self._tell is not None and self._is_told:
            self._tell(f"the server answers again at {address.url}")


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """The path with a query; what is None is left out."""
    kept = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(kept)}" if kept else path


def in_path(text: str) -> str:
    """User text as one part of a URL's path."""
    return quote(text, safe="")


__all__ = ["Address", "Connection", "Piece", "find", "in_path", "with_query"]
