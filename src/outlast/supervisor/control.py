"""The supervisor's Unix socket: one JSON line asks, one JSON line answers.

Only the run's own user (and root) is answered. A client that floods, stalls or sends too much is
cut off, and none of them makes the supervisor wait. A request may turn into a longer talk: then
whoever answers it takes the connection over. What the requests mean is told by `requests`; `ask` is
for everybody else.
"""

from __future__ import annotations

import _socket
import json
import os
import select
import struct
import time
from typing import Any, Callable, Dict, NamedTuple, Optional

from outlast.errors import Unreachable
from outlast.run.folder import SOCKET, RunFolder
from outlast.supervisor.durable import making_of
from outlast.supervisor.loop import Loop

_MAKING = making_of(SOCKET)
_REQUEST_BYTES = 64 << 10
_ANSWER_BYTES = 16 << 20
_CLIENTS = 16
_CLIENT_S = 10.0
_PEERCRED_BYTES = 12

Answer = Dict[str, Any]
Reply = Callable[[Answer], None]


class Taken(NamedTuple):
    """A connection that somebody else watches, writes to and closes from now on."""

    socket: _socket.socket  # doesn't block
    rest: bytes  # what came behind the request's line


def ask(folder: RunFolder, request: Dict[str, Any], timeout_s: float) -> Answer:
    """The supervisor's answer. Raises Unreachable when there is none in time."""
    until_s = time.monotonic() + timeout_s
    try:
        place = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Unreachable(f"{folder.path}: {error.strerror}") from None
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.settimeout(timeout_s)
        socket.connect(_short(place))
        socket.sendall(json.dumps(request).encode() + b"\n")
        text = b""
        while not text.endswith(b"\n"):
            socket.settimeout(max(until_s - time.monotonic(), 0.001))
            piece = socket.recv(1 << 16)
            if not piece or len(text) > _ANSWER_BYTES:
                raise Unreachable("the run's supervisor broke off its answer")
            text += piece
        answer: Answer = json.loads(text)
        return answer
    except OSError as error:
        words = error.strerror or "no answer in time"
        raise Unreachable(f"the run's supervisor can't be reached: {words}") from None
    except ValueError:
        raise Unreachable("the run's supervisor gave no answer that can be read") from None
    finally:
        socket.close()
        os.close(place)


def _short(place: int, name: str = SOCKET) -> str:
    # A socket's path has room for 107 bytes; a run's folder may lie deeper.
    return f"/proc/self/fd/{place}/{name}"


class Control:
    """Listens, and hands each request with the means to reply to `answer`."""

    def __init__(
        self, folder: RunFolder, loop: Loop, answer: Callable[[Dict[str, Any], Asker], None]
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._answer = answer
        self._socket: Optional[_socket.socket] = None
        self._clients: Dict[int, Asker] = {}

    def open(self) -> None:
        """Listen, in place of whoever listened before. Raises OSError.

        Where the socket can be seen, somebody listens: it gets its name only then.
        """
        if self._socket is not None:
            return
        place = os.open(self._folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        socket = _socket.socket(_socket.AF_UNIX, flags)
        try:
            if os.path.lexists(self._folder.file(_MAKING)):
                os.unlink(self._folder.file(_MAKING))
            before = os.umask(0o177)
            try:
                socket.bind(_short(place, _MAKING))
            finally:
                os.umask(before)
            socket.listen(_CLIENTS)
            os.rename(self._folder.file(_MAKING), self._folder.file(SOCKET))
        except OSError:
            socket.close()
            raise
        finally:
            os.close(place)
        self._socket = socket
        self._loop.watch(socket.fileno(), self._accept)

    def close(self) -> None:
        """Answer nobody any more."""
        for client in list(self._clients.values()):
            client.close()
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
            try:
                os.unlink(self._folder.file(SOCKET))
            except OSError:
                return  # a socket that nobody listens on says "unreachable" all the same

    def _accept(self) -> None:
        assert self._socket is not None, "it is watched, so it is open"
        if len(self._clients) >= _CLIENTS:  # the rest waits in the kernel's queue
            self._loop.forget(self._socket.fileno())
            return
        try:
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]  # socket.py's own way
        except OSError:  # it went away, or no descriptor is left
            return
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        socket.setblocking(False)
        credentials = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEERCRED_BYTES)
        uid = struct.unpack("3i", credentials)[1]
        if uid not in (0, os.geteuid()):
            socket.close()
            return
        self._clients[fd] = Asker(socket, self._loop, self._answer, self._closed)

    def _closed(self, fd: int) -> None:
        del self._clients[fd]
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), self._accept)


class Asker:
    """One connection: reads a request, waits for the reply, writes it, closes."""

    def __init__(
        self,
        socket: _socket.socket,
        loop: Loop,
        answer: Callable[[Dict[str, Any], Asker], None],
        closed: Callable[[int], None],
    ) -> None:
        self._socket = socket
        self._fd = socket.fileno()
        self._loop = loop
        self._answer = answer
        self._closed = closed
        self._text = b""
        self._rest = b""
        self._name = f"client {self._fd}"
        loop.watch(self._fd, self._read)
        loop.after(self._name, _CLIENT_S, self.close)

    def close(self) -> None:
        if self._fd >= 0:
            self.take().socket.close()

    def take(self) -> Taken:
        """Hand the connection over, before or instead of a reply; it no longer counts as one here.

        Raises OSError when it is gone by now.
        """
        if self._fd < 0:
            raise OSError("the connection is closed")
        fd, self._fd = self._fd, -1
        self._loop.cancel(self._name)
        self._loop.forget(fd)
        self._closed(fd)
        return Taken(self._socket, self._rest)

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._text += piece
        if b"\n" in self._text:
            self._loop.forget(self._fd)  # one request each
            self._loop.cancel(self._name)
            line, _, self._rest = self._text.partition(b"\n")
            self._ask(line)
        elif not piece or len(self._text) > _REQUEST_BYTES:
            self.close()

    def _ask(self, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            self._answer(request, self)
        else:
            self.reply({"error": "send one JSON object on one line"})

    def reply(self, answer: Answer) -> None:
        """Answer now; the client may be gone by now."""
        if self._fd >= 0:
            self._text = json.dumps(answer).encode() + b"\n"
            self._loop.after(self._name, _CLIENT_S, self.close)
            self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._text, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._text = self._text[sent:]
        if self._text:
            self._loop.watch(self._fd, self._write, select.POLLOUT)
        else:
            self.close()
