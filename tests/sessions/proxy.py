"""A TCP proxy that breaks what goes through it: resets, half-closes, and silences that heal."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

_PIECE_BYTES = 16 << 10


class Fault(NamedTuple):
    """What becomes of one connection."""

    kind: str  # none | reset | half-close | silence
    after_bytes: int = 0  # in both directions together
    seconds: float = 0.0  # of the silence; then it goes on as if nothing had been


class Proxy:
    """Passes connections on to 127.0.0.1:`target()`, each with the fault that `plan` gives it."""

    def __init__(self, target: Callable[[], int], plan: Callable[[], Fault]) -> None:
        self.faults: Counter[str] = Counter()  # that have happened
        self._target = target
        self._plan = plan
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._is_closed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._pairs: list[_Pair] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()  # wakes the thread
        self._thread.join(10)
        self._listening.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._is_closed:
            for key, _ in self._selector.select(0.02):
                if key.data is None:
                    self._accept()
                else:
                    key.data.ready(key.fileobj)
            now = time.monotonic()
            for pair in self._pairs:
                pair.look(now)
            self._pairs = [pair for pair in self._pairs if not pair.is_over]
        for pair in self._pairs:
            pair.close()

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target()), 2)
        except OSError:
            near.close()
            return
        self._pairs.append(_Pair(near, far, self._plan, self._selector, self.faults))


class _Pair:
    """Two sockets, joined until the fault."""

    def __init__(
        self, near: socket.socket, far: socket.socket, plan: Callable[[], Fault],
        selector: selectors.BaseSelector, faults: Counter[str],
    ) -> None:  # fmt: skip
        self.other = {near: far, far: near}
        self.near = near
        self.plan = plan
        self.fault = plan()
        self.left_bytes = self.fault.after_bytes
        self.faults = faults
        self.selector = selector
        self.is_over = False
        self.heals_at = 0.0
        for end in self.other:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(end, selectors.EVENT_READ, self)

    def ready(self, end: object) -> None:
        assert isinstance(end, socket.socket)
        if self.is_over:
            return
        try:
            piece = end.recv(_PIECE_BYTES)
            if self.fault.kind != "none" and len(piece) >= self.left_bytes:
                self.other[end].sendall(piece[: self.left_bytes])
                self._break(end, piece[self.left_bytes :])
                return
            self.left_bytes -= len(piece)
            if piece:
                self.other[end].sendall(piece)
            else:
                self.close()
        except OSError:
            self.close()

    def look(self, now: float) -> None:
        if self.heals_at and now >= self.heals_at and not self.is_over:
            self.heals_at = 0.0
            self.fault = self.plan()  # it goes on until the next
            self.left_bytes = self.fault.after_bytes
            for end in self.other:
                self.selector.register(end, selectors.EVENT_READ, self)

    def close(self) -> None:
        for end in self.other:
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(end)
            end.close()
        self.is_over = True

    def _break(self, end: socket.socket, rest: bytes) -> None:
        (kind, _, seconds), self.fault = self.fault, Fault("none")
        self.faults[kind] += 1
        if kind == "reset":
            for one in self.other:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()
        elif kind == "half-close":
            # What the other end still says arrives; this end hears no more.
            self.other[end].shutdown(socket.SHUT_WR)
            self.selector.unregister(end)
        else:
            self.heals_at = time.monotonic() + seconds
            for one in self.other:
                self.selector.unregister(one)
            self.other[end].sendall(rest)


def any_fault(chance: random.Random) -> Fault:
    """Mostly resets; now and then a silence so long that both ends give the connection up."""
    after_bytes = int(chance.expovariate(1 / 3_000)) + chance.choice((0, 150, 400))
    kind = chance.choices(("reset", "half-close", "silence"), (80, 12, 8))[0]
    seconds = 9.0 if chance.random() < 0.05 else chance.uniform(0.01, 0.4)
    return Fault(kind, after_bytes, seconds)
