"""The doors of sessions: who may do what, what is refused and told, what a list says."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from outlast.run.folder import RunFolder
from outlast.transport.address import Address
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, decode, telling
from tests.server.running import Server
from tests.sessions.client import Client

CAT = ["/bin/cat"]
KEY = "ab" * 16


def open_session(server: Server, command: list[str] = CAT, **wanted: Any) -> str:
    body = {"command": command, "environ": {"PATH": os.environ["PATH"]}, "folder": "/tmp", **wanted}
    answer = server.ask("POST", "/api/sessions", body)
    assert answer.status == 201, answer
    return str(answer.json["id"])


@pytest.fixture(scope="module")
def session(server: Server) -> str:
    return open_session(server, name="shared")


@pytest.fixture(scope="module")
def reader(server: Server) -> str:
    """A token that may only read."""
    return token(server, "read")


def token(server: Server, scope: str) -> str:
    answer = server.ask("POST", "/api/tokens", {"scope": scope, "label": f"for {scope}"})
    return str(answer.json["token"])


_joined: list[Client] = []


@pytest.fixture(autouse=True)
def _leaving() -> Iterator[None]:
    """Whoever joined leaves at the end of the test."""
    yield
    while _joined:
        _joined.pop().close()


def client(server: Server, session: str, token: str = "", **options: Any) -> Client:
    address = Address(f"http://127.0.0.1:{server.port}", token or server.token)
    _joined.append(Client(address, session, **options))
    return _joined[-1]


def socket_to(server: Server, session: str, **headers: str) -> ClientConnection:
    url = f"ws://{server.host}/api/sessions/{session}/terminal"
    return connect(url, additional_headers=headers, open_timeout=10, max_size=None)


def hello(**changes: Any) -> bytes:
    said = {
        "version": 1, "role": "driver", "key": KEY, "epoch": None, "output": None, "input": 0,
        "columns": 80, "rows": 24, "who": "test", **changes,
    }  # fmt: skip
    return telling(wire.HELLO, **said).encode()


def frames(joined: Connection, timeout_s: float = 10.0) -> Iterator[Frame]:
    """Until the socket is closed, or nothing comes for so long."""
    while True:
        try:
            message = joined.recv(timeout=timeout_s)
        except (ConnectionClosed, TimeoutError):
            return
        assert isinstance(message, bytes)
        yield decode(message)


def goodbye(joined: Connection) -> dict[str, Any]:
    return next(found for found in frames(joined) if found.kind == wire.BYE).said()


# --- the list ---


def test_a_session_is_listed_with_who_is_there_and_what_runs_in_it(server: Server) -> None:
    session = open_session(server, ["/bin/sh"], name="mine", idle_s=3600, quota_bytes=1 << 21)
    driver = client(server, session, who="ann", columns=90, rows=30)
    driver.until(lambda: driver.half.is_live)
    viewer = client(server, session, role="viewer", who="bob")
    viewer.until(lambda: viewer.half.is_online)
    driver.type(b"sleep 98\r")
    driver.until_drawn(b"sleep 98")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        row = server.ask("GET", f"/api/sessions/{session}").json
        if row["foreground"] is not None:
            break
    assert row["foreground"]["command"] == "sleep 98"
    assert abs(row["foreground"]["since_ns"] - time.time_ns()) < 60e9
    assert (row["driver"], row["viewers"]) == ("ann", ["bob"])
    assert (row["columns"], row["rows"]) == (90, 30)
    assert (row["idle_s"], row["quota_bytes"]) == (3600, 1 << 21)
    assert row["name"] == "mine"
    assert 0 < row["kept_bytes"] == row["output_bytes"]
    assert abs(row["last_byte_ns"] - time.time_ns()) < 60e9
    listed = server.ask("GET", "/api/sessions").json["sessions"]
    assert session in [one["id"] for one in listed]
    server.ask("POST", f"/api/sessions/{session}/close", {"force": True})
    driver.until(lambda: driver.ended is not None)


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        (["/bin/sh", "-c", "exec sleep 97"], "sleep 97"),
        (["/bin/sh", "-c", "sleep 96; true"], "/bin/sh -c sleep 96; true"),
        (["/bin/sh"], None),
    ],
    ids=["a command", "a script", "a shell"],
)
def test_a_command_that_has_the_terminal_runs_and_a_shell_waits(
    server: Server, command: list[str], runs: str | None
) -> None:
    session = open_session(server, command)
    looker = client(server, session, role="viewer")
    looker.until(lambda: looker.half.is_online)
    found: dict[str, Any] = {}

    def is_so() -> bool:
        found.update(server.ask("GET", f"/api/sessions/{session}").json)
        foreground = found["foreground"]
        return bool((foreground and foreground["command"]) == runs)

    looker.until(is_so)
    if runs is not None:
        assert abs(found["foreground"]["since_ns"] - time.time_ns()) < 60e9
    server.ask("POST", f"/api/sessions/{session}/close", {"force": True})


def test_a_closed_session_is_canceled_and_listed_only_when_asked_for(server: Server) -> None:
    session = open_session(server)
    joined = client(server, session)
    joined.until(lambda: joined.half.is_live)
    assert server.ask("POST", f"/api/sessions/{session}/close", {}).status == 200
    joined.until(lambda: joined.ended is not None)
    assert joined.ended is not None
    assert joined.ended.status == "Canceled"
    deadline = time.monotonic() + 10
    while server.ask("GET", f"/api/sessions/{session}").json["status"] != "Canceled":
        assert time.monotonic() < deadline
    open_ones = server.ask("GET", "/api/sessions").json["sessions"]
    assert session not in [one["id"] for one in open_ones]
    every = server.ask("GET", "/api/sessions?all=true").json["sessions"]
    assert session in [one["id"] for one in every]
    # Closing it again changes nothing.
    assert server.ask("POST", f"/api/sessions/{session}/close", {}).json["status"] == "Canceled"


def test_a_run_that_is_no_session_is_told_so(server: Server) -> None:
    launch = {"command": ["true"], "environ": {}, "folder": "/tmp"}
    run = server.ask("POST", "/api/runs", {"launch": launch}).json["id"]
    for method, path in (("GET", ""), ("POST", "/close"), ("POST", "/tickets")):
        answer = server.ask(method, f"/api/sessions/{run}{path}", {} if method == "POST" else None)
        assert (answer.status, answer.code) == (409, "conflict")
    with socket_to(server, run, **server.bearer) as joined:
        joined.send(hello())
        said = goodbye(joined)
    assert said["final"] is True
    assert "no terminal" in said["reason"]


def test_a_running_run_is_entered(server: Server) -> None:
    launch = {"command": ["sleep", "60"], "environ": {"MARK": "of-the-run"}, "folder": "/usr"}
    launch["environ"]["PATH"] = os.environ["PATH"]  # type: ignore[index]
    run = server.ask("POST", "/api/runs", {"launch": launch}).json["id"]
    deadline = time.monotonic() + 10
    while server.ask("GET", f"/api/runs/{run}").json["status"] != "Running":
        assert time.monotonic() < deadline
    show = "echo $MARK $PWD $(basename $OUTLAST_CONTEXT)"
    session = open_session(server, ["/bin/sh", "-c", show], run=run[:8], folder="")
    joined = client(server, session)
    joined.until(lambda: joined.ended is not None)
    page = server.ask("GET", f"/api/sessions/{session}/transcript").json
    assert page["text"] == f"of-the-run /usr {run}\n"
    row = server.ask("GET", f"/api/sessions/{session}").json
    assert row["entered"] == run
    server.ask("POST", f"/api/runs/{run}/cancel", {"force": True})


def test_reading_back_what_a_session_printed(server: Server) -> None:
    session = open_session(server, ["/bin/sh", "-c", "echo first; echo second; exit 4"])
    joined = client(server, session)
    joined.until(lambda: joined.ended is not None)
    path = f"/api/sessions/{session}"
    page = server.ask("GET", f"{path}/transcript?limit=7").json
    assert (page["text"], page["from"], page["next"]) == ("first\n", 0, 7)
    rest = server.ask("GET", f"{path}/transcript?from={page['next']}").json
    assert rest["text"] == "second\n"
    before = server.ask("GET", f"{path}/transcript?before={rest['next']}").json
    assert before["text"] == "first\nsecond\n"
    hits = server.ask("GET", f"{path}/transcript?search=SECOND").json["hits"]
    assert hits == []
    hits = server.ask("GET", f"{path}/transcript?search=second").json["hits"]
    assert [(hit["at"], hit["line"]) for hit in hits] == [(7, "second")]
    assert server.ask("GET", f"{path}/transcript?commands=true").json["commands"] == []
    text = server.ask("GET", f"{path}/export?format=text")
    assert text.body == b"first\nsecond\n"
    assert text.headers["content-disposition"] == f'attachment; filename="{session}.txt"'
    deadline = time.monotonic() + 30
    while server.ask("GET", path).json["status"] != "Completed":
        assert time.monotonic() < deadline
    cast = server.ask("GET", f"{path}/export?format=asciicast").body.splitlines()
    assert json.loads(cast[0])["version"] == 3
    assert json.loads(cast[-1])[1:] == ["x", "4"]


# --- who may ---


def test_a_reader_may_look_on_and_its_keys_are_refused(
    server: Server, session: str, reader: str
) -> None:
    driver = client(server, session)
    driver.until(lambda: driver.half.is_live)
    with socket_to(server, session, Authorization=f"Bearer {reader}") as joined:
        joined.send(hello(role="viewer", key="cd" * 16))
        heard = frames(joined)
        welcome = next(heard)
        assert (welcome.kind, welcome.said()["role"]) == (wire.WELCOME, "viewer")
        joined.send(Frame(wire.INPUT, 0, b"smuggled\r").encode())
        told = next(
            found for found in heard if found.kind == wire.NEWS and b"refused" in found.payload
        )
        assert "not passed on" in told.said()["refused"]
        joined.send(telling(wire.SIZE, columns=10, rows=5).encode())
        driver.type(b"driven\r")
        driver.until_drawn(b"driven\r\ndriven\r\n")
    assert b"smuggled" not in driver.drawn
    assert server.ask("GET", f"/api/sessions/{session}").json["columns"] == 80


def test_a_reader_may_not_drive_nor_open_nor_close(
    server: Server, session: str, reader: str
) -> None:
    with socket_to(server, session, Authorization=f"Bearer {reader}") as joined:
        joined.send(hello())
        said = goodbye(joined)
    assert said["final"] is True
    assert "look on" in said["reason"]
    assert server.ask("POST", "/api/sessions", {}, token=reader).status == 403
    assert server.ask("POST", f"/api/sessions/{session}/close", {}, token=reader).status == 403
    tickets = f"/api/sessions/{session}/tickets"
    assert server.ask("POST", tickets, {"role": "driver"}, token=reader).status == 403
    assert server.ask("POST", tickets, {"role": "viewer"}, token=reader).status == 201


def ticket_for(server: Server, session: str, role: str) -> str:
    answer = server.ask("POST", f"/api/sessions/{session}/tickets", {"role": role})
    assert answer.status == 201, answer
    return str(answer.json["ticket"])


def with_ticket(server: Server, session: str, ticket: str, role: str) -> list[Frame]:
    """What is said to who shows this ticket; [] when the socket is closed at once."""
    with socket_to(server, session) as joined:
        joined.send(json.dumps({"ticket": ticket}))
        try:
            joined.send(hello(role=role))
        except ConnectionClosed:
            return []
        return [found for found, _ in zip(frames(joined), range(1), strict=False)]


def test_a_ticket_opens_one_session_once_in_one_role(server: Server, session: str) -> None:
    ticket = ticket_for(server, session, "viewer")
    assert with_ticket(server, session, ticket, "viewer")[0].kind == wire.WELCOME
    assert with_ticket(server, session, ticket, "viewer") == [], "used up"
    other = open_session(server)
    ticket = ticket_for(server, other, "viewer")
    assert with_ticket(server, session, ticket, "viewer") == [], "of another session"
    said = with_ticket(server, session, ticket_for(server, session, "viewer"), "driver")[0]
    assert (said.kind, said.said()["final"]) == (wire.BYE, True)
    everywhere = server.ask("POST", "/api/tickets").json["ticket"]
    assert with_ticket(server, session, everywhere, "viewer") == [], "of the live WebSocket"
    bound = ticket_for(server, session, "driver")
    with connect(f"ws://{server.host}/api/live") as live:
        live.send(json.dumps({"ticket": bound}))
        with pytest.raises(ConnectionClosed):
            live.recv(timeout=10)
    assert with_ticket(server, session, bound, "driver") == [], "used up by the wrong door"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"},
     {"Authorization": "Bearer wrong"}],
)  # fmt: skip
def test_foreign_pages_and_hosts_get_no_handshake(
    server: Server, session: str, headers: dict[str, str]
) -> None:
    asked = {**server.bearer, **headers}
    lines = [f"{name}: {value}" for name, value in {"Host": server.host, **asked}.items()]
    lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]  # fmt: skip
    path = f"/api/sessions/{session}/terminal"
    text = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()
    answer = server.raw(text, timeout_s=2)
    assert answer.split(b" ")[1] in (b"400", b"401", b"403"), answer


def test_without_a_token_nothing_is_said(server: Server, session: str) -> None:
    with socket_to(server, session) as joined:
        joined.send(hello())
        with pytest.raises(ConnectionClosed):
            joined.recv(timeout=10)


def test_a_revoked_token_is_cut_off(server: Server, session: str) -> None:
    made = token(server, "admin")
    found = server.ask("GET", "/api/tokens").json["tokens"]
    fingerprint = next(one["fingerprint"] for one in found if one["label"] == "for admin")
    joined = client(server, session, made)
    joined.until(lambda: joined.half.is_live)
    with ThreadPoolExecutor(1) as beside:  # the client has to go on meanwhile, or is taken for dead
        deleted = beside.submit(server.ask, "DELETE", f"/api/tokens/{fingerprint}")
        joined.until(lambda: joined.half.is_over)
        assert deleted.result().status == 204
    assert "no longer valid" in joined.closed[-1].reason


def test_every_attach_is_in_the_audit_trail(server: Server, session: str) -> None:
    from outlast.config import Settings
    from outlast.store import audit
    from outlast.store.database import Database

    joined = client(server, session, role="viewer")
    joined.until(lambda: joined.half.is_online)
    if server.flags:
        pytest.skip("the trail of PostgreSQL is read in tests/store")
    database = Database.open(Settings(home=str(server.home)).database)
    deadline = time.monotonic() + 30
    actions: list[tuple[str, str]] = []
    while ("attach viewer", "done") not in actions and time.monotonic() < deadline:
        with database.read() as connection:
            acts = audit.acts(connection, target=session)
        actions = [(act.action, act.result) for act in acts]
    database.close()
    assert ("attach viewer", "done") in actions


# --- the screen of a session at which nobody looked ---

UNATTENDED = """
import sys, time
sys.stdout.write("\\x1b]2;set long ago\\x07")
for line in range(int(sys.argv[1])):
    sys.stdout.write("%08d %s\\n" % (line, "x" * 90))
