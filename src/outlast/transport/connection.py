"""One server as its clients see it: JSON requests, streams by offset, and plain errors.

A request that can be repeated is repeated while the server restarts, up to `patience_s`; one that
can't (a POST whose answer was lost) raises Unreachable and says so. Keeps one open connection;
not for two threads at once. `find` tells where the server of a workspace is; starting one is not
done here (see sdk.workspace).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from outlast.errors import (
    Conflict,
    Invalid,
    NotFound,
    OutlastError,
    Refused,
    Trimmed,
    Unreachable,
)
from outlast.process import Identity

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
# A restart takes about 1.5 s, a machine under load several times that.
PATIENCE_S = 30.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_BY_STATUS: dict[int, type[OutlastError]] = {
    400: Invalid,
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


class Address(NamedTuple):
    """Where a workspace's server listens, and who it is."""

    url: str
    token: str
    pid: int
    version: str


class Piece(NamedTuple):
    """Bytes of a journal: they begin at `start`, the next ones at `next`."""

    data: bytes
    start: int
    next: int
    is_end: bool  # nothing will ever follow


def find(home: Path) -> Address | None:
    """The live server of this workspace, or None. Reads two files; opens no connection."""
    try:
        facts = json.loads((home / "server.json").read_text())
        token = (home / "token").read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"the workspace {home} can't be read: {error}", hint="outlast doctor"
        ) from None
    identity = Identity(facts["pid"], facts["start_ticks"], facts["boot_id"])
    if not identity.is_alive():
        return None
    return Address(facts["url"], token, facts["pid"], facts["version"])


class Connection:
    """Requests to one server.

    `locate` is asked for the address again whenever the server can't be reached, since a restarted
    one may listen elsewhere; it may return None while there is none.
    """

    def __init__(
        self, address: Address, *, locate: Any = None, patience_s: float = PATIENCE_S
    ) -> None:
        self.address = address
        self.patience_s = patience_s
        self._locate = locate
        self._http: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET. Raises the error that the server named, or Unreachable."""
        return self._json("GET", _with_query(path, query))

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, repeat: bool = False
    ) -> Any:
        """The JSON answer of a POST; `repeat` only where doing it twice is doing it once."""
        return self._json("POST", path, body or {}, repeat=repeat)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._json("PATCH", path, body)

    def delete(self, path: str) -> None:
        self._json("DELETE", path)

    def piece(self, path: str, start: int, *, wait_s: float = 0.0, limit: int = 1 << 20) -> Piece:
        """Bytes of a journal from `start` on; waits up to `wait_s` while there are none.

        Raises Trimmed when retention has punched `start` out.
        """
        query = {"from": start, "wait": wait_s, "limit": limit}
        answer, data = self._request(
            "GET", _with_query(path, query), None, repeat=True, wait_s=wait_s
        )
        begin = int(answer.getheader("Outlast-From", start))
        following = int(answer.getheader("Outlast-Next", begin + len(data)))
        return Piece(data, begin, following, answer.getheader("Outlast-End") == "1")

    def size(self, path: str) -> int:
        """How many bytes a journal has by now."""
        answer, _ = self._request(
            "GET", _with_query(path, {"from": 0, "limit": 0}), None, repeat=True
        )
        return int(answer.getheader("Outlast-Size", 0))

    def follow(self, path: str, start: int = 0, *, wait_s: float = 30.0) -> Iterator[Piece]:
        """Every byte of a journal from `start` on, once and in order, until its end.

        Goes on over a restart of the server by asking again from the last offset.
        """
        while True:
            piece = self.piece(path, start, wait_s=wait_s)
            if piece.data or piece.is_end:
                yield piece
            if piece.is_end:
                return
            start = piece.next

    def download(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """The raw bytes of an answer from `offset` on, in pieces of up to 1 MiB.

        Ends early, or raises OSError, when the line breaks: ask again from where it was.
        """
        wanted = {"Range": f"bytes={offset}-"} if offset else None
        answer = self._send("GET", path, None, 0.0, wanted)
        if answer.status != (206 if offset else 200):
            raise _error(answer.status, answer.read(), path)
        try:
            while data := answer.read(1 << 20):
                yield data
        except http.client.HTTPException as error:
            raise Unreachable(f"the connection broke during GET {path}: {error!r}") from None
        finally:
            if not answer.isclosed():
                self.close()  # what is left of this answer must not be taken for the next one

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _json(self, method: str, path: str, body: Any = None, *, repeat: bool = False) -> Any:
        _, data = self._request(method, path, body, repeat=repeat or method != "POST")
        return json.loads(data) if data else None

    def _request(
        self, method: str, path: str, body: Any, *, repeat: bool, wait_s: float = 0.0
    ) -> tuple[http.client.HTTPResponse, bytes]:
        deadline = time.monotonic() + self.patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = self._send(method, path, body, wait_s)
                data = answer.read()
                if answer.status < 300:
                    return answer, data
                if answer.status not in (502, 503, 504) or not repeat:
                    raise _error(answer.status, data, path)
                reason = f"the server answered {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = str(error) or type(error).__name__
                if not repeat and not isinstance(error, ConnectionRefusedError):
                    raise Unreachable(
                        f"the connection broke during {method} {path}: {reason}; "
                        "whether it was carried out is unknown",
                        hint="outlast ls",
                    ) from None
            if time.monotonic() + pause_s > deadline:
                raise Unreachable(
                    f"no answer from {self.address.url} for {self.patience_s:g} s: {reason}",
                    hint="outlast status",
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._relocate()

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        wait_s: float,
        further: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.address.token}", **(further or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        for is_fresh in (self._http is None, True):
            connection = self._http or self._connect()
            try:
                if connection.sock is not None:
                    connection.sock.settimeout(ANSWER_TIMEOUT_S + wait_s)
                connection.request(method, path, body=data, headers=headers)
                return connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # An idle kept-alive connection that the server had closed: nothing was taken.
                self.close()
                if is_fresh or method == "POST":
                    raise
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.address.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        options: dict[str, Any] = {"timeout": CONNECT_TIMEOUT_S}
        if parts.scheme == "https":
            options["context"] = ssl.create_default_context()
        connection = kind(parts.hostname or "127.0.0.1", parts.port, **options)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = connection
        return connection

    def _relocate(self) -> None:
        found = self._locate() if self._locate is not None else None
        if found is not None:
            self.address = found


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


def in_path(text: str) -> str:
    """User text as one part of a URL's path."""
    return quote(text, safe="")


def _error(status: int, data: bytes, path: str) -> OutlastError:
    try:
        facts = json.loads(data)["error"]
    except (ValueError, KeyError, TypeError):
        facts = {"message": f"the server answered {status} to {path}"}
    message = facts.get("message", "")
    if facts.get("code") == "trimmed":
        return Trimmed(asked=facts["asked"], first=facts["first"])
    kind = _BY_STATUS.get(status, Unreachable if status in (429, 502, 503, 504) else OutlastError)
    return kind(message, hint=facts.get("hint"), status=status, **_extra(facts))


def _extra(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in ("message", "hint", "status")}
