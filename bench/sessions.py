"""How a session feels through client, server and supervisor: `python bench/sessions.py [CASE…]`.

Beside a bare PTY, and tmux where it is installed, in the same run. On a loaded machine take the
ratios. The client is wire.client on transport.websocket, as the command line's; it draws nothing,
at a rate where one is given. What the supervisor alone costs tells bench/terminal.py.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import secrets
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outlast.errors import Unreachable
from outlast.sdk import sessions
from outlast.sdk.start import start, stop
from outlast.sdk.workspace import Workspace
from outlast.transport.websocket import WebSocket
from outlast.wire.client import ClientHalf
from outlast.wire.frame import decode
from outlast.wire.terminal import Actions, Closed, Connect, Draw, Live, Reset, Send, Skipped

LONGEST_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")
RAW_CAT = "stty raw -echo; printf R; exec cat"


class Client:
    """One attached client, which may draw no faster than a rate."""

    def __init__(
        self, workspace: Workspace, session: str, role: str, *, rate: float | None = None
    ) -> None:
        self.connection = workspace.connection
        self.path = f"/api/sessions/{session}/terminal"
        self.half = ClientHalf(secrets.token_hex(16), role=role, who="bench", jitter=random.random)
        self.socket: WebSocket | None = None
        self.rate = rate
        self.drawn_bytes = self.skipped_bytes = 0
        self.tail = b""  # the end of what was drawn
        self.is_live = False
        self.draws = True
        self._undrawn: deque[tuple[int, bytes]] = deque()
        self._busy_until = 0.0

    def until(self, is_so: Callable[[], bool]) -> float:
        """Seconds until it is so."""
        began = time.perf_counter()
        while not is_so():
            self._turn()
            if time.perf_counter() - began > LONGEST_S:
                raise TimeoutError(f"waited {LONGEST_S:g} s; drawn last: {self.tail[-200:]!r}")
        return time.perf_counter() - began

    def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= until)

    def type(self, keys: bytes) -> None:
        self._do(self.half.typed(keys))

    def cut(self) -> None:
        self._do(self.half.cut(time.monotonic()))

    @property
    def is_idle(self) -> bool:
        return not self._undrawn

    def drop(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _turn(self) -> None:
        now = time.monotonic()
        self._do(self.half.due(now))
        wait_s = 0.05
        if self._undrawn and self.draws:
            wait_s = max(0.0, min(wait_s, self._busy_until - now))
        if self.socket is not None:
            writing = [self.socket] if self.socket.wants_write else []
            if select.select([self.socket], writing, [], wait_s)[0]:
                self._hear(self.socket)
        self._draw()

    def _hear(self, socket: WebSocket) -> None:
        try:
            messages = socket.receive()
        except Unreachable as error:
            self._do(self.half.cut(time.monotonic(), error.message))
            return
        now = time.monotonic()
        for message in messages:
            self._do(self.half.heard(decode(message), now))

    def _do(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Draw):
                self._undrawn.append((action.offset + len(action.data), action.data))
            elif isinstance(action, Reset):
                self._undrawn.append((action.offset, action.data))
            elif isinstance(action, Send) and self.socket is not None:
                self.socket.send(action.frame.encode())
            elif isinstance(action, Skipped):
                self.skipped_bytes += action.end - action.start
            elif isinstance(action, Live):
                self.is_live = True
            elif isinstance(action, Connect):
                self.socket = WebSocket(self.connection.address, self.path)
                self._do(self.half.connected(time.monotonic()))
            elif isinstance(action, Closed):
                self.is_live = False
                self.drop()

    def _draw(self) -> None:
        while self._undrawn and self.draws:
            now = time.monotonic()
            if self.rate is not None and now < self._busy_until:
                return
            offset, data = self._undrawn.popleft()
            if self.rate is not None:
                data, rest = data[:4096], data[4096:]  # a terminal draws a bit at a time
                self._busy_until = max(now, self._busy_until) + len(data) / self.rate
                if rest:
                    self._undrawn.appendleft((offset, rest))
                    offset -= len(rest)
            self.drawn_bytes += len(data)
            self.tail = data[-4096:] if len(data) >= 4096 else (self.tail + data)[-4096:]
            self._do(self.half.drawn(offset))


def show(name: str, value: str, beside: str, budget: str) -> None:
    print(f"{name:<28} {value:<58} {beside:<36} budget {budget}", flush=True)


def spread(took_s: list[float]) -> str:
    ordered = sorted(took_s)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(took_s) * 1e3:.2f} ms, p99 {p99 * 1e3:.1f} ms"


def cpu_s(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def memory_bytes(pid: int, field: str = "Pss") -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def supervisors(wanted: list[str]) -> list[int]:
    """Keepers and supervisors of these sessions."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if any(word.endswith("supervisor/__main__.py") for word in words[:4]) and any(
            word.endswith(f"/runs/{session}") for word in words for session in wanted
        ):
            found.append(int(place.name))
    return found


