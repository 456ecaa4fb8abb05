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
from collections.abc import AsyncIterator, Callable
from typing import Any

from outlast.errors import Invalid, NotFound
from outlast.ids import check_run_id
from outlast.run.folder import SOCKET, RunFolder
from outlast.server.follow import folder_of
from outlast.server.parts import Parts
from outlast.server.together import until_first
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, telling

# A tunnel that this server doesn't know may be one that a restarted one will still learn of.
YOUNG_S = 60.0
# From the submission of a tunnel until its supervisor listens: 0.1 s, more on a loaded machine.
LISTENING_S = 20.0
BUFFER_BYTES = 1 << 20

Send = Callable[[Any], Any]
Receive = Callable[[], Any]


async def relay(parts: Parts, run_id: str, receive: Receive, send: Send) -> None:
    """Serve one connection until either side ends it; a reason is said as BYE."""
    bye = None
    try:
        node = await _connect(parts, _folder(parts, run_id))
        if node is None:
            bye = _bye("the tunnel is over", is_final=True)
        else:
            with node:
                await _pass(node, receive, send, parts.stopping)
    except NotFound as error:
        is_young = time.time_ns() - parts.started_ns < YOUNG_S * 1e9
        bye = _bye(error.message, is_final=not is_young)
    except TimeoutError:
        bye = _bye("its supervisor doesn't answer", is_final=False)
    with contextlib.suppress(OSError):  # the client has gone already
        if bye is not None:
            await send({"type": "websocket.send", "bytes": bye.encode()})
        await send({"type": "websocket.close", "code": 1000, "reason": ""})


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
        await loop.sock_connect(node, f"/proc/self/fd/{place}/{SOCKET}")
        await loop.sock_sendall(node, b'{"op":"attach"}\n')
        return node
    except BaseException:
        node.close()
        raise
    finally:
        os.close(place)


async def _pass(node: socket.socket, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
    await until_first(_up(receive, node), _down(node, send), stopping.wait())


async def _up(receive: Receive, node: socket.socket) -> None:
    """From the client to the supervisor, until the client goes."""
    loop = asyncio.get_running_loop()
    while True:
        message = await receive()
        data = message.get("bytes")
        if message["type"] == "websocket.disconnect" or not data:
            return
        head = len(data).to_bytes(wire.LENGTH_BYTES, "big")
        try:
            sent = node.sendmsg((head, data))
        except BlockingIOError:
            sent = 0
        except OSError:  # the supervisor has gone
            return
        if sent < len(head) + len(data):
            rest = head[sent:] + data if sent < len(head) else memoryview(data)[sent - len(head) :]
            with contextlib.suppress(OSError):
                await loop.sock_sendall(node, rest)


async def _down(node: socket.socket, send: Send) -> None:
    """From the supervisor to the client, until the supervisor goes."""
    with contextlib.suppress(OSError):  # the client has gone
        async for message in _messages(node):
            await send({"type": "websocket.send", "bytes": message})


async def _messages(node: socket.socket) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    start = end = 0  # what was received and not yet passed on
    while True:
        while end - start >= wire.LENGTH_BYTES:
            size_bytes = int.from_bytes(buffer[start : start + wire.LENGTH_BYTES], "big")
            whole = start + wire.LENGTH_BYTES + size_bytes
            if whole > end:
                break
            yield bytes(buffer[start + wire.LENGTH_BYTES : whole])
            start = whole
        if start:
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start
        try:
            count = await loop.sock_recv_into(node, buffer[end:])
        except OSError:
            return
        if not count:
            return
        end += count


def _bye(reason: str, *, is_final: bool) -> Frame:
    return telling(wire.BYE, 0, final=is_final, reason=reason)