sys.stdout.flush()
time.sleep(600)
"""


def test_the_first_to_come_sees_exactly_what_nobody_followed(server: Server) -> None:
    pytest.importorskip("pyghostty", reason="no engine is made for this machine")
    from outlast.sessions.engine import checkpoint
    from outlast.sessions.engine.ghostty import VERSION

    command = [sys.executable, "-c", UNATTENDED, "80000"]
    session = open_session(server, command)
    folder = RunFolder(str(server.home / "runs" / session))
    deadline = time.monotonic() + 30
    while (kept := checkpoint.load(folder, VERSION)) is None or kept.at < 7 << 20:
        assert time.monotonic() < deadline, kept
        time.sleep(0.05)
    assert kept.is_exact
    first = client(server, session, role="viewer")
    first.until(lambda: bool(first.resets))
    assert b"set long ago" in first.drawn
    assert not first.skipped
    server.ask("POST", f"/api/sessions/{session}/close", {"force": True})


# --- what makes no sense ---


@pytest.mark.parametrize(
    "said",
    [b"", b"x", Frame(wire.INPUT, 0, b"x").encode(), hello(version=2), hello(role="admin"),
     hello(key="short"), hello(output=-1), hello(output=1 << 63), hello(input=-1),
     hello(columns="wide"), hello(epoch=-1), Frame(wire.HELLO, 0, b"[" * 5000).encode()],
)  # fmt: skip
def test_a_hello_that_makes_no_sense_is_final(server: Server, session: str, said: bytes) -> None:
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(said)
        assert goodbye(joined)["final"] is True
    assert server.ask("GET", "/api/health").status == 200


def test_an_offset_beyond_the_end_gets_the_whole_screen(server: Server) -> None:
    session = open_session(server, ["/bin/sh", "-c", "echo hello; cat"])
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(hello(role="viewer", output=(1 << 63) - 1))
        drawn = b""
        for found in frames(joined, 5):
            if found.kind in (wire.OUTPUT, wire.SNAPSHOT):
                drawn += found.payload
                if b"hello" in drawn:
                    break
    assert b"hello" in drawn


def test_an_unknown_session_is_final(server: Server) -> None:
    for name in ("none", "..x", "%2e%2e%2fhome"):
        with socket_to(server, name, **server.bearer) as joined:
            joined.send(hello())
            assert goodbye(joined)["final"] is True


@pytest.mark.parametrize(
    "said",
    [Frame(wire.INPUT, 5, b"gap").encode(), b"", b"\xff" * 8, "text",
     Frame(wire.INPUT, 0, b"x" * 300_000).encode(), Frame(wire.DRAWN, 1 << 62).encode(),
     telling(wire.SIZE, columns="x", rows=None).encode(), hello()],
)  # fmt: skip
def test_frames_that_make_no_sense_end_the_connection_alone(
    server: Server, session: str, said: bytes | str
) -> None:
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(hello(key=os.urandom(16).hex()))
        assert next(frames(joined)).kind == wire.WELCOME
        joined.send(said)
        goodbye(joined)
    other = client(server, session)
    other.until(lambda: other.half.is_live)


def test_sizes_are_brought_into_their_bounds(server: Server) -> None:
    session = open_session(server)
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(hello(columns=5000, rows=0))
        welcome = next(frames(joined)).said()
        assert (welcome["columns"], welcome["rows"]) == (1000, 1)
        joined.send(telling(wire.SIZE, columns=100_000, rows=7).encode())
        sized = next(found for found in frames(joined) if found.kind == wire.SIZE)
        assert sized.said() == {"columns": 1000, "rows": 7}


def test_a_message_beyond_a_mebibyte_ends_the_connection(server: Server, session: str) -> None:
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(hello(role="viewer", key="ef" * 16))
        next(frames(joined))
        with contextlib.suppress(ConnectionClosed):  # it may be told before all is sent
            joined.send(Frame(wire.INPUT, 0, b"x" * (2 << 20)).encode())
        assert not [found for found in frames(joined) if found.kind == wire.ACCEPTED]
        with pytest.raises(ConnectionClosed):
            joined.recv(timeout=10)
    assert server.ask("GET", "/api/health").status == 200


def test_who_asks_without_reading_costs_little(server: Server, session: str) -> None:
    with socket_to(server, session, **server.bearer) as joined:
        joined.send(hello(role="viewer", key="aa" * 16))
        next(frames(joined))
        before = server.rss_bytes()
        raw = joined.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(3.0)  # the server leaves it unread after a while
        began = time.monotonic()
        with contextlib.suppress(ConnectionClosed, TimeoutError):  # it may be cut off, too
            while time.monotonic() - began < 2:
                joined.send(Frame(wire.PING, 1).encode())
        assert server.rss_bytes() - before < 8 << 20
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)
    assert server.ask("GET", "/api/health").status == 200