class Bench:
    """One workspace with its server."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.workspace = Workspace(home)
        self.server: int = self.workspace.status()["pid"]

    @contextmanager
    def session(self, script: str) -> Iterator[str]:
        command = ("sh", "-c", script)
        row = sessions.open_session(command, workspace=self.workspace, folder=self.home)
        try:
            yield row["id"]
        finally:
            sessions.close_session(row["id"], force=True, workspace=self.workspace)

    @contextmanager
    def client(
        self, session: str, role: str = "driver", *, rate: float | None = None
    ) -> Iterator[Client]:
        made = Client(self.workspace, session, role, rate=rate)
        made.until(lambda: made.is_live)
        try:
            yield made
        finally:
            made.drop()

    def echo(self, samples: int = 500) -> None:
        """One key at a time, in raw mode, through cat."""
        bare = echo_of_pty(["sh", "-c", RAW_CAT], samples)
        beside = f"bare PTY {spread(bare)}"
        took = []
        with self.session(RAW_CAT) as session, self.client(session) as client:
            client.until(lambda: client.tail.endswith(b"R"))
            for n in range(samples):
                goal = client.drawn_bytes + 1
                began = time.perf_counter()
                client.type(b"%c" % (97 + n % 26))
                client.until(lambda goal=goal: client.drawn_bytes >= goal)  # type: ignore[misc]
                took.append(time.perf_counter() - began)
                time.sleep(0.003)
        ratio = statistics.median(took) / statistics.median(bare)
        show("echo", f"{spread(took)}: {ratio:.1f}x", beside, "<= 2x")
        if shutil.which("tmux"):
            socket = str(self.home / "tmux")
            through = echo_of_pty(
                ["tmux", "-S", socket, "-f", "/dev/null", "new", RAW_CAT], samples
            )
            subprocess.run(["tmux", "-S", socket, "kill-server"], check=False)
            ratio = statistics.median(through) / statistics.median(bare)
            show("echo, tmux", f"{spread(through)}: {ratio:.1f}x", beside, "-")

    def bulk(self, size_mb: int = 100) -> None:
        """A large log, to a client that draws as fast as it can."""
        log = self.home / "log"
        line = b"epoch 12 step 00345 loss 0.123456 accuracy 0.98765 lr 0.0003\n"
        log.write_bytes(line * (size_mb * 1_000_000 // len(line)))
        script = f"stty raw -echo; printf R; head -c1 >/dev/null; cat {log}; printf DONE; exec cat"
        bare = bulk_of_pty(["sh", "-c", script], b"DONE")
        with self.session(script) as session, self.client(session) as client:
            client.until(lambda: client.tail.endswith(b"R"))
            busy = supervisors([session])
            before = (cpu_s([self.server]), cpu_s(busy), time.perf_counter())
            client.type(b"g")
            client.until(lambda: client.tail.endswith(b"DONE"))
            took_s = time.perf_counter() - before[2]
            server_s, node_s = cpu_s([self.server]) - before[0], cpu_s(busy) - before[1]
        mb = client.drawn_bytes / 1e6
        value = (
            f"{mb / took_s:.0f} MB/s, CPU a MB: server {server_s * 1e3 / mb:.1f}, "
            f"supervisor {node_s * 1e3 / mb:.1f} ms"
        )
        if client.skipped_bytes:
            value += f", {client.skipped_bytes / 1e6:.0f} MB skipped"
        show("bulk", value, f"bare PTY {bare:.0f} MB/s", ">= 25 MB/s, <= 15 ms")

    def reconnect(self, rounds: int = 100) -> None:
        """The connection is cut; until the same screen is live again."""
        took = []
        with self.session("seq 500; exec cat") as session, self.client(session) as client:
            client.until(lambda: b"500" in client.tail)
            for _ in range(rounds):
                client.cut()
                took.append(client.until(lambda: client.is_live))
                time.sleep(0.06)
        show("reconnect to live", spread(took), "", "p50 <= 30, p99 <= 150 ms")

    def fresh(self, rounds: int = 30) -> None:
        """A client that has nothing, on 2,000 lines of history."""
        took = []
        with self.session("seq -f 'line %g of some output' 2000; exec cat") as session:
            with self.client(session, "viewer") as client:
                client.until(lambda: b"2000" in client.tail)
            for _ in range(rounds):
                began = time.perf_counter()
                with self.client(session, "viewer") as client:
                    took.append(time.perf_counter() - began)
                    assert b"2000" in client.tail, client.tail[-100:]
        first = f"the first {took[0] * 1e3:.0f} ms"
        show("fresh client, 2,000 lines", spread(took[1:]), first, "<= 100 ms")

    def interrupt(self, rounds: int = 30) -> None:
        """Ctrl-C in a flood, for a client that draws 1 MB/s, until it has drawn the prompt."""
        took = []
        shell = "PS1='@@> ' exec bash --norc --noprofile -i"
        with self.session(shell) as session, self.client(session, rate=1e6) as client:
            client.until(lambda: b"@@> " in client.tail)
            for _ in range(rounds):
                client.type(b"yes\r")
                client.rest(0.7)
                client.tail = b""
                client.type(b"\x03")
                took.append(client.until(lambda: b"@@> " in client.tail[-300:]))
                client.until(lambda: client.is_idle)
        show("Ctrl-C in a flood at 1 MB/s", spread(took), "", "p99 <= 100 ms")

    def stalled(self, size_mb: int = 100) -> None:
        """A viewer that never draws, while the program prints."""
        script = f"stty raw -echo; printf R; head -c1 >/dev/null; yes | head -c {size_mb}000000"
        with (
            self.session(f"{script}; exec cat") as session,
            self.client(session) as driver,
            self.client(session, "viewer") as viewer,
        ):
            driver.until(lambda: driver.tail.endswith(b"R"))
            viewer.draws = False
            before = memory_bytes(self.server, "Private_Dirty")
            driver.type(b"g")
            goal = size_mb * 1_000_000
            driver.until(lambda: driver.drawn_bytes + driver.skipped_bytes >= goal)
            grown = memory_bytes(self.server, "Private_Dirty") - before
        show("stalled viewer", f"{grown / 1e6:.1f} MB more in the server", "", "<= 4 MB")

    def idle(self, count: int = 200) -> None:
        """Sessions in which nothing happens."""
        rows = [
            sessions.open_session(("sh", "-c", "exec cat"), workspace=self.workspace)["id"]
            for _ in range(count)
        ]
        try:
            time.sleep(5.0)
            pids = supervisors(rows)
            before_s, server_s, began = cpu_s(pids), cpu_s([self.server]), time.monotonic()
            time.sleep(20.0)
            lasted_s = time.monotonic() - began
            percent = (cpu_s(pids) - before_s) / lasted_s * 100
            server = (cpu_s([self.server]) - server_s) / lasted_s * 100
            each = sum(map(memory_bytes, pids)) / count
            value = f"{each / 1e6:.1f} MB each (PSS), {percent:.1f} % CPU in all"
            beside = f"{len(pids)} processes; server {server:.1f} %"
            show(f"{count} idle sessions", value, beside, "<= 15 MB, 0 %")
        finally:
            for row in rows:
                sessions.close_session(row, force=True, workspace=self.workspace)


@contextmanager
def own_pty(command: list[str]) -> Iterator[int]:
    """The master of a PTY in which the command runs."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    try:
        tty.setraw(fd)
        seen = b""
        while b"R" not in seen:
            seen += os.read(fd, 65536)
        while select.select([fd], [], [], 0.3)[0]:
            os.read(fd, 65536)
        yield fd
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def echo_of_pty(command: list[str], samples: int) -> list[float]:
    """The same keys through a PTY of our own."""
    took = []
    with own_pty(command) as fd:
        for n in range(samples):
            key, seen = b"%c" % (97 + n % 26), b""
            began = time.perf_counter()
            os.write(fd, key)
            while key not in seen:
                seen += os.read(fd, 65536)
            took.append(time.perf_counter() - began)
            time.sleep(0.003)
    return took


def bulk_of_pty(command: list[str], end: bytes) -> float:
    """Bytes a second / 1e6 of what is printed up to `end`."""
    with own_pty(command) as fd:
        began = time.perf_counter()
        os.write(fd, b"g")
        total, tail = 0, b""
        while not tail.endswith(end):
            data = os.read(fd, 65536)
            total += len(data)
            tail = (tail + data)[-64:]
        return total / (time.perf_counter() - began) / 1e6


CASES = ("echo", "bulk", "reconnect", "fresh", "interrupt", "stalled", "idle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--idle-sessions", type=int, default=200)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f}, Python {sys.version.split()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        start(home, ["--port", "0"])
        try:
            bench = Bench(home)
            for case in asked.cases:
                how: dict[str, Any] = {"count": asked.idle_sessions} if case == "idle" else {}
                getattr(bench, case)(**how)
        finally:
            stop(home)


if __name__ == "__main__":
    main()
