"""One WebSocket of a tunnel: frames pass between the client and the run's supervisor, unread.

Nothing is kept here, and nothing waits for longer than a socket is full: the windows are at the two
ends (`wire.stream`), so a server may die at any byte. The target was chosen when the tunnel was
opened (`routes/tunnels`); here a tunnel is only a run's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

from outlast.errors import Invalid, NotFound
from outlast.ids import check_run_id
from outlast.run.folder import SOCKET, RunFolder
from outlast.server.auth import REVOKED, Principal, until_revoked
from outlast.server.follow import folder_of
from outlast.server.parts import Parts
from outlast.server.together import until_first
from outlast.server.websocket import WebSocket
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, telling

# A tunnel that this server doesn't know may be one that a restarted one will still learn of.
YOUNG_S = 60.0
# From the submission of a tunnel until its supervisor listens: 0.1 s, more on a loaded machine.
LISTENING_S = 20.0
BUFFER_BYTES = 1 << 20
_MOST_PARTS = 64  # of one sendmsg


async def relay(parts: Parts, run_id: str, client: WebSocket, principal: Principal) -> None:
    """Serve one connection until either side ends it; a reason is said as BYE."""
    bye = None
    revoked = asyncio.Event()

    async def revoke() -> None:
        await until_revoked(parts.keys, principal)
        revoked.set()

    try:
        node = await _connect(parts, _folder(parts, run_id))
        if node is None:
            bye = _bye("the tunnel is over", is_final=True)
        else:
            with node, contextlib.closing(Passage(client, node)) as passage:
                await until_first(passage.over.wait(), parts.stopping.wait(), revoke())
            if revoked.is_set():
                bye = _bye(REVOKED, is_final=True)
    except NotFound as error:
        is_young = time.time_ns() - parts.started_ns < YOUNG_S * 1e9
        bye = _bye(error.message, is_final=not is_young)
    except TimeoutError:
        bye = _bye("its supervisor doesn't answer", is_final=False)
    if bye is not None:
        client.write(bye.encode())
    client.finish()


def _folder(parts: Parts, run_id: str) -> RunFolder:
    try:
        return folder_of(parts.settings.runs_folder, check_run_id(run_id))
    except Invalid:
        raise NotFound("there is no such tunnel in this workspace") from None


async def _connect(parts: Parts, folder: RunFolder) -> socket.socket | None:
    """The supervisor's control socket, attached; None when the run is over.

    Raises NotFound, and TimeoutError when the supervisor doesn't listen.
    """
    news = asyncio.Event()
    with parts.followers.watching(folder, lambda _name: news.set()):
        async with asyncio.timeout(LISTENING_S):
            while True:
                news.clear()
                with contextlib.suppress(OSError):
                    return await _attached(folder)
                if await parts.is_over(folder.run_id):
                    return None
                with contextlib.suppress(TimeoutError):  # a state may change without a file
                    async with asyncio.timeout(1.0):
                        await news.wait()


async def _attached(folder: RunFolder) -> socket.socket:
    loop = asyncio.get_running_loop()
    # A socket's path has room for 107 bytes; a run's folder may lie deeper.
    place = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    node = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        node.setblocking(False)
        node.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)  # fewer wake-ups
        await loop.sock_connect(node, f"/proc/self/fd/{place}/{SOCKET}")
        await loop.sock_sendall(node, b'{"op":"attach"}\n')
        return node
    except BaseException:
        node.close()
        raise
    finally:
        os.close(place)


class Passage:
    """A client on one side, the supervisor on the other; `over` is set when either has gone.

    Each is read only while the other takes more, so at most one message waits here.
    """

    def __init__(self, client: WebSocket, node: socket.socket) -> None:
        self.over = asyncio.Event()
        self._client = client
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._up: list[memoryview | bytes] = []  # for the supervisor
        self._is_up_full = self._is_down_full = False
        self._down = memoryview(bytearray(BUFFER_BYTES))  # for the client, as far as it came
        self._down_bytes = 0
        self._loop.add_reader(node, self._from_node)
        client.hand_to(self)

    def close(self) -> None:
        """Let go of both."""
        self.over.set()
        self._loop.remove_reader(self._node)
        self._loop.remove_writer(self._node)

    # --- the client's socket ---

    def message(self, message: bytes | str) -> None:
        """A frame for the supervisor."""
        if self.over.is_set():
            return
        if isinstance(message, str) or not message:
            self.over.set()
            return
        self._up += (len(message).to_bytes(wire.LENGTH_BYTES, "big"), message)
        if not self._is_up_full:
            self._to_node()

    def drained(self) -> None:
        """The client takes more."""
        if self._is_down_full and not self.over.is_set():
            self._is_down_full = False
            self._loop.add_reader(self._node, self._from_node)

    def gone(self) -> None:
        """The client's socket is closed."""
        self.over.set()

    # --- the supervisor's ---

    def _to_node(self) -> None:
        is_full = False
        try:
            while self._up:
                self._sent(self._node.sendmsg(self._up[:_MOST_PARTS]))
        except BlockingIOError:
            is_full = True
        except OSError:  # the supervisor has gone
            self.over.set()
        if is_full != self._is_up_full:
            self._is_up_full = is_full
            self._client.listen(not is_full)
            if is_full:
                self._loop.add_writer(self._node, self._to_node)
            else:
                self._loop.remove_writer(self._node)

    def _sent(self, size_bytes: int) -> None:
        while self._up and size_bytes >= len(self._up[0]):
            size_bytes -= len(self._up.pop(0))
        if size_bytes:
            self._up[0] = memoryview(self._up[0])[size_bytes:]

    def _from_node(self) -> None:
        try:
            count = self._node.recv_into(self._down[self._down_bytes :])
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._loop.remove_reader(self._node)
            self.over.set()
            return
        self._down_bytes += count
        self._to_client()
        if self._client.is_full:
            self._is_down_full = True
            self._loop.remove_reader(self._node)

    def _to_client(self) -> None:
        """Pass on the frames that are whole; the beginning of one moves to the front."""
        at, end = 0, self._down_bytes
        while end - at >= wire.LENGTH_BYTES:
            start = at + wire.LENGTH_BYTES
            whole = start + int.from_bytes(self._down[at:start], "big")
            if whole > end:
                break
            self._client.write(self._down[start:whole])
            at = whole
        if at:
            self._down[: end - at] = self._down[at:end]
            self._down_bytes = end - at


def _bye(reason: str, *, is_final: bool) -> Frame:
    return telling(wire.BYE, 0, final=is_final, reason=reason)
