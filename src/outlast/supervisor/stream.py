"""A tunnel: the command's stdin and stdout are a stream that a client may leave and come back to.

The command (`sshd -i`) has one end of a pair of sockets, the other is here. What it writes is kept
until the client has handed it on, at most 16 MiB; beyond that it isn't read, and waits. Nothing of
the stream is written to disk, so it dies with this process: the command sees its input end. What
the two ends say to each other is `wire.stream`; what the command writes to stderr is `output`.
"""

from __future__ import annotations

import _socket
import os
import select
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

from outlast.run import events as ev
from outlast.run import folder as names
from outlast.supervisor import command
from outlast.supervisor.assignment import Assignment, Launch
from outlast.supervisor.channel import Channel, Desk
from outlast.supervisor.control import Asker
from outlast.supervisor.loop import Call, Loop, now_s
from outlast.wire.frame import BYE, Frame, Malformed, Splitter, parts, telling
from outlast.wire.link import PING_S
from outlast.wire.stream import PIECE_BYTES, Denied, NodeLink

# Properties of the run.
TOKEN_SHA256 = "tunnel.token_sha256"
LEFT_S = "tunnel.left_s"  # how long it waits for a client; DEFAULT_LEFT_S without it
DEFAULT_LEFT_S = 24 * 3600.0
# After the command's end: what it said last (why it hung up) waits so long for the client.
_LINGER_S = 10.0
_FIRST_S = 60.0  # for the first connection of whoever asked for the tunnel
_GREETING_S = 10.0
_GREETINGS = 8  # connections that haven't said yet who they are
_TURNS = 4  # then the rest of the loop gets its turn
_BUFFER_BYTES = 1 << 20
_SO_SNDBUFFORCE = 32  # Linux; beyond the usual 208 KiB as root only
# sshd writes pieces of 32 KiB, and each would be a frame through three processes. While much comes,
# pieces are let gather for a millisecond: it saves half of the work, and a key never waits for it.
_BULK_BYTES = (16 << 10, 128 << 10)
_GATHER_S = 0.0005


