"""A session on the user's terminal, for as long as they want: keys in, bytes out, whatever breaks.

One loop waits for keys, the connection, signals and time. What is said on the connection, when to
connect again, and what was typed but not yet taken is `wire.client`'s; connecting may take seconds
and is done by a thread. While there is no connection the title says so, and from the second second
on a line below what is shown: nothing of the screen is ever overwritten.
"""

from __future__ import annotations

import os
import random
import secrets
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from outlast.cli.offline import Notice
from outlast.cli.queries import Unasked
from outlast.cli.tty import Tty
from outlast.errors import NotFound, OutlastError, Refused, Unreachable
from outlast.transport.websocket import WebSocket
from outlast.wire.client import ClientHalf
from outlast.wire.frame import Malformed, decode
from outlast.wire.terminal import (
    DRIVER,
    VIEWER,
    Actions,
    Attached,
    Closed,
    Connect,
    Draw,
    Ended,
    Live,
    News,
    Reset,
    Send,
    Skipped,
)

# How long it has been offline -> an open WebSocket. Raises OutlastError.
Open = Callable[[float], WebSocket]
ESCAPE = b"\x1d"  # Ctrl-]
DETACH, TAKE_OVER = b"d", b"t"
_SOFT_RESET = b"\x1b[!p\x1b[0m"
_CLEAR = b"\x1b[H\x1b[2J"


class Outcome(NamedTuple):
    """Why the terminal was given back."""

    how: str  # "ended", "detached", "refused", "hung up", "terminated"
    ended: Ended | None = None
    reason: str = ""
    skipped_bytes: int = 0


def hint_of(escape: bytes) -> str:
    """How to get away, for people."""
    return f"{name_of(escape)} d detaches" if escape else ""


def name_of(key: bytes) -> str:
    """A control character as it is typed: Ctrl-]."""
    return f"Ctrl-{chr(key[0] | 0x40)}"


