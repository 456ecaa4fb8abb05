"""A relay as small as can be: attaches to a session's supervisor and speaks frames."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from typing import Any

from outlast.run.folder import SOCKET
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Splitter, lengthened, telling

TIMEOUT_S = 20.0


class Attached:
    """One seat. `answer` is what the supervisor said first; `frames` all that came since."""

    def __init__(self, folder: str, role: str = "driver", **request: Any) -> None:
        self.key = request.pop("key", os.urandom(16).hex())
        asked = {"op": "attach", "role": role, "key": self.key, "epoch": None, "who": "ann"}
        asked.update({"columns": 80, "rows": 24, **request})
        self.socket = connect(folder)
        self.socket.settimeout(TIMEOUT_S)
        try:
            self.socket.sendall(json.dumps(asked).encode() + b"\n")
            line, rest = self._first_line()
        except OSError:
            self.socket.close()
            raise
        self.answer: dict[str, Any] = json.loads(line)
        self.sent: int = self.answer.get("accepted", 0)
        self.accepted = self.sent
        self.frames: list[Frame] = []
        self._splitter = Splitter()
        self.is_closed = False
        self._take(rest)

    def _first_line(self) -> tuple[bytes, bytes]:
        text = b""
        while b"\n" not in text:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("no answer")
            text += piece
        line, _, rest = text.partition(b"\n")
        return line, rest

    def type(self, data: bytes) -> None:
        """Send input; the supervisor may accept it later."""
        self.send(Frame(wire.INPUT, self.sent, data))
        self.sent += len(data)

    def send(self, frame: Frame) -> None:
        self.socket.sendall(lengthened(frame))

    def resize(self, columns: int, rows: int) -> None:
        self.send(telling(wire.SIZE, columns=columns, rows=rows))

    def pull(self, timeout_s: float = 0.0) -> bool:
        """Take in what came; False when nothing did in time."""
        if self.is_closed or not select.select([self.socket], [], [], timeout_s)[0]:
            return False
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError:
            piece = b""
        if not piece:
            self.is_closed = True
            return False
        self._take(piece)
        return True

    def wait(self, kind: int, **says: Any) -> Frame:
        """The next frame of this kind that says all this; it and those before it are forgotten."""
        until_s = time.monotonic() + TIMEOUT_S
        while True:
            for index, frame in enumerate(self.frames):
                if frame.kind == kind and _says(frame, says):
                    del self.frames[: index + 1]
                    return frame
            assert not self.is_closed, "the supervisor closed the connection"
            assert time.monotonic() < until_s, f"no frame {kind} {says}: {self.frames[-5:]}"
            self.pull(0.5)

    def wait_accepted(self) -> None:
        """Until all that was typed is accepted."""
        until_s = time.monotonic() + TIMEOUT_S
        while self.accepted < self.sent:
            assert not self.is_closed, "the supervisor closed the connection"
            assert time.monotonic() < until_s, f"{self.accepted} of {self.sent} accepted"
            self.pull(0.5)

    def close(self) -> None:
        self.socket.close()

    def _take(self, piece: bytes) -> None:
        for frame in self._splitter.feed(piece):
            self.frames.append(frame)
            if frame.kind == wire.ACCEPTED:
                self.accepted = max(self.accepted, frame.number)


def _says(frame: Frame, says: dict[str, Any]) -> bool:
    return not says or says.items() <= frame.said().items()


def connect(folder: str) -> socket.socket:
    """A connection to a supervisor's socket, however long its path is."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(f"/proc/self/fd/{place}/{SOCKET}")
    except OSError:
        connected.close()
        raise
    finally:
        os.close(place)
    return connected
