"""A network between a client and a server that breaks when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

BUFFER_BYTES = 256 << 10


class Network:
    """A TCP proxy in a thread of its own. Every method may be called from any thread."""

    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self.target_port = 0
        self.connections = 0  # since the beginning
        self.passed_bytes = 0
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_down = False
        self._is_swallowing = False
        self._wakes: list[tuple[int, threading.Event]] = []
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(listening),))
        self._is_ready = threading.Event()
        self._thread.start()
        self._is_ready.wait(10)

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._cut)

    def go_down(self) -> None:
        """Reset every connection and refuse new ones."""
        self._is_down = True
        self.cut()

    def come_back(self) -> None:
        """Take connections again, and pass on what comes on new ones."""
        self._is_down = self._is_swallowing = False

    def swallow(self) -> None:
        """From now on everything is taken and nothing arrives: nobody is told."""
        self._is_swallowing = True

    def when_passed(self, more_bytes: int, timeout_s: float = 60.0) -> None:
        """Wait until so many more bytes have been passed on."""
        event = threading.Event()
        goal = self.passed_bytes + more_bytes
        self._loop.call_soon_threadsafe(self._wakes.append, (goal, event))
        assert event.wait(timeout_s), f"only {self.passed_bytes} of {goal} bytes were passed"

    def close(self) -> None:
        self.go_down()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    # --- in the thread ---

    async def _serve(self, listening: socket.socket) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=listening)
        self._is_ready.set()
        await self._over.wait()
        server.close()
        await self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # transports close in the loop's next turns

    def _call(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for writer in pair:
                _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)
        if self._is_down:
            _reset(writer)
            return
        try:
            there, out = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _reset(writer)
            return
        pair = (writer, out)
        self._pairs.append(pair)
        try:
            await asyncio.gather(self._pass(reader, out, pair), self._pass(there, writer, pair))
        finally:
            for one in pair:
                one.transport.abort()
            if pair in self._pairs:
                self._pairs.remove(pair)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: object
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(BUFFER_BYTES):
                # What a firewall has forgotten stays forgotten when the network heals.
                if self._is_swallowing and pair in self._pairs:
                    self._pairs.remove(pair)
                if pair not in self._pairs:
                    continue
                writer.write(data)
                await writer.drain()
                self.passed_bytes += len(data)
                self._wake()
            if pair in self._pairs:
                writer.close()

    def _wake(self) -> None:
        for wake in list(self._wakes):
            if self.passed_bytes >= wake[0]:
                self._wakes.remove(wake)
                wake[1].set()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