class Tunnel(Channel):
    """The channel of a run of kind `tunnel`."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        self._desk: Optional[Desk] = None
        self._ours: Optional[_socket.socket] = None
        self._link = NodeLink(self._knows)
        self._line: Optional[_Line] = None  # the client's connection
        self._greeting: List[_Line] = []
        self._has_met = False  # the client was here once
        self._is_gathering = False
        self._gone = "its supervisor was killed, and what was on its way died with it"

    def start(self, launch: Launch, environ: Mapping[str, str], *, cgroup_procs: str = "") -> int:
        ours, theirs = _pair()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        errors = os.open(self.assignment.folder.file(names.OUTPUT), flags, 0o600)
        try:
            streams = (theirs.fileno(), theirs.fileno(), errors)
            pid = command.start_on(
                streams, launch.command, environ, launch.folder,
                umask=launch.umask, cgroup_procs=cgroup_procs,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(errors)
        self._ours = ours
        self._gone = ""
        if self._desk is not None:
            self._move()
        return pid

    def serve(self, desk: Desk) -> None:
        self._desk = desk
        self._await_client()
        self._move()

    def attach(self, request: Dict[str, Any], asker: Asker) -> None:
        """A connection; its first frame tells whether it is the client's."""
        taken = asker.take()
        _make_room(taken.socket)
        line = _Line(taken.socket)
        if self._gone:
            line.say_bye(self._gone)
        elif len(self._greeting) >= _GREETINGS:
            line.say_bye("too many connections at once", is_final=False)
        else:
            self._greeting.append(line)
            self._loop.after(_timer(line), _GREETING_S, lambda: self._dismiss(line))
            self._greet(line, taken.rest)

    def drain(self) -> None:
        self._is_gathering = False
        while self._read_command():
            self._is_gathering = False
        self._close_pair()
        if self._desk is not None:
            if self._line is None:
                self._await_client()
            self._move()

    @property
    def is_at_rest(self) -> bool:
        """Is there nothing left that a client could still take? Else the run waits for one."""
        is_awaited = self._has_met and not self._gone and not self._link.outgoing.is_taken
        return self._ours is None and not is_awaited

    def close(self) -> None:
        self._close_pair()
        for line in list(self._greeting):
            self._dismiss(line)
        self._lose()
        self._gone = self._gone or "the tunnel is over"

    # --- bytes ---

    def _move(self) -> None:
        """Move what can be moved, by some turns of each direction; then wait for more."""
        for _ in range(_TURNS):
            if not (self._read_command() | self._send() | self._hear() | self._hand_on()):
                break
        self._watch()

    def _read_command(self) -> bool:
        """From the command, as much as the window has room for."""
        outgoing = self._link.outgoing
        size_bytes = min(outgoing.room_bytes, PIECE_BYTES)
        if self._ours is None or not size_bytes or self._is_gathering:
            return False
        try:
            data = self._ours.recv(size_bytes)
        except BlockingIOError:
            return False
        except OSError:  # it ended without having read all
            data = b""
        if data:
            outgoing.put(data)
        else:
            self._close_pair()
        if _BULK_BYTES[0] <= len(data) < _BULK_BYTES[1] and self._desk is not None:
            self._is_gathering = True
            self._loop.after("tunnel gather", _GATHER_S, self._gathered)
        return True

    def _gathered(self) -> None:
        self._is_gathering = False
        self._move()

    def _hand_on(self) -> bool:
        """To the command."""
        ours, incoming = self._ours, self._link.incoming
        if ours is None:
            incoming.discard()
            return False
        has_moved = False
        try:
            piece = incoming.next_piece()
            while piece is not None:
                incoming.hand(ours.send(piece, _socket.MSG_NOSIGNAL))
                has_moved = True
                piece = incoming.next_piece()
            if incoming.is_at_end:
                ours.shutdown(_socket.SHUT_WR)
                incoming.hand_end()
                has_moved = True
        except BlockingIOError:
            return has_moved
        except OSError:  # the command reads no more; what it said may still be read
            incoming.discard()
        return has_moved

    def _send(self) -> bool:
        """To the client."""
        try:
            return self._line is not None and self._line.send(self._link.next_frame)
        except OSError:
            self._lose()
            return False

    def _hear(self) -> bool:
        """From the client."""
        line = self._line
        if line is None:
            return False
        try:
            has_heard = line.read()
            while line.frames:
                self._link.receive(line.frames.popleft(), now_s())
            return has_heard
        except Denied as bye:
            self._lose()
            if bye.is_final:
                self._give_up("its client said goodbye")
        except Malformed as error:
            line.say_bye(f"not understood: {error}", is_final=False)
            self._lose()
        except OSError:
            self._lose()
        return False

    def _watch(self) -> None:
        """Wait for what would let something move, and for nothing else: poll() has to sleep."""
        link, line = self._link, self._line
        if self._ours is not None:
            is_reading = link.outgoing.room_bytes and not self._is_gathering
            events = select.POLLIN if is_reading else 0
            events |= select.POLLOUT if link.incoming.next_piece() is not None else 0
            _watch(self._loop, self._ours.fileno(), events, self._move)
        if line is not None:
            has_more = bool(line.unsent) or link.has_frame
            events = select.POLLIN | (select.POLLOUT if has_more else 0)
            _watch(self._loop, line.number, events, self._move)

    def _close_pair(self) -> None:
        """Nothing comes from the command any more, and nothing goes to it."""
        self._link.outgoing.is_ended = True
        if self._ours is not None:
            if self._desk is not None:
                self._loop.forget(self._ours.fileno())
            self._ours.close()
            self._ours = None

    # --- connections ---

    def _greet(self, line: _Line, data: bytes = b"") -> None:
        """The first frame of a connection says whether it is the client's."""
        try:
            line.feed(data)
            line.read()
            if not line.frames:
                self._loop.watch(line.number, lambda: self._greet(line))
                return
            self._link.greet(line.frames.popleft(), now_s())
        except (Denied, Malformed) as error:
            line.say_bye(str(error))
            self._dismiss(line)
        except OSError:
            self._dismiss(line)
        else:
            self._go_on_with(line)

    def _go_on_with(self, line: _Line) -> None:
        """The stream goes on here; the connection before this one, broken or not, is over."""
        self._greeting.remove(line)
        self._loop.cancel(_timer(line))
        if self._line is not None:
            self._loop.forget(self._line.number)
            self._line.say_bye("another connection took over")
        self._line, self._has_met = line, True
        self._loop.cancel("tunnel left")
        self._tick()

    def _dismiss(self, line: _Line) -> None:
        self._greeting.remove(line)
        self._loop.cancel(_timer(line))
        self._loop.forget(line.number)
        line.close()

    def _lose(self) -> None:
        """The client's connection broke: everything waits for its next."""
        self._link.disconnected()
        if self._line is not None:
            self._loop.cancel("tunnel tick")
            self._loop.forget(self._line.number)
            self._line.close()
            self._line = None
            self._await_client()

    def _tick(self) -> None:
        self._loop.after("tunnel tick", PING_S, self._tick)
        self._link.tick(now_s())
        self._move()

    def _await_client(self) -> None:
        properties = self.assignment.spec.properties
        left_s = float(properties.get(LEFT_S, DEFAULT_LEFT_S))
        if self._ours is None:
            left_s = _LINGER_S
        elif not self._has_met:
            left_s = min(left_s, _FIRST_S)
        self._loop.after(
            "tunnel left", left_s, lambda: self._give_up(f"no client came for {left_s:g} s")
        )

    def _give_up(self, reason: str) -> None:
        """Nobody will come any more: the command sees its input end."""
        if self._ours is not None and self._desk is not None:
            message = f"the tunnel was closed: {reason}"
            self._desk.tell(ev.Warned(time.time_ns(), self.assignment.attempt, "tunnel", message))
        self._close_pair()
        self._gone = f"the tunnel is over: {reason}"

    def _knows(self, token: str) -> bool:
        import hashlib  # nobody pays for these before the first connection
        import hmac

        known = self.assignment.spec.properties.get(TOKEN_SHA256, "")
        return hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), known)

    @property
    def _loop(self) -> Loop:
        assert self._desk is not None, "serve() came before any connection"
        return self._desk.loop


