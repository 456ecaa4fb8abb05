"""What a session's supervisor costs: `python bench/terminal.py [--megabytes N]`.

Bulk: lines of a log from a program's terminal into the journal, beside a bare PTY that is only
read. Echo: a key from the supervisor's socket to the program and back into the journal, beside a
bare PTY. Memory of both processes, and CPU while idle.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable
from pathlib import Path

import outlast
from outlast.process import TICKS_PER_S, read_stat
from outlast.run.folder import RunFolder
from outlast.supervisor import control
from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Splitter, lengthened

MAIN = str(Path(outlast.__file__).parent / "supervisor" / "__main__.py")
LINE = b"2026-11-21 07:00:00 epoch 12 step 34567 loss=0.123456 lr=1e-4 grad_norm=1.234\n"
PRINTED = "stty raw -echo; read go; head -c {} {}; exec cat"
IDLE_S = 5.0


class Session:
    """A supervisor with a program on its terminal, and one driver."""

    def __init__(self, home: str, script: str) -> None:
        self.folder = Path(home, "runs", "bench")
        self.folder.mkdir(parents=True)
        spec = {"id": "bench", "kind": "session", "terminal": {"quota_bytes": 1 << 40}}
        self.folder.joinpath("spec.json").write_text(json.dumps(spec))
        launch = {
            "attempt": 1,
            "command": ["/bin/sh", "-c", script],
            "environ": {"PATH": "/bin:/usr/bin"},
            "folder": home,
        }
        self.folder.joinpath("launch.json").write_text(json.dumps(launch))
        command = [sys.executable, "-I", "-S", MAIN, str(self.folder), "--attempt", "1"]
        self.keeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        until_s = time.monotonic() + 20
        while not self.folder.joinpath("control.sock").exists():
            assert time.monotonic() < until_s, "the supervisor doesn't start"
            time.sleep(0.01)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(self.folder / "control.sock"))
        asked = {"op": "attach", "role": "driver", "key": "0" * 32, "epoch": None}
        self.socket.sendall(json.dumps({**asked, "columns": 80, "rows": 24}).encode() + b"\n")
        self.socket.makefile("rb", 0).readline()
        self.splitter = Splitter()
        self.typed = self.written = 0

    @property
    def supervisor(self) -> int:
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text()
        return int(children.split()[0])

    def type(self, data: bytes) -> None:
        self.socket.sendall(lengthened(Frame(wire.INPUT, self.typed, data)))
        self.typed += len(data)

    def wait_written(self, length: int) -> None:
        while self.written < length:
            for frame in self.splitter.feed(self.socket.recv(1 << 16)):
                if frame.kind == wire.WRITTEN:
                    self.written = frame.number

    def close(self) -> None:
        control.ask(RunFolder(str(self.folder)), {"op": "stop", "force": True}, 10.0)
        self.keeper.wait()


def bare_bulk(path: str, size_bytes: int) -> float:
    """Seconds to read so much from a PTY, and to do nothing with it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    began_s = time.perf_counter()
    command = ["head", "-c", str(size_bytes), path]
    with subprocess.Popen(command, stdout=slave):
        left = size_bytes
        while left:
            left -= len(os.read(master, 65536))
    took_s = time.perf_counter() - began_s
    os.close(master)
    os.close(slave)
    return took_s


def bare_echo(rounds: int) -> float:
    master, slave = os.openpty()
    tty.setraw(slave)
    with subprocess.Popen(["cat"], stdin=slave, stdout=slave) as program:

        def once() -> None:
            os.write(master, b"x")
            os.read(master, 10)

        took_s = median_s(once, rounds)
        program.kill()
    os.close(master)
    os.close(slave)
    return took_s


def median_s(once: Callable[[], None], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        time.sleep(0.002)
        began_s = time.perf_counter()
        once()
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken)


def cpu_s(pid: int) -> float:
    stat = read_stat(pid)
    return 0.0 if stat is None else stat.cpu_ticks / TICKS_PER_S


def memory(pid: int) -> str:
    stat = read_stat(pid)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:") and stat is not None:
            own = int(line.split()[1]) / 1e3
            return f"resident {stat.rss_bytes / 1e6:5.1f} MB   proportional {own:5.1f} MB"
    return "gone"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=500)
    asked = parser.parse_args()
    size_bytes = asked.megabytes * 1_000_000
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        log = Path(home, "log")
        log.write_bytes(LINE * (size_bytes // len(LINE) + 1))
        floor_s = bare_bulk(str(log), size_bytes)
        session = Session(home, PRINTED.format(size_bytes, log))
        supervisor = session.supervisor
        before_s, began_s = cpu_s(supervisor), time.perf_counter()
        session.type(b"\n")
        session.wait_written(size_bytes)
        took_s = time.perf_counter() - began_s
        used_ms = (cpu_s(supervisor) - before_s) * 1e3
        print(f"bulk, bare PTY     {asked.megabytes / floor_s:6.1f} MB/s  (floor)")
        print(
            f"bulk, into journal {asked.megabytes / took_s:6.1f} MB/s  "
            f"{used_ms / asked.megabytes:.1f} ms CPU/MB  (budget 40 MB/s, 10 ms on a free machine)"
        )

        def echo() -> None:
            session.type(b"x")
            session.wait_written(session.written + 1)

        bare_ms, echo_ms = bare_echo(asked.rounds) * 1e3, median_s(echo, asked.rounds) * 1e3
        print(f"echo, bare PTY     {bare_ms:6.3f} ms median  (floor)")
        print(f"echo, supervisor   {echo_ms:6.3f} ms median  ratio {echo_ms / bare_ms:.1f}")
        print(f"memory, keeper     {memory(session.keeper.pid)}")
        print(f"memory, supervisor {memory(supervisor)}")
        time.sleep(2.0)
        before_s = cpu_s(supervisor)
        time.sleep(IDLE_S)
        print(f"idle: {(cpu_s(supervisor) - before_s) / IDLE_S * 100:.2f} % of a core")
        session.close()


if __name__ == "__main__":
    main()
