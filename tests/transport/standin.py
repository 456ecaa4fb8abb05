"""A small real HTTP server that misbehaves as told: each connection is played by a script."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Play = Callable[[socket.socket, bytes], None]


def answer(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names are written with "_" for "-"."""
    fields = {"content-length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def failure(status: str, code: str, message: str, **facts: Any) -> bytes:
    error = {"code": code, "message": message, **facts}
    return answer(json.dumps({"error": error}).encode(), status)


def reply(*answers: bytes) -> Play:
    """Answer one request after another with these, then close."""
    waiting = list(answers)

    def play(sock: socket.socket, first: bytes) -> None:
        sock.sendall(waiting.pop(0))
        while waiting:
            if not read_request(sock):
                return
            sock.sendall(waiting.pop(0))

    return play


def cut(data: bytes = b"") -> Play:
    """Send these bytes and break the connection."""
    return lambda sock, _first: sock.sendall(data)


def read_request(sock: socket.socket) -> bytes:
    """One whole request; b"" when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
         if line.startswith(b"content-length:")), 0,
    )  # fmt: skip
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


class StandIn:
    """Listens on loopback; the n-th connection is played by the n-th script, the rest refused."""

    def __init__(self, plays: Sequence[Play]) -> None:
        self.requests: list[bytes] = []
        self._plays = list(plays)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for play in self._plays:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(20)
                first = read_request(sock)
                self.requests.append(first)
                play(sock, first)
        self._listening.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def standing_in(*plays: Play) -> Iterator[StandIn]:
    server = StandIn(plays)
    try:
        yield server
    finally:
        server.close()