class _Line:
    """One connection: frames out of its bytes, and bytes out of frames."""

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket
        self._splitter = Splitter()
        self.number = socket.fileno()
        self.frames: Deque[Frame] = deque()
        self.unsent: List[memoryview] = []

    def feed(self, data: bytes) -> None:
        """Bytes that came. Raises Malformed."""
        self.frames.extend(self._splitter.feed(data))

    def read(self) -> bool:
        """Take in what is there; False when there is nothing. Raises OSError at its end."""
        try:
            data = self._socket.recv(PIECE_BYTES)
        except BlockingIOError:
            return False
        if not data:
            raise OSError("the other end closed it")
        self.feed(data)
        return True

    def send(self, next_frame: Callable[[], Optional[Frame]]) -> bool:
        """Send what there is room for; False when nothing could be sent. Raises OSError."""
        has_sent = False
        while True:
            if not self.unsent:
                frame = next_frame()
                if frame is None:
                    return has_sent
                self.unsent = [memoryview(part) for part in parts(frame)]
            try:
                sent = self._socket.sendmsg(self.unsent, (), _socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return has_sent
            has_sent = True
            while self.unsent and sent >= len(self.unsent[0]):
                sent -= len(self.unsent.pop(0))
            if self.unsent:
                self.unsent[0] = self.unsent[0][sent:]

    def say_bye(self, reason: str, *, is_final: bool = True) -> None:
        """Tell why it is over, where there is room for it, and close."""
        frames = [telling(BYE, 0, final=is_final, reason=reason)]
        try:
            if not self.unsent:  # else it would stand in the middle of a frame
                self.send(lambda: frames.pop() if frames else None)
        except OSError:
            return  # who has gone needs no goodbye
        finally:
            self.close()

    def close(self) -> None:
        """Harmless when it is closed."""
        self._socket.close()


def _timer(line: _Line) -> str:
    return f"greeting {line.number}"


def _watch(loop: Loop, fd: int, events: int, call: Call) -> None:
    if events:
        loop.watch(fd, call, events)
    else:  # poll() would tell of a hang-up again and again
        loop.forget(fd)


def _pair() -> Tuple[_socket.socket, _socket.socket]:
    """Two ends of one stream; ours doesn't block."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    ours.setblocking(False)
    _make_room(ours)
    _make_room(theirs)
    return ours, theirs


def _make_room(socket: _socket.socket) -> None:
    """Let more be on its way in this socket: fewer wake-ups."""
    for option in (_SO_SNDBUFFORCE, _socket.SO_SNDBUF):
        try:
            socket.setsockopt(_socket.SOL_SOCKET, option, _BUFFER_BYTES)
            return
        except OSError:  # not root
            continue
