"""Clients of a WebSocket that say too much or read nothing: each costs little, others nothing."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from outlast.server import websocket
from outlast.transport.address import Address
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, telling
from tests.server.routes.test_sessions import hello, open_session
from tests.server.running import Server
from tests.sessions.client import Client

TEXT, BINARY, CONTINUED, PING, PONG = 1, 2, 0, 9, 10
STALLED = 60


def masked(opcode: int, data: bytes = b"", *, is_last: bool = True) -> bytes:
    """One frame of a WebSocket client."""
    length = len(data)
    head = bytes([is_last << 7 | opcode, 128 | (length if length < 126 else 126)])
    if length >= 126:
        head += struct.pack(">H", length)
    return head + bytes(4) + data


class Raw:
    """A client of a terminal that does nothing by itself."""

    def __init__(self, server: Server, session: str, role: str = "viewer") -> None:
        self.socket = socket.socket()
        _raw.append(self)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", server.port))
        head = [
            f"GET /api/sessions/{session}/terminal HTTP/1.1", f"Host: {server.host}",
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *(f"{name}: {value}" for name, value in server.bearer.items()),
        ]  # fmt: skip
        self.socket.sendall("\r\n".join([*head, "", ""]).encode())
        assert b" 101 " in self.socket.recv(1 << 10)
        self.socket.sendall(masked(BINARY, hello(key=os.urandom(16).hex(), role=role)))

    def flood(self, frames: bytes, most_bytes: int, most_s: float = 60) -> int:
        """Say this again and again; how much was taken before it was cut off."""
        until_s = time.monotonic() + most_s
        whole = frames * max(1, (64 << 10) // len(frames))
        taken = 0
        with contextlib.suppress(ConnectionError):
            while taken < most_bytes and time.monotonic() < until_s:
                taken += self.socket.send(whole[taken % len(whole) :])
        return taken

    def wait_reset(self, most_s: float) -> bool:
        """Is the connection reset within this time? Nothing is read meanwhile."""
        told = select.poll()
        told.register(self.socket, 0)  # only what can't be asked away: errors
        return bool(told.poll(most_s * 1e3))

    def close(self) -> None:
        self.socket.close()


_raw: list[Raw] = []
_typists: list[Client] = []


@pytest.fixture(autouse=True)
def _leaving() -> Iterator[None]:
    """Whoever came leaves at the end of the test."""
    yield
    for left in (_raw, _typists):
        while left:
            left.pop().close()


@pytest.fixture
def session(server: Server) -> Iterator[str]:
    opened = open_session(server)
    yield opened
    server.ask("POST", f"/api/sessions/{opened}/close", {"force": True})


def typist(server: Server, session: str) -> Client:
    client = Client(Address(f"http://127.0.0.1:{server.port}", server.token), session)
    _typists.append(client)
    client.until(lambda: client.half.is_live)
    return client


def echo_s(client: Client, word: bytes) -> float:
    """How long one word takes to come back."""
    began = time.monotonic()
    client.type(word + b"\r")
    client.until_drawn(word)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "frames"),
    [
        (b"", masked(PING, b"x" * 125)),
        (b"", masked(PING)),
        (b"", masked(PONG)),
        (masked(BINARY, b"x", is_last=False), masked(CONTINUED, is_last=False)),
        (b"", masked(BINARY, Frame(wire.PING, 1).encode())),
        (b"", masked(BINARY, Frame(wire.DRAWN, 0).encode())),
        (b"", masked(BINARY, Frame(wire.PING, 1, b"x" * 60_000).encode())),
    ],
    ids=["pings", "empty pings", "pongs", "pieces", "PING", "DRAWN", "long PING"],
)
def test_a_flood_that_reads_nothing_is_cut_off(
    server: Server, session: str, first: bytes, frames: bytes
) -> None:
    driver = typist(server, session)
    hostile = Raw(server, session)
    before_bytes = server.rss_bytes()
    hostile.socket.sendall(first)
    assert hostile.flood(frames, 64 << 20) < 64 << 20
    assert server.rss_bytes() - before_bytes < 16 << 20
    assert echo_s(driver, b"still here") < 10


def test_who_reads_nothing_is_told_at_the_end_and_not_left_hanging(
    server: Server, session: str
) -> None:
    hostile = Raw(server, session)
    answered = masked(BINARY, Frame(wire.PING, 1).encode()) * 2_000  # more than its window holds
    hostile.socket.sendall(answered + masked(TEXT, b"no frame"))
    assert hostile.wait_reset(20)


def test_input_is_taken_at_some_rate_and_no_faster(server: Server, session: str) -> None:
    driver = typist(server, session)
    hostile = Raw(server, session)
    before_bytes = server.rss_bytes()
    began = time.monotonic()
    repeats = masked(BINARY, Frame(wire.INPUT, 0, b"x" * 60_000).encode())
    assert hostile.flood(repeats, 128 << 20) >= 128 << 20
    assert time.monotonic() - began > 0.9
    assert server.rss_bytes() - before_bytes < 16 << 20
    assert echo_s(driver, b"still here") < 10


def test_a_message_in_countless_pieces_is_cut_off(server: Server, session: str) -> None:
    hostile = Raw(server, session)
    hostile.socket.sendall(masked(BINARY, b"x", is_last=False))
    pieces = masked(CONTINUED, b"x", is_last=False) * websocket.MOST_FRAGMENTS
    hostile.socket.sendall(pieces)
    with contextlib.suppress(ConnectionResetError):
        while hostile.socket.recv(64 << 10):
            pass


def test_a_driver_that_sizes_in_a_flood_costs_viewers_nothing(server: Server, session: str) -> None:
    viewer = Raw(server, session)
    hostile = Raw(server, session, role="driver")
    before_bytes = server.rss_bytes()
    sizes = b"".join(
        masked(BINARY, telling(wire.SIZE, columns=80 + n % 2, rows=24).encode()) for n in range(100)
    )
    hostile.socket.settimeout(5)
    with contextlib.suppress(TimeoutError):  # 4,000 a second are read
        hostile.flood(sizes, 16 << 20, most_s=2)
    assert server.rss_bytes() - before_bytes < 16 << 20
    hostile.close()
    viewer.close()
    driver = typist(server, session)
    assert echo_s(driver, b"still here") < 10


def test_stalled_viewers_cost_the_driver_nothing(server: Server) -> None:
    session = open_session(server, ["/bin/sh"])
    driver = typist(server, session)
    before_bytes = server.rss_bytes()
    for _ in range(STALLED):
        Raw(server, session)
    driver.type(b"head -c 8000000 /dev/zero | tr '\\0' x; echo; echo do''ne\r")
    driver.until(lambda: b"done" in driver.drawn)
    assert server.rss_bytes() - before_bytes < STALLED << 20
    assert echo_s(driver, b"echo still here") < 10
    server.ask("POST", f"/api/sessions/{session}/close", {"force": True})
