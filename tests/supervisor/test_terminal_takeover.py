"""Supervisors of a session are killed, at any moment: no line and no key is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import time

import pytest

from outlast.run import events as ev
from outlast.wire import frame as wire
from tests.supervisor.attaching import Attached
from tests.supervisor.conftest import PYTHON, Run, kill, wait_gone
from tests.supervisor.test_terminal import attached, raw, records, session

# Prints numbered lines until it is told to end, and keeps every key that it reads.
PROGRAM = """
import os, signal, sys, tty
tty.setraw(0)
child = os.fork()
if not child:
    number = 0
    while True:
        os.write(1, b"line %d\\r\\n" % number)
        number += 1
        if number % 50 == 0:
            import time; time.sleep(0.001)
keys = open("keys", "wb", buffering=0)
while True:
    data = os.read(0, 4096)
    keys.write(data)
    if data.endswith(b"Q"):
        break
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print("END", end="\\r\\n", flush=True)
"""


class Driver:
    """Types numbered keys over as many connections as it takes, as a client does."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.typed = b""
        self.count = 0
        self.key = os.urandom(16).hex()
        self.epoch: int | None = None
        self.reconnected = 0
        self.seat = self._attach()

    def _attach(self) -> Attached:
        until_s = time.monotonic() + 20
        while True:
            try:
                seat = Attached(str(self.run.path), key=self.key, epoch=self.epoch, who="ann")
                break
            except OSError:  # the one is gone, the other isn't there yet
                assert time.monotonic() < until_s, "nobody took over"
                time.sleep(0.002)
        assert seat.answer["role"] == "driver", seat.answer
        self.epoch = seat.answer["epoch"]
        accepted = seat.answer["accepted"]
        assert accepted <= len(self.typed)
        if accepted < len(self.typed):
            seat.type(self.typed[accepted:])
        return seat

    def type(self, data: bytes) -> None:
        self.typed += data
        try:
            self.seat.type(data)
        except OSError:
            self.reconnect()

    def type_some(self) -> None:
        """A few numbered keys, as they are typed or pasted."""
        for _ in range(random.choice((1, 1, 3, 200))):
            self.type(b"%d " % self.count)
            self.count += 1
        self.pull()

    def pull(self) -> None:
        self.seat.pull(random.choice((0.0, 0.001)))
        self.seat.frames.clear()
        if self.seat.is_closed:
            self.reconnect()

    def reconnect(self) -> None:
        self.seat.close()
        self.reconnected += 1
        self.seat = self._attach()


def check_whole(run: Run, driver: Driver) -> None:
    """Every line once and in order; every key once and in order."""
    driver.type(b"Q")
    until_s = time.monotonic() + 20
    while not run.path.joinpath("end.json").exists():
        assert time.monotonic() < until_s, run.kinds()
        select.select([], [], [], 0.005)
    lines = raw(run).split(b"\r\n")
    assert lines.pop() == b""
    begun, is_end, _ = lines.pop().partition(b"END")
    assert is_end
    assert (b"line %d\r" % len(lines)).startswith(begun)  # what the killed child was writing
    assert lines == [b"line %d" % number for number in range(len(lines))]
    assert run.working.joinpath("keys").read_bytes() == driver.typed
    assert json.loads(run.path.joinpath("end.json").read_text())["outcome"] == "completed"
    assert len(run.of(ev.Started)) == 1
    assert run.log == ""


@pytest.mark.parametrize("part", range(4))
def test_the_supervisor_is_killed_at_random_moments(run: Run, part: int) -> None:
    for number in range(12):
        fresh = Run(run.path.parent.parent / f"{part}-{number}")
        try:
            session(fresh, [PYTHON, "-c", PROGRAM])
            fresh.wait_output("line 0")
            driver = Driver(fresh)
            driver.type_some()
            kill_s = time.monotonic() + random.uniform(0.0, 0.06)
            while time.monotonic() < kill_s:
                driver.type_some()
            os.kill(fresh.supervisor, signal.SIGKILL)
            while not driver.reconnected:
                driver.type_some()
            driver.type_some()
            check_whole(fresh, driver)
            driver.seat.close()
        finally:
            fresh.close()


