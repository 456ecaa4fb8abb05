"""Sessions through bad networks and killed servers: every byte and every key, once and in order.

With OUTLAST_TEST_FULL=1 in the sizes of the acceptance: 10,000 cuts, 1 GB of output.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.transport.address import Address
from tests.scenario.conftest import IS_FULL
from tests.server.running import Server, end_sessions
from tests.sessions.client import Client
from tests.sessions.proxy import Fault, Proxy, any_fault

CUTS = 10_000 if IS_FULL else 120
CUTS_A_RESTART = 500 if IS_FULL else 40
FLOOD_BYTES = 1_000_000_000 if IS_FULL else 40_000_000
PASTE_BYTES = 100_000_000 if IS_FULL else 4_000_000
HUNDREDTH_S = 0.01

# Prints numbered lines for as long as it takes, and notes in a file what is typed.
NUMBERS = """
import os, select, sys, tty
tty.setraw(0)
keys = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
open(sys.argv[2]).close()
number = 0
while True:
    os.write(1, b"".join(b"L%08d\\r\\n" % n for n in range(number, number + 10)))
    number += 10
    if select.select([0], [], [], 0.005)[0]:
        typed = os.read(0, 65536)
        os.write(keys, typed)
        if b"!" in typed:
            os.write(1, b"END %d" % number)
            sys.exit(7)
"""
# Takes what is typed as fast as it comes, and says how much it was at the end.
SWALLOW = """
import hashlib, os, sys, tty
tty.setraw(0)
os.write(1, b"ready")
digest, left = hashlib.sha256(), int(sys.argv[1])
while left:
    piece = os.read(0, 65536)
    digest.update(piece)
    left -= len(piece)
os.write(1, b"sha256 " + digest.hexdigest().encode())
"""
# Prints numbered lines as fast as they are taken, then how long that took.
FLOOD = """
import os, sys, time, tty
tty.setraw(0)
os.write(1, b"ready")
os.read(0, 1)
began, number, left = time.monotonic(), 0, int(sys.argv[1])
while left > 0:
    lines = b"".join(b"F%014d\\n" % n for n in range(number, number + 1000))
    number, left = number + 1000, left - len(lines)
    while lines:
        lines = lines[os.write(1, lines):]
os.write(1, b"TOOK %d ms\\n" % ((time.monotonic() - began) * 1000))
os.read(0, 1)
"""
# Sets a title, waits to be let go, prints so much that what it set is long gone, and stays.
UNWATCHED = """
import os, sys, time
os.write(1, b"\\x1b]2;set long ago\\x07ready")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
for line in range(180_000):
    sys.stdout.write("%08d %s\\n" % (line, "x" * 90))
