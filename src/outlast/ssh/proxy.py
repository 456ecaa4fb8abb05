"""What ssh's ProxyCommand runs: its pipes on one side, a tunnel that may break on the other.

It connects anew as long as ssh lives, for days if need be, and says on stderr once that it is
offline and once that it is back. ssh sees a pipe that is slow at times. Ends when both directions
have ended, when the tunnel is over for good, or soon after ssh has gone. What the two ends say to
each other is `wire.stream`; how the frames travel is `transport.websocket`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from outlast.errors import OutlastError, Refused, Unreachable
from outlast.transport.websocket import WebSocket
from outlast.wire.frame import BYE, Frame, Malformed, decode, telling
from outlast.wire.link import PING_S, pause_s
from outlast.wire.stream import PIECE_BYTES, ClientLink, Denied

# An outage is told of when it lasts longer; a restart of the server is over by then.
QUIET_S = 2.0
# So long after ssh has gone it is tried to tell the node, while there is no connection.
GONE_S = 60.0
# For ever is for a session that has begun: the first connection succeeds soon, or ssh is told.
FIRST_S = 40.0
FAREWELL_S = 2.0  # the same while there is one
_PIPE_BYTES = 1 << 20  # a pipe has room for 64 KiB by itself: a wake-up for each
# More in the kernel's hands, unsent, would only delay the pings behind it.
_UNSENT_BYTES = 512 << 10
_TURNS = 8
# ssh writes pieces of 32 KiB. While much comes they are let gather for a millisecond: fewer and
# larger messages, and a key never waits for it.
_BULK_BYTES = range(16 << 10, 128 << 10)
_GATHER_S = 0.001
_ERRORS_ONLY = -1


class Opened(NamedTuple):
    """A tunnel, as the server gave it."""

    id: str
    token: str


Connect = Callable[[str, float], WebSocket]  # (path, how long it has been offline) -> an open line


class Proxy:
    """One ssh, one tunnel."""

    def __init__(
        self, tunnel: Opened, connect: Connect, tell: Callable[[str], None],
        *, stdin: int = 0, stdout: int = 1,
    ) -> None:  # fmt: skip
        self._path = f"/api/tunnels/{tunnel.id}"
        self._connect = connect
        self._tell = tell
        self._stdin = stdin
        self._stdout = stdout
        self._link = ClientLink(tunnel.id, tunnel.token)
        self._line: WebSocket | None = None
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        self._tries = 0
        self._next_try_s = 0.0
        self._offline_s = time.monotonic()
        self._is_told = False
        self._has_worked = False
        self._reason = ""
        self._is_writable = True  # somebody reads stdout
        self._gather_s = 0.0  # nothing more is read until then
        self._gone_s = 0.0  # when ssh has gone
        self._is_ended = False
        self._woken: socket.socket | None = None

    def run(self) -> None:
        """Until the stream is over.

        Raises Refused when the tunnel ended on its own, Unreachable when it never came about.
        """
        with self._hearing_hangup(), _unblocked(self._stdin), _unblocked(self._stdout):
            try:
                while not self._is_over():
                    now_s = time.monotonic()
                    if self._line is None and now_s >= self._next_try_s:
                        self._try_to_connect()
                    self._keep_alive()
                    self._move()
                    self._wait()
            finally:
                self._drop()

    def _is_over(self) -> bool:
        if self._link.is_done or self._is_ended:
            return True
        if not self._gone_s:
            return False
        gone_s = time.monotonic() - self._gone_s
        if self._link.is_up and gone_s > FAREWELL_S:
            self._say(telling(BYE, 0, final=True, reason="ssh has gone"))
            return True
        return gone_s > GONE_S

    # --- bytes ---

    def _move(self) -> None:
        for _ in range(_TURNS):
            if not (self._read_ssh() | self._hear() | self._send() | self._write_ssh()):
                return

    def _read_ssh(self) -> bool:
        outgoing = self._link.outgoing
        size_bytes = min(outgoing.room_bytes, PIECE_BYTES)
        if not size_bytes or time.monotonic() < self._gather_s:
            return False
        self._gather_s = 0.0
        try:
            data = os.read(self._stdin, size_bytes)
        except BlockingIOError:
            return False
        except OSError:  # a terminal that hung up
            data = b""
        if data:
            outgoing.put(data)
        else:
            outgoing.is_ended = True
        if len(data) in _BULK_BYTES:
            self._gather_s = time.monotonic() + _GATHER_S
        return True

    def _write_ssh(self) -> bool:
        incoming = self._link.incoming
        has_written = False
        try:
            while (piece := incoming.next_piece()) is not None:
                incoming.hand(os.write(self._stdout, piece))
                has_written = True
            if incoming.is_at_end:
                incoming.hand_end()
                self._stop_writing()
                has_written = True
        except BlockingIOError:
            return has_written
        except OSError:  # nobody reads any more
            self._stop_writing()
        if not self._is_writable:
            incoming.discard()
        return has_written

    def _stop_writing(self) -> None:
        if self._is_writable:
            self._is_writable = False
            self._watch(self._stdout, 0)
            # Closed, so that the reader sees its end; its number must not come to be another file.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stdout)
            os.close(null)

    def _send(self) -> bool:
        line = self._line
        if line is None:
            return False
        has_sent = False
        try:
            while line.flush():
                frame = self._link.next_frame()
                if frame is None:
                    break
                line.send(frame.encode())
                has_sent = True
        except Unreachable:
            return has_sent  # what still can be read says why
        return has_sent

    def _say(self, frame: Frame) -> None:
        if self._line is not None:
            with contextlib.suppress(Unreachable):
                self._line.send(frame.encode())

    def _hear(self) -> bool:
        if self._line is None:
            return False
        now_s = time.monotonic()
        try:
            messages = self._line.receive()
            for message in messages:
                self._link.receive(decode(message), now_s)
        except Unreachable as error:
            self._lose(error.message)
        except Malformed as error:
            self._lose(f"not understood: {error}")
        except Denied as denied:
            self._lose(denied.reason)
            if denied.is_final:
                self._end(denied.reason)
        else:
            if self._link.is_up:
                self._note_online()
            return bool(messages)
        return False

    def _end(self, reason: str) -> None:
        """The tunnel will never go on. Raises Refused unless ssh has gone as well."""
        self._stop_writing()
        if not self._gone_s and not self._link.incoming.is_over:
            raise Refused(reason)
        self._is_ended = True

    # --- connections ---

    def _try_to_connect(self) -> None:
        try:
            self._line = self._connect(self._path, time.monotonic() - self._offline_s)
        except OutlastError as error:
            # Of a tunnel that has worked, a refusal is an accident of the way (another server on
            # the port, a proxy): only the tunnel's own word is final.
            if not self._has_worked and not isinstance(error, Unreachable):
                raise
            self._lose(error.message)
            return
        _keep_queue_short(self._line.fileno())
        self._link.connected(time.monotonic())

    def _lose(self, reason: str) -> None:
        was_up = self._link.is_up
        self._drop()
        now_s = time.monotonic()
        if was_up:
            self._offline_s, self._tries = now_s, 0
        self._reason = reason
        self._next_try_s = now_s + pause_s(self._tries, random.random())
        self._tries += 1

    def _drop(self) -> None:
        self._link.disconnected()
        if self._line is not None:
            self._watch(self._line.fileno(), 0)
            self._line.close()
            self._line = None

    def _keep_alive(self) -> None:
        now_s = time.monotonic()
        if self._link.is_dead(now_s):
            self._lose("no answer")
        self._link.tick(now_s)
        if not self._has_worked and now_s - self._offline_s > FIRST_S:
            raise Unreachable(
                f"no tunnel came about in {FIRST_S:g} s: {self._reason or 'no answer'}",
                hint="outlast doctor",
            )
        is_offline = not self._link.is_up and now_s - self._offline_s > QUIET_S
        if is_offline and not self._is_told:
            self._is_told = True
            self._tell(f"offline ({self._reason or 'no answer'}); the session waits, and goes on")

    def _note_online(self) -> None:
        self._has_worked = True
        self._tries = 0
        if self._is_told:
            self._is_told = False
            self._tell(f"back after {time.monotonic() - self._offline_s:.0f} s")

    # --- waiting ---

    def _wait(self) -> None:
        link, line = self._link, self._line
        is_reading = link.outgoing.room_bytes and not self._gather_s
        self._watch(self._stdin, select.POLLIN if is_reading else 0)
        is_pending = link.incoming.next_piece() is not None
        wanted = select.POLLOUT if is_pending else _ERRORS_ONLY
        self._watch(self._stdout, wanted if self._is_writable else 0)
        if line is not None:
            has_more = link.has_frame or not self._is_flushed(line)
            self._watch(line.fileno(), select.POLLIN | (select.POLLOUT if has_more else 0))
        for fd, events in self._poll.poll(self._sleep_ms()):
            if line is not None and fd == line.fileno():
                link.heard(time.monotonic())  # a part of a message is a sign of life as well
            elif fd == self._stdout and events & (select.POLLERR | select.POLLHUP):
                self._stop_writing()
                self._note_gone()
            elif self._woken is not None and fd == self._woken.fileno():
                self._woken.recv(64)

    def _is_flushed(self, line: WebSocket) -> bool:
        try:
            return line.flush()
        except Unreachable:
            return True  # reading tells it

    def _sleep_ms(self) -> int:
        now_s = time.monotonic()
        if self._gather_s:
            return 1
        if self._line is None:
            due_s = self._next_try_s
            if not self._is_told:
                due_s = min(due_s, self._offline_s + QUIET_S + 0.01)
        else:
            due_s = now_s + PING_S / 2
        return max(0, int((min(due_s, now_s + PING_S) - now_s) * 1000) + 1)

    def _watch(self, fd: int, events: int) -> None:
        if self._watched.get(fd, 0) == events:
            return
        if events:
            self._poll.register(fd, 0 if events == _ERRORS_ONLY else events)
            self._watched[fd] = events
        else:
            self._poll.unregister(fd)
            del self._watched[fd]

    def _note_gone(self) -> None:
        self._gone_s = self._gone_s or time.monotonic()

    @contextlib.contextmanager
    def _hearing_hangup(self) -> Iterator[None]:
        """ssh sends HUP when it ends."""
        numbers = (signal.SIGHUP, signal.SIGTERM)
        before = [signal.signal(number, lambda _n, _f: self._note_gone()) for number in numbers]
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        self._woken = woken
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._watch(woken.fileno(), select.POLLIN)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            woken.close()
            wake.close()


@contextlib.contextmanager
def _unblocked(fd: int) -> Iterator[None]:
    """A descriptor that doesn't block, with much room if it is a pipe; as before afterwards."""
    was_blocking = os.get_blocking(fd)
    os.set_blocking(fd, False)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        with contextlib.suppress(OSError):  # an ordinary user's pipes may hold so much together
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    try:
        yield
    finally:
        os.set_blocking(fd, was_blocking)


def _keep_queue_short(fd: int) -> None:
    with socket.socket(fileno=os.dup(fd)) as twin:
        twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
