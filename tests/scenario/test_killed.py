"""kill -9 of script, supervisor, server and client, in every order: the state is right at once."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast import process
from outlast.process import Identity
from outlast.run.state import RunState
from outlast.sdk.handle import RunHandle
from outlast.transport.address import find
from tests.scenario.conftest import Place

pytestmark = pytest.mark.slow

IN_TIME_S = 5.0


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Each test looks at runs of its own, and leaves a server behind or none."""
    return shared_place


# A training script with a worker, which ends with it as a data loader's does.
SCRIPT = """
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
print("working", flush=True)
sys.stdin = None
worker.wait()
"""


class Life:
    """One run with all processes that have to do with it."""

    def __init__(self, place: Place, *command: str) -> None:
        self.place = place
        self.client = place.popen("run", "--", *command, stdout=subprocess.PIPE)
        assert self.client.stdout is not None
        assert self.client.stdout.readline() == b"working\n"
        self.run = place.run("@last")
        state = place.wait_for(self.run, lambda state: state["status"] == "Running")
        self.main = _pid(RunState.from_dict(state).main)
        self.pidfds = [os.pidfd_open(pid) for pid in self.members()]

    def members(self) -> list[int]:
        """Every process of the run and of its supervision."""
        entry = f"OUTLAST_RUN={self.place.folder(self.run.id)}".encode()
        return process.with_environ(entry) + self.place.supervisors(self.run.id)

    def kill(self, who: str) -> None:
        if who == "client":
            self.client.kill()
            self.client.wait(10)
        elif who == "server":
            self.place.kill_server()
        elif who == "script":
            os.kill(self.main, signal.SIGKILL)
        else:
            pids = self.place.supervisors(self.run.id)
            for number in (signal.SIGSTOP, signal.SIGKILL):  # neither half can follow the other
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):  # it ended as its script did
                        os.kill(pid, number)

    def wait_gone(self, until_s: float) -> None:
        """Until no process of the run is left."""
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                self.pidfds.append(os.pidfd_open(pid))
        for pidfd in self.pidfds:
            assert select.select([pidfd], [], [], max(0.0, until_s - time.monotonic()))[0]
            os.close(pidfd)
        assert self.members() == []

    def close(self) -> None:
        self.client.kill()
        self.client.communicate(timeout=10)


@pytest.fixture
def life(place: Place) -> Iterator[Life]:
    life = Life(place, sys.executable, "-c", SCRIPT)
    yield life
    life.close()


def _pid(who: Identity | None) -> int:
    assert who is not None
    return who.pid


def over(run: RunHandle) -> tuple[dict[str, Any], float]:
    """The facts of the run once it is over, and how long that took."""
    begun_s = time.monotonic()
    run.wait(raise_on_error=False)
    return run.fetch(), time.monotonic() - begun_s


ORDERS = list(itertools.permutations(("script", "supervisor", "server", "client")))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_in_every_order(life: Life, order: tuple[str, ...]) -> None:
    for who in order:
        life.kill(who)
    life.place.start_server()
    facts, took_s = over(life.run)
    assert took_s < IN_TIME_S
    assert (facts["status"], facts["kind"]) == ("Failed", "command")
    assert facts["cause"] in ("signal", "lost")
    text = life.place.outlast("why", life.run.id)
    assert ("SIGKILL" in text) if facts["cause"] == "signal" else ("supervisor" in text)
    life.wait_gone(time.monotonic() + IN_TIME_S)
    assert life.place.outlast("logs", life.run.id) == "working\n"


def test_the_script_alone_is_told_by_its_signal(life: Life) -> None:
    life.kill("script")
    facts, took_s = over(life.run)
    assert took_s < 2
    assert (facts["status"], facts["cause"]) == ("Failed", "signal")
    assert life.client.wait(10) == 128 + signal.SIGKILL


@pytest.mark.parametrize("first", ["keeper", "supervisor"])
def test_one_half_of_the_supervisor_after_the_other(life: Life, first: str) -> None:
    """The server starts another, which learns from the kernel how the script ended."""
    supervisor = _pid(RunState.from_dict(life.run.fetch()["state"]).supervisor)
    halves = life.place.supervisors(life.run.id)
    halves.sort(key=lambda pid: (pid == supervisor) == (first == "keeper"))
    for pid in halves:
        os.kill(pid, signal.SIGKILL)
    life.place.wait_for(life.run, lambda state: bool(state["is_orphaned"]))
    assert life.run.status == "Running"
    life.kill("script")
    facts, took_s = over(life.run)
    assert took_s < IN_TIME_S
    assert (facts["status"], facts["cause"]) == ("Failed", "signal")
    assert "SIGKILL" in life.place.outlast("why", life.run.id)
    life.wait_gone(time.monotonic() + IN_TIME_S)


def test_all_at_once(life: Life) -> None:
    server = find(life.place.home)
    assert server is not None
    pids = [server.pid, life.client.pid, *life.members()]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    life.client.wait(10)
    life.wait_gone(time.monotonic() + IN_TIME_S)
    life.place.start_server()
    facts, took_s = over(life.run)
    assert took_s < IN_TIME_S
    assert (facts["status"], facts["cause"]) == ("Failed", "lost")


@pytest.mark.parametrize("code", [0, 7])
def test_what_goes_on_without_server_and_supervisor_ends_as_it_does(
    place: Place, tmp_path: Path, code: int
) -> None:
    """Nobody of ours was alive at its end, or only the server's new supervisor: never a guess."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    life = Life(place, "sh", "-c", f"echo working; read line < {fifo}; exit {code}")
    for who in ("server", "supervisor", "client"):
        life.kill(who)
    place.start_server()
    place.wait_for(life.run, lambda state: bool(state["is_orphaned"]))
    fifo.write_text("go\n")
    facts, took_s = over(life.run)
    assert took_s < IN_TIME_S
    told = (facts["status"], facts["cause"], facts["exit_code"])
    assert told == (("Failed", "exit_code", 7) if code else ("Completed", "", 0))
    life.wait_gone(time.monotonic() + IN_TIME_S)
    life.close()