sys.stdout.write("all")
sys.stdout.flush()
time.sleep(600)
"""


class Bench:
    """A server, and sessions in it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.server = Server(folder / "home", *flags).start()
        self.folder = folder
        self.clients: list[Client] = []

    def open(self, *command: str, **wanted: Any) -> str:
        body = {
            "command": list(command),
            "environ": {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"},
            "folder": str(self.folder),
            **wanted,
        }
        answer = self.server.ask("POST", "/api/sessions", body)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    def python(self, code: str, *arguments: str, **wanted: Any) -> str:
        return self.open(sys.executable, "-I", "-S", "-c", code, *arguments, **wanted)

    def client(self, session: str, port: int = 0, **options: Any) -> Client:
        url = f"http://127.0.0.1:{port or self.server.port}"
        client = Client(Address(url, self.server.token), session, **options)
        self.clients.append(client)
        return client

    def row(self, session: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.ask("GET", f"/api/sessions/{session}").json
        return found

    def until_row(self, session: str, **wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            row = self.row(session)
            if all(row[field] == value for field, value in wanted.items()):
                return row
            time.sleep(0.02)
        raise AssertionError(f"it never became {wanted}: {row}")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.stop(signal.SIGKILL)
        end_sessions(self.server.home)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.mark.longest
@pytest.mark.slow
@pytest.mark.timeout(3600 if IS_FULL else 180)
def test_no_line_and_no_key_is_lost_or_doubled_over_any_cuts(tmp_path: Path) -> None:
    chance = random.Random(20261121)
    is_calm = True
    ports = {"server": 0}

    def plan() -> Fault:
        return Fault("none") if is_calm else any_fault(chance)

    with Proxy(lambda: ports["server"], plan) as proxy:
        bench = Bench(tmp_path, "--allowed-hosts", f"127.0.0.1:{proxy.port}")
        try:
            ports["server"] = bench.server.port
            keys, begin = tmp_path / "keys", tmp_path / "begin"
            os.mkfifo(begin)
            client = bench.client(bench.python(NUMBERS, str(keys), str(begin)), proxy.port)
            client.until(lambda: client.half.is_live)
            begin.write_bytes(b"")
            # Setting a terminal to raw throws away what was typed before.
            client.until_drawn(b"L00000000")
            is_calm = False
            client.cut()
            typed, restarts = 0, 0
            while (cuts := sum(proxy.faults.values())) < CUTS:
                client.turn(HUNDREDTH_S)
                if client.half.wants_input and client.half.queued_bytes < 4_000:
                    client.type(b"K%07d" % typed)
                    typed += 1
                if cuts // CUTS_A_RESTART > restarts:
                    restarts += 1
                    bench.server.stop(signal.SIGKILL)
                    bench.server.start()
                    ports["server"] = bench.server.port
            is_calm = True
            client.type(b"!")
            client.until(lambda: client.ended is not None, 60)
        finally:
            bench.close()
    assert client.ended is not None
    assert client.ended.code == 7
    expected = b"".join(b"K%07d" % n for n in range(typed)) + b"!"
    assert keys.read_bytes() == expected, "keys"
    lines = bytes(client.drawn).split(b"\r\n")
    last = int(lines[-1].removeprefix(b"END "))
    assert lines[:-1] == [b"L%08d" % n for n in range(last)], "lines"
    assert client.skipped == []
    assert set(proxy.faults) == {"reset", "half-close", "silence"}
    assert restarts >= 2


def test_a_shell_that_ended_while_away_tells_how_and_shows_its_last_lines(bench: Bench) -> None:
    session = bench.open("/bin/sh", "-c", "read x; echo these are the last lines; exit 3")
    client = bench.client(session)
    client.until(lambda: client.half.is_live)
    client.type(b"go\r")
    client.cut()  # and it isn't back before the end
    bench.until_row(session, status="Completed")
    client.until(lambda: client.ended is not None)
    assert client.ended is not None
    assert (client.ended.code, client.ended.status) == (3, "Completed")
    assert client.ended.t_ns is not None
    assert abs(client.ended.t_ns - time.time_ns()) < 60e9
    assert client.text.endswith("these are the last lines\r\n")
    late = bench.client(session, role="viewer")
    late.until(lambda: late.ended is not None)
    assert "these are the last lines" in late.text
    assert late.ended == client.ended


def test_a_killed_server_is_a_pause(bench: Bench) -> None:
    session = bench.open("/bin/cat")
    client = bench.client(session)
    client.until(lambda: client.half.is_live)
    client.type(b"before\r")
    client.until_drawn(b"before\r\nbefore\r\n")
    bench.server.stop(signal.SIGKILL)
    client.until(lambda: not client.half.is_online)
    client.type(b"meanwhile\r")
    bench.server.start()
    client.address = Address(f"http://127.0.0.1:{bench.server.port}", bench.server.token)
    client.until_drawn(b"meanwhile\r\nmeanwhile\r\n")
    assert len({one.server for one in client.attached}) == 2
    assert client.skipped == []
    assert bench.row(session)["status"] == "Running"


def test_an_inexact_screen_is_followed_by_an_exact_one(bench: Bench) -> None:
    pytest.importorskip("pyghostty", reason="no engine is made for this machine")
    go = bench.folder / "go"
    session = bench.python(UNWATCHED, str(go))
    bench.until_row(session, status="Running", is_answered=True)
    bench.server.stop(signal.SIGKILL)
    go.touch()
    output = bench.server.home / "runs" / session / "output"
    deadline = time.monotonic() + 60
    while output.read_bytes()[-3:] != b"all":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    bench.server.start()
    client = bench.client(session, role="viewer")
    client.until(lambda: any(b"set long ago" in screen for _, screen in client.resets), 60)
    assert client.skipped == []
    # The first was drawn from the end alone, unless the engine was quicker than the test.
    assert len(client.resets) == 2 or b"set long ago" in client.resets[0][1]
    assert all(b"all" in screen for _, screen in client.resets)


def test_a_supervisor_that_is_killed_is_a_pause(bench: Bench) -> None:
    session = bench.open("/bin/cat")
    client = bench.client(session)
    client.until(lambda: client.half.is_live)
    state = bench.server.ask("GET", f"/api/runs/{session}").json["state"]
    os.kill(state["supervisor"][0], signal.SIGKILL)
    client.type(b"still here\r")
    client.until_drawn(b"still here\r\nstill here\r\n")
    assert client.drawn == b"still here\r\nstill here\r\n"


def test_the_later_of_two_drivers_wins_and_the_earlier_is_told(bench: Bench) -> None:
    session = bench.open("/bin/cat")
    first = bench.client(session, who="first")
    first.until(lambda: first.half.is_live)
    first.type(b"one\r")
    first.until_drawn(b"one\r\none\r\n")
    second = bench.client(session, who="second")
    second.until(lambda: second.half.is_live)
    first.until(lambda: first.half.role == "viewer")
    assert (first.news[-1].is_fenced, first.news[-1].driver) == (True, "second")
    assert second.news[-1].viewers == ("first",)
    first.type(b"not mine any more\r")
    second.type(b"two\r")
    second.until_drawn(b"two\r\ntwo\r\n")
    assert b"not mine" not in second.drawn


def test_a_driver_that_was_away_meanwhile_comes_back_as_a_viewer(bench: Bench) -> None:
    session = bench.open("/bin/cat")
    first = bench.client(session, who="first")
    first.until(lambda: first.half.is_live)
    first.cut()
    second = bench.client(session, who="second")
    second.until(lambda: second.half.is_live)
    first.until(lambda: first.half.is_online)
    assert (first.half.role, first.news[-1].is_fenced) == ("viewer", True)


def skipped_bytes(client: Client) -> int:
    return sum(one.end - one.start for one in client.skipped)


def accounted_bytes(client: Client) -> int:
    """Printed before it came (its first screen stands for that), drawn, and told as skipped."""
    seen = sum(end - start for start, end in client.offsets)
    return (client.resets[0][0] if client.resets else 0) + seen + skipped_bytes(client)


def test_a_slow_viewer_costs_the_driver_nothing_and_is_told_what_it_skipped(bench: Bench) -> None:
    session = bench.python(FLOOD, str(FLOOD_BYTES))
    driver = bench.client(session, who="driver")
    driver.until_drawn(b"ready")
    viewer = bench.client(session, role="viewer", who="viewer", bytes_a_second=1_000_000)
    viewer.until(lambda: viewer.half.is_live)  # with a screen of before, not one of the end
    driver.type(b"\n")
    began = time.monotonic()
    while b" ms" not in driver.drawn[-40:]:
        assert driver.ended is None, driver
        driver.turn(HUNDREDTH_S)
        viewer.turn(0.0)
        assert time.monotonic() - began < 600, driver
    # What it had in its window it still draws; then it sees the end.
    viewer.until(lambda: b" ms" in viewer.drawn[-40:], 60)
    assert viewer.half.received == driver.half.received
    assert accounted_bytes(driver) == driver.half.received >= FLOOD_BYTES
    assert accounted_bytes(viewer) == viewer.half.received
    assert skipped_bytes(viewer) > 4 << 20
    # On a starved machine the driver may skip as well, though never as much.
    assert skipped_bytes(driver) < skipped_bytes(viewer)
    assert viewer.resets[-1][0] == viewer.skipped[-1].end


def test_a_viewer_that_stops_reading_makes_nobody_wait_and_costs_little(bench: Bench) -> None:
    session = bench.python(FLOOD, str(FLOOD_BYTES))
    driver = bench.client(session)
    driver.until_drawn(b"ready")
    stalled = [bench.client(session, role="viewer") for _ in range(8)]
    for viewer in stalled:
        viewer.until(lambda viewer=viewer: viewer.half.is_online)  # type: ignore[misc]
    before = bench.server.rss_bytes()
    driver.type(b"\n")
    driver.until(lambda: b" ms" in driver.drawn[-40:], 600)
    grown = bench.server.rss_bytes() - before
    assert grown < len(stalled) * (4 << 20)
    assert accounted_bytes(driver) == driver.half.received >= FLOOD_BYTES


def test_a_huge_paste_arrives_whole(bench: Bench) -> None:
    import hashlib

    paste = random.Random(1).randbytes(PASTE_BYTES)
    client = bench.client(bench.python(SWALLOW, str(len(paste))))
    client.until_drawn(b"ready")
    before = bench.server.rss_bytes()
    sent = 0
    while sent < len(paste) or client.half.queued_bytes:
        if sent < len(paste) and client.half.wants_input:
            client.type(paste[sent : sent + 65536])
            sent += 65536
        client.turn(0.1 if not client.half.wants_input else 0.0)
    client.until_drawn(b"sha256 " + hashlib.sha256(paste).hexdigest().encode(), 60)
    assert bench.server.rss_bytes() - before < 8 << 20


def test_a_session_of_the_same_name_never_meets_the_timer_of_the_one_before(bench: Bench) -> None:
    first = bench.open("/bin/cat", name="work", idle_s=1.5)
    bench.server.ask("POST", f"/api/sessions/{first}/close", {"force": True})
    bench.until_row(first, status="Canceled")
    second = bench.open("/bin/cat", name="work")
    assert second != first
    bench.until_row(second, status="Running")
    time.sleep(2.0)  # the first one's time is over
    assert bench.row(second)["status"] == "Running"


def test_a_session_outlives_the_server_that_is_replaced(bench: Bench) -> None:
    session = bench.open("/bin/cat")
    bench.until_row(session, status="Running")
    bench.server.stop()
    bench.server.start()
    row = bench.until_row(session, status="Running")
    assert row["is_answered"]
    assert session in [
        one["id"] for one in bench.server.ask("GET", "/api/sessions").json["sessions"]
    ]
    assert bench.server.ask("GET", "/api/runs").json["runs"] == []
