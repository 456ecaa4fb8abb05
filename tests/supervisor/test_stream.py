"""A tunnel at the node: a stream that clients leave and come back to, and what ends it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast.run import events as ev
from outlast.run.folder import SOCKET
from outlast.supervisor.stream import LEFT_S, TOKEN_SHA256
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Splitter, lengthened
from outlast.wire.stream import WINDOW_BYTES, ClientLink, Denied
from tests.supervisor.conftest import Run

TOKEN = "c3" * 32
WAIT_S = 20.0


class Client:
    """A client of one tunnel, over as many connections as it is told to make."""

    def __init__(self, path: Path, token: str = TOKEN) -> None:
        self.path = path
        self.link = ClientLink(path.name, token)
        self.got = bytearray()
        self.socket: socket.socket | None = None
        self.is_taking = True

    def connect(self) -> Client:
        self.cut()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.socket.connect(f"/proc/self/fd/{place}/{SOCKET}")
        finally:
            os.close(place)
        self.socket.sendall(b'{"op":"attach"}\n')
        self.splitter = Splitter()
        self.link.connected(0.0)
        return self

    def cut(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.link.disconnected()

    def put(self, data: bytes) -> None:
        self.link.outgoing.put(data)

    def until(self, is_enough: Callable[[], bool]) -> None:
        """Talk until that holds. Raises Denied, and ConnectionError when the other end closes."""
        deadline = time.monotonic() + WAIT_S
        while not is_enough():
            assert time.monotonic() < deadline, f"got {len(self.got)} bytes"
            self.turn()

    def turn(self) -> None:
        assert self.socket is not None
        self.say()
        if not select.select([self.socket], [], [], 0.05)[0]:
            self.link.tick(time.monotonic())
            return
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        for frame in self.splitter.feed(data):
            self.link.receive(frame, 0.0)
        while self.is_taking and (piece := self.link.incoming.next_piece()) is not None:
            self.got += piece
            self.link.incoming.hand(len(piece))
        if self.is_taking and self.link.incoming.is_at_end:
            self.link.incoming.hand_end()
        self.say()

    def say(self) -> None:
        assert self.socket is not None
        while (frame := self.link.next_frame()) is not None:
            self.socket.sendall(lengthened(frame))


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    made: list[Client] = []
    yield made
    for client in made:
        client.cut()


def tunnel(run: Run, script: str, **properties: str) -> Run:
    run.spec["kind"] = "tunnel"
    known = hashlib.sha256(TOKEN.encode()).hexdigest()
    run.spec["properties"] = {TOKEN_SHA256: known, **properties}
    run.start([sys.executable, "-c", f"import os, sys, time\n{script}"])
    run.wait(ev.Started)
    return run


def client_of(run: Run, clients: list[Client], token: str = TOKEN) -> Client:
    clients.append(Client(run.path, token))
    return clients[-1].connect()


ECHO = "while data := os.read(0, 65536): os.write(1, data)"
COUNT = "for n in range(200000): os.write(1, b'%d\\n' % n)"


def test_what_is_said_comes_back_and_both_ends_end(run: Run, clients: list[Client]) -> None:
    tunnel(run, ECHO)
    client = client_of(run, clients)
    client.put(b"hello")
    client.until(lambda: client.got == b"hello")
    client.link.outgoing.is_ended = True
    client.until(lambda: client.link.is_done)
    client.cut()
    assert run.ended().outcome == "completed"


def test_nothing_is_lost_over_many_connections(run: Run, clients: list[Client]) -> None:
    tunnel(run, COUNT)
    client = client_of(run, clients)
    whole = b"".join(b"%d\n" % n for n in range(200_000))
    steps = [len(whole) * part // 12 for part in range(1, 12)]
    for step in steps:
        client.until(lambda: len(client.got) >= step)  # noqa: B023  # used at once
        client.connect()
    client.until(lambda: client.link.incoming.is_over)
    assert client.got == whole


def test_a_full_window_makes_the_command_wait_and_nothing_end(
    run: Run, clients: list[Client]
) -> None:
    tunnel(run, "data = bytes(1 << 20)\nwhile True: os.write(1, data)")
    client = client_of(run, clients)
    client.is_taking = False
    client.until(lambda: client.link.incoming.received == WINDOW_BYTES)
    client.cut()
    quiet_ticks = cpu_ticks(run.supervisor)
    time.sleep(1.5)
    assert cpu_ticks(run.supervisor) - quiet_ticks <= 5  # it sleeps
    assert rss_bytes(run.supervisor) < 100 << 20
    client.is_taking = True
    for piece in iter(client.link.incoming.next_piece, None):
        client.got += piece
        client.link.incoming.hand(len(piece))
    client.connect()
    client.until(lambda: len(client.got) > 2 * WINDOW_BYTES)
    assert run.ask(op="status")["stage"] == "running"


@pytest.mark.parametrize(("token", "reason"), [("d4" * 32, "not the token"), ("", "not the token")])
def test_another_token_is_refused_and_the_client_goes_on(
    run: Run, clients: list[Client], token: str, reason: str
) -> None:
    tunnel(run, ECHO)
    client = client_of(run, clients)
    client.put(b"one")
    client.until(lambda: client.got == b"one")
    stranger = client_of(run, clients, token)
    with pytest.raises(Denied, match=reason) as caught:
        stranger.until(lambda: False)
    assert caught.value.is_final
    client.put(b"two")
    client.until(lambda: client.got == b"onetwo")


def test_a_second_client_with_the_token_cannot_join_in_the_middle(
    run: Run, clients: list[Client]
) -> None:
    tunnel(run, ECHO)
    client = client_of(run, clients)
    client.put(b"one")
    client.until(lambda: client.got == b"one")
    client.link.tick(1e9)
    client.turn()
    client.until(lambda: client.link.outgoing.taken == 3)
    second = client_of(run, clients)
    with pytest.raises(Denied, match="isn't kept"):
        second.until(lambda: False)
    client.put(b"two")
    client.until(lambda: client.got == b"onetwo")


def test_a_newer_connection_of_the_client_replaces_the_older(
    run: Run, clients: list[Client]
) -> None:
    tunnel(run, ECHO)
    client = client_of(run, clients)
    client.until(lambda: client.link.is_up)
    older, client.socket = client.socket, None
    assert older is not None
    client.connect()
    client.put(b"x")
    client.until(lambda: client.got == b"x")
    with older:
        older.settimeout(WAIT_S)
        said = b""
        while piece := older.recv(65536):
            said += piece
    assert [f.said()["final"] for f in Splitter().feed(said) if f.kind == wire.BYE] == [True]


@pytest.mark.parametrize(
    "said",
    [
        b"\xff" * 100,
        lengthened(Frame(wire.DATA, 0, b"x")),
        lengthened(Frame(wire.HELLO, 0, b"[]")),
        lengthened(Frame(wire.HELLO, 0, b'{"token": "' + b"x" * 70_000)),
    ],
    ids=["no frame", "no greeting", "no object", "never whole"],
)
def test_who_says_nonsense_is_sent_away(run: Run, clients: list[Client], said: bytes) -> None:
    tunnel(run, ECHO)
    rude = client_of(run, clients)
    assert rude.socket is not None
    rude.socket.sendall(said)
    rude.socket.settimeout(WAIT_S)
    with contextlib.suppress(ConnectionResetError):
        while rude.socket.recv(65536):
            continue
    client = client_of(run, clients)
    client.put(b"fine")
    client.until(lambda: client.got == b"fine")


def test_last_words_wait_for_a_client_that_is_coming_back(run: Run, clients: list[Client]) -> None:
    go = run.working / "go"
    wait = f"while not os.path.exists({str(go)!r}): time.sleep(0.02)"
    tunnel(run, f"{wait}\nos.write(1, b'last words'); sys.exit(3)")
    client = client_of(run, clients)
    client.until(lambda: client.link.is_up)
    client.cut()
    go.touch()
    run.wait(ev.Exited)
    time.sleep(1.0)
    client.connect()
    client.until(lambda: client.link.incoming.is_over)
    assert client.got == b"last words"
    client.link.outgoing.is_ended = True
    client.until(lambda: client.link.outgoing.is_taken)
    run.wait(ev.TreeEnded)


def test_a_tunnel_that_nobody_joined_is_canceled_at_once(run: Run) -> None:
    tunnel(run, "os.write(1, b'a banner'); os.read(0, 1)")
    began = time.monotonic()
    run.ask(op="stop", reason="cancel")
    assert run.ended().outcome == "canceled"
    assert time.monotonic() - began < 5


def test_a_goodbye_ends_the_command(run: Run, clients: list[Client]) -> None:
    tunnel(run, ECHO)
    client = client_of(run, clients)
    client.until(lambda: client.link.is_up)
    assert client.socket is not None
    client.socket.sendall(lengthened(wire.telling(wire.BYE, 0, final=True, reason="gone")))
    assert run.ended().outcome == "completed"
    assert any("said goodbye" in e.message for e in run.events() if isinstance(e, ev.Warned))


def test_without_a_client_the_tunnel_ends_after_its_time_and_says_so(
    run: Run, clients: list[Client]
) -> None:
    tunnel(run, ECHO, **{LEFT_S: "1.5"})
    client = client_of(run, clients)
    client.until(lambda: client.link.is_up)
    begin = time.monotonic()
    client.cut()
    run.ended()
    assert time.monotonic() - begin > 1.4
    warned = [e.message for e in run.events() if isinstance(e, ev.Warned)]
    assert warned == ["the tunnel was closed: no client came for 1.5 s"]


def test_with_the_supervisor_the_stream_dies_and_the_client_is_told(
    run: Run, clients: list[Client]
) -> None:
    tunnel(run, ECHO + "\ntime.sleep(60)")
    client = client_of(run, clients)
    client.until(lambda: client.link.is_up)
    os.kill(run.supervisor, signal.SIGKILL)
    with pytest.raises(ConnectionError):
        client.until(lambda: False)
    run.wait(ev.Supervised, 2)
    with pytest.raises(Denied, match="supervisor was killed") as caught:
        until_reached(client)
    assert caught.value.is_final


def until_reached(client: Client) -> None:
    """Connect until somebody listens, and hear what is said then."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            client.connect()
            client.until(lambda: False)
        time.sleep(0.02)


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
