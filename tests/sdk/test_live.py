"""News by one WebSocket, over a restart of the server."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from outlast.sdk.live import Live
from outlast.sdk.submit import submit
from tests.sdk.place import Place

PATIENCE_S = 40.0
SCRIPT = """
import os, sys, time
for number in range(3):
    print("line", number, flush=True)
    while not os.path.exists(sys.argv[1] + str(number)):
        time.sleep(0.05)
"""


def collect(live: Live, told: list[dict[str, Any]], what: str, wanted: bytes = b"") -> bytes:
    """Receive until the bytes of the journal end with `wanted`, or a message has the key `what`."""
    data: bytes = b"".join(message.get("data", b"") for message in told)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        for message in live.receive(5.0):
            told.append(message)
            data += bytes(message.get("data", b""))
            if what in message and not wanted:
                return data
        if wanted and data.endswith(wanted):
            return data
    pytest.fail(f"no {what}: {told}")


def test_every_byte_comes_once_over_a_restart(own_place: Place, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    run = submit([sys.executable, "-c", SCRIPT, go], folder=tmp_path, workspace=own_place.workspace)
    live = Live(own_place.workspace.connection)
    live.follow({"run": run.id, "journal": "output", "from": 0}, {"run": run.id, "state": True})
    told: list[dict[str, Any]] = []
    collect(live, told, "data", b"line 0\n")
    own_place.kill_server()
    Path(go + "0").touch()
    own_place.start_server()
    assert collect(live, told, "data", b"line 1\n") == b"line 0\nline 1\n"
    Path(go + "1").touch()
    Path(go + "2").touch()
    assert collect(live, told, "end") == b"line 0\nline 1\nline 2\n"
    run.wait()
    live.close()


def test_what_is_gone_is_an_error_message(place: Place) -> None:
    live = Live(place.workspace.connection)
    live.follow({"run": "no-such-run", "state": True})
    told: list[dict[str, Any]] = []
    collect(live, told, "error")
    assert told[-1]["entry"]["run"] == "no-such-run"
    live.close()


def test_waiting_ends_when_another_descriptor_has_news(place: Place) -> None:
    live = Live(place.workspace.connection)
    reading, writing = os.pipe()
    try:
        live.receive(0.1)
        os.write(writing, b"x")
        began_s = time.monotonic()
        while live.receive(PATIENCE_S, or_when=reading):
            pass
        assert time.monotonic() - began_s < PATIENCE_S / 2
    finally:
        live.close()
        os.close(reading)
        os.close(writing)


def test_a_server_that_is_away_is_said_so(own_place: Place) -> None:
    live = Live(own_place.workspace.connection)
    live.receive(1.0)
    assert live.lost_for_s == 0
    own_place.stop_server()
    deadline_s = time.monotonic() + PATIENCE_S
    while not live.lost_for_s and time.monotonic() < deadline_s:
        live.receive(0.5)
    assert live.lost_for_s > 0
    assert live.receive(0.1) == []
    own_place.start_server()
    while live.lost_for_s and time.monotonic() < deadline_s:
        live.receive(0.5)
    assert live.lost_for_s == 0
    live.close()