class Keys:
    """Looks for the escape in what is typed: Ctrl-] and a letter; twice is Ctrl-] itself."""

    def __init__(self, escape: bytes) -> None:
        self._escape = escape
        self._is_escaped = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(what to send, the letter of a command or b"")."""
        if not self._escape or (not self._is_escaped and self._escape not in data):
            return data, b""
        sent = bytearray()
        for n in range(len(data)):
            key = data[n : n + 1]
            if not self._is_escaped:
                if key == self._escape:
                    self._is_escaped = True
                else:
                    sent += key
                continue
            self._is_escaped = False
            if key in (DETACH, TAKE_OVER):
                return bytes(sent), key
            sent += self._escape if key == self._escape else self._escape + key
        return bytes(sent), b""


class Attachment:
    """One session on one terminal."""

    def __init__(
        self, session: str, tty: Tty, open_socket: Open, *, role: str, escape: bytes, who: str
    ) -> None:
        columns, rows = tty.size
        self._tty = tty
        self._open_socket = open_socket
        self._notice = Notice(tty, session, hint_of(escape))
        self._half = ClientHalf(
            secrets.token_hex(16), role=role, columns=columns, rows=rows, who=who,
            jitter=random.random,
        )  # fmt: skip
        self._keys = Keys(escape)
        self._unasked = Unasked()
        self._socket: WebSocket | None = None
        self._opening: _Opening | None = None
        self._has_screen = False
        self._outcome: Outcome | None = None

    def run(self) -> Outcome:
        """Until the session ends, the user detaches, or the server refuses for good."""
        try:
            while self._outcome is None:
                self._do(self._half.due(time.monotonic()))
                self._notice.show(self._half, time.monotonic())
                self._wait()
            while self._outcome.how == "ended" and self._tty.wants_write:
                if not select.select([], [self._tty.screen_fd], [], 2.0)[1]:
                    break
                self._tty.flush()
        finally:
            self._notice.end()
            self._drop_socket()
        return self._outcome._replace(skipped_bytes=self._notice.skipped_bytes)

    # ---- waiting

    def _wait(self) -> None:
        poll = select.poll()
        tty, socket, opening = self._tty, self._socket, self._opening
        poll.register(tty.signals_fd, select.POLLIN)
        if self._half.wants_input or self._half.role != DRIVER:
            poll.register(tty.keys_fd, select.POLLIN)
        if tty.wants_write:
            poll.register(tty.screen_fd, select.POLLOUT)
        if opening is not None:
            poll.register(opening.fileno(), select.POLLIN)
        if socket is not None:
            writing = select.POLLOUT if socket.wants_write else 0
            poll.register(socket.fileno(), select.POLLIN | writing)
        now = time.monotonic()
        wait_s = min(self._half.wait_s(now), self._notice.wait_s(self._half, now), 3600.0)
        ready = {fd for fd, _ in poll.poll(wait_s * 1000)}
        if tty.signals_fd in ready:
            self._hear_signals()
        if tty.keys_fd in ready:
            self._hear_keys()
        if tty.screen_fd in ready:
            tty.flush()
        if opening is not None and opening.fileno() in ready:
            self._opened(opening)
        if socket is not None and socket is self._socket and socket.fileno() in ready:
            self._hear(socket)

    def _hear_signals(self) -> None:
        for number in self._tty.signals():
            if number == signal.SIGWINCH:
                self._do(self._half.resized(*self._tty.size))
            elif number == signal.SIGCONT:
                self._tty.make_raw()
                self._do(self._half.resized(*self._tty.size))
            elif number == signal.SIGHUP:
                self._outcome = Outcome("hung up")
            elif number == signal.SIGTERM:
                self._outcome = Outcome("terminated")

    def _hear_keys(self) -> None:
        data = self._tty.keys()
        if not data:
            self._outcome = Outcome("hung up")
            return
        typed, command = self._keys.feed(self._notice.without_answers(data, time.monotonic()))
        if typed:
            self._do(self._half.typed(typed))
        if command == DETACH:
            self._outcome = Outcome("detached")
        elif command == TAKE_OVER:
            self._do(self._half.take_over(secrets.token_hex(16), time.monotonic()))

    def _hear(self, socket: WebSocket) -> None:
        try:
            socket.flush()
            messages = socket.receive()
        except Unreachable as error:
            self._do(self._half.cut(time.monotonic(), error.message))
            return
        now = time.monotonic()
        for message in messages:
            try:
                self._do(self._half.heard(decode(message), now))
            except Malformed as error:
                self._do(self._half.cut(now, str(error)))
            if self._socket is not socket:
                return

    # ---- connecting

    def _opened(self, opening: _Opening) -> None:
        opening.close()
        self._opening = None
        now = time.monotonic()
        error = opening.error
        if error is None:
            self._socket = opening.socket
            self._do(self._half.connected(now))
        elif isinstance(error, Refused | NotFound):
            self._do(self._half.refused(now, is_final=True, retry_s=0.0, reason=error.message))
        elif "status" in error.facts:  # it lives, but isn't ready
            self._do(self._half.refused(now, is_final=False, retry_s=0.5, reason=error.message))
        else:
            self._do(self._half.cut(now, error.message))

    def _drop_socket(self) -> None:
        if self._opening is not None:
            self._opening.abandon()
            self._opening = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ---- doing

    def _do(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Draw):
                self._draw(action)
            elif isinstance(action, Reset):
                self._reset(action)
            elif isinstance(action, Connect):
                since = self._half.offline_since
                offline_s = 0.0 if since is None else time.monotonic() - since
                self._opening = _Opening(self._open_socket, offline_s)
            elif isinstance(action, Closed):
                self._drop_socket()
                if action.is_final:
                    self._outcome = Outcome("refused", reason=action.reason)
            elif isinstance(action, Ended):
                self._outcome = Outcome("ended", action)
            elif isinstance(action, Live):
                self._tty.draw(self._unasked.rest())
            elif isinstance(action, Attached):
                self._is_back()
            elif isinstance(action, Skipped):
                self._notice.skipped(action)
            elif isinstance(action, News):
                self._notice.news(action)

    def _send(self, action: Send) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(action.frame.encode())
        except Unreachable as error:
            self._do(self._half.cut(time.monotonic(), error.message))

    def _draw(self, action: Draw) -> None:
        end = action.offset + len(action.data)
        data = self._unasked.feed(action.data) if action.is_replay else action.data
        self._tty.draw(data, lambda: self._do(self._half.drawn(end)))

    def _reset(self, action: Reset) -> None:
        offset = action.offset
        if action.data:
            # What was there scrolls away instead of being overwritten.
            rows = self._tty.size[1]
            away = b"" if self._has_screen else b"\x1b[%d;1H" % rows + b"\n" * rows
            leave = b"\x1b[?1049l" if self._tty.is_other_screen else b""
            self._tty.draw(leave + _SOFT_RESET + away + _CLEAR)
        self._has_screen = True
        self._unasked = Unasked()
        data = self._unasked.feed(action.data) + self._unasked.rest()
        self._tty.draw(data, lambda: self._do(self._half.drawn(offset)))

    def _is_back(self) -> None:
        """Online again. A full-screen program draws anew what the line below has hidden."""
        if self._notice.clear() and self._half.role == DRIVER:
            columns, rows = self._tty.size
            self._do(self._half.resized(columns, max(1, rows - 1)))
            self._do(self._half.resized(columns, rows))


class _Opening:
    """One try to connect, in a thread; its `fileno` is readable when it is decided."""

    def __init__(self, open_socket: Open, offline_s: float) -> None:
        self.socket: WebSocket | None = None
        self.error: OutlastError | None = None
        self._read_fd, self._write_fd = os.pipe()
        self._lock = threading.Lock()
        self._is_abandoned = False
        thread = threading.Thread(target=self._open, args=(open_socket, offline_s), daemon=True)
        thread.start()

    def fileno(self) -> int:
        return self._read_fd

    def close(self) -> None:
        """It is decided: give the pipe back."""
        os.close(self._read_fd)
        os.close(self._write_fd)

    def abandon(self) -> None:
        """Nobody waits any more: whatever comes of it is closed."""
        with self._lock:
            self._is_abandoned = True
            if self.socket is not None:
                self.socket.close()
            self.close()

    def _open(self, open_socket: Open, offline_s: float) -> None:
        try:
            made: WebSocket | OutlastError = open_socket(offline_s)
        except OutlastError as error:
            made = error
        except Exception as error:  # told to the user by the main thread
            made = Unreachable(f"{type(error).__name__}: {error}")
        with self._lock:
            if isinstance(made, OutlastError):
                self.error = made
            elif self._is_abandoned:
                made.close()
            else:
                self.socket = made
            if not self._is_abandoned:
                os.write(self._write_fd, b".")


__all__ = ["DRIVER", "ESCAPE", "VIEWER", "Attachment", "Keys", "Outcome", "hint_of", "name_of"]