@pytest.mark.parametrize("call", ["splice", "pwrite64", "write", "sendto", "recvfrom", "poll"])
@pytest.mark.parametrize("when", [1, 2, 3, 10])
def test_the_supervisor_is_killed_before_any_system_call(run: Run, call: str, when: int) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: a kill at an exact system call can't be injected")
    session(run, [PYTHON, "-c", PROGRAM])
    run.wait_output("line 0")
    driver = Driver(run)
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
    victim = run.supervisor
    tracing = subprocess.Popen(
        [strace, "-p", str(victim), "-o", "/dev/null", *inject], stderr=subprocess.PIPE
    )
    try:
        assert tracing.stderr is not None
        said = tracing.stderr.readline().decode()
        if "attached" not in said:
            pytest.skip(f"strace can't trace here: {said}")
        while not driver.reconnected:
            driver.type_some()
        driver.type_some()
        check_whole(run, driver)
    finally:
        driver.seat.close()
        tracing.kill()
        tracing.communicate()


def test_the_keeper_is_killed_and_nothing_happens(run: Run) -> None:
    session(run, [PYTHON, "-c", PROGRAM])
    run.wait_output("line 0")
    driver = Driver(run)
    driver.type_some()
    os.kill(run.keeper, signal.SIGKILL)
    run.supervisors[0].wait()
    for _ in range(20):
        driver.type_some()
    check_whole(run, driver)
    assert driver.reconnected == 0
    driver.seat.close()


def test_both_are_killed_and_the_shell_is_hung_up(run: Run) -> None:
    session(run)
    run.wait_output("ready>")
    shell = run.wait(ev.Started).pid
    supervisor, keeper = run.supervisor, run.keeper
    with attached(run) as driver:
        driver.type(b"echo last words\r")
        run.wait_output("\nlast words")
        os.kill(keeper, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
    run.supervisors[-1].wait()
    wait_gone(supervisor)
    wait_gone(shell)
    run.supervise("--mode", "adopt")
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "hangup")
    assert "last words" in run.output


def test_what_survives_the_hangup_is_waited_for_and_can_be_closed(run: Run) -> None:
    session(run, ["/bin/sh", "-c", "trap '' HUP; echo up; while :; do sleep 0.1; done"])
    run.wait_output("up")
    supervisor, keeper = run.supervisor, run.keeper
    os.kill(keeper, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    run.supervisors[-1].wait()
    wait_gone(supervisor)
    run.supervise("--mode", "adopt")
    run.wait(ev.Supervised, count=2)
    with attached(run) as refused:
        assert "gone" in refused.answer["error"]
    assert run.ask(op="status")["terminal"] is None
    run.ask(op="stop", grace_s=1)
    assert run.ended().cause == "closed"


def test_a_takeover_keeps_the_size_the_commands_and_the_driver(run: Run) -> None:
    session(run)
    with attached(run, who="ann") as ann:
        ann.resize(111, 33)
        ann.wait(wire.SIZE)
        ann.type(rb"""printf '\e]633;E;sleep 9\a\e]133;C\a'; echo begun""" + b"\r")
        run.wait_output("\x07begun")
        ann.wait_accepted()
        kill(run.supervisor, signal.SIGKILL)
    run.wait(ev.Supervised, count=2)
    with attached(run, key=ann.key, epoch=1, columns=111, rows=33) as again:
        assert again.answer["accepted"] == ann.sent
        assert (again.answer["columns"], again.answer["rows"]) == (111, 33)
        again.type(rb"""printf '\e]133;D;7\a'; exit""" + b"\r")
        run.ended()
    noted = records(run, "commands")
    assert [record["k"] for record in noted] == ["start", "end"]
    assert (noted[0]["command"], noted[1]["code"]) == ("sleep 9", 7)
    # The echo of what was typed holds no mark: bash shows \e as it was typed.
    sizes = [record["size"] for record in records(run, "timing") if "size" in record]
    assert sizes[-1] == [111, 33]


def test_an_end_during_the_takeover_loses_nothing(run: Run) -> None:
    session(run, ["/bin/sh", "-c", "stty -onlcr; seq 200000; exit 4"])
    run.wait_output("\n99\n")
    kill(run.supervisor, signal.SIGKILL)
    ended = run.ended()
    assert ended.outcome == "completed"
    assert run.wait(ev.Exited).code == 4
    assert raw(run) == b"".join(b"%d\n" % number for number in range(1, 200001))
