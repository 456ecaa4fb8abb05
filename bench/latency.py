"""How long a person waits for a run: `python bench/latency.py [--rounds N]`.

Beside floors of the same run: a bare interpreter that prints its first line, and a signal from a
parent to its own child. On a loaded machine take the differences, not the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from outlast.artifacts.blobs import Blobs
from outlast.config import Settings
from outlast.process import with_environ
from outlast.run.folder import EVENTS, OUTPUT, RunFolder
from outlast.run.state import RunState
from outlast.scheduler.scheduler import Scheduler
from outlast.store.database import Database

FIRST_LINE = "import time; print(time.time_ns())"
WRITES = "import os; os.makedirs('outputs', exist_ok=True); open('outputs/a', 'w').write('a' * 999)"
OBEYS = "import subprocess; p = [subprocess.Popen(['sleep', '99']) for _ in '12']; p[0].wait()"
IGNORES = (
    "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "c = [sys.executable, '-I', '-S', '-c', 'import signal;"
    "signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()']\n"
    "p = [subprocess.Popen(c) for _ in '12']\n"
    "while True: signal.pause()"
)
GRACE_S = 0.5


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def ms(later_ns: int, earlier_ns: int) -> float:
    return (later_ns - earlier_ns) / 1e6


def show(name: str, took: list[float], floor: str, floors: list[float], budget: str) -> None:
    middle, worst, bare = statistics.median(took), max(took), statistics.median(floors)
    print(
        f"{name:<44} {middle:7.1f} ms (worst {worst:6.1f})   {floor:<30} {bare:6.1f} ms   "
        f"beyond it {middle - bare:6.1f} ms   budget {budget}"
    )


class Bench:
    """A scheduler on a workspace of its own."""

    def __init__(self, scheduler: Scheduler, home: Path) -> None:
        self.scheduler = scheduler
        self.home = home

    async def submit(self, code: str, **spec: Any) -> str:
        launch = {
            "command": python(code),
            "environ": {"PATH": os.environ["PATH"]},
            "folder": str(self.home / "work"),
        }
        return (await self.scheduler.submit(spec, launch)).id

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(str(self.home / "runs" / run_id))

    def events(self, run_id: str) -> Mapping[str, int]:
        """When each kind of event was told last."""
        lines = Path(self.folder(run_id).file(EVENTS)).read_text().splitlines()
        return {record["k"]: record["t_ns"] for record in map(json.loads, lines)}

    def output(self, run_id: str) -> str:
        path = Path(self.folder(run_id).file(OUTPUT))
        return path.read_text() if path.exists() else ""

    async def wait(self, run_id: str, is_it: Callable[[RunState], bool]) -> int:
        """When a follower of the run sees that it is so."""
        changes = self.scheduler.changes
        while True:
            version = changes.version(run_id)
            state = await self.scheduler.state(run_id)
            if state is not None and is_it(state):
                return time.time_ns()
            await changes.wait(run_id, version, 5.0)

    async def first_line(self) -> tuple[float, float]:
        """From submit to the script's first line, and from the tree's end to Completed."""
        began_ns = time.time_ns()
        run_id = await self.submit(FIRST_LINE)
        over_ns = await self.wait(run_id, lambda state: state.is_over)
        printed_ns = int(self.output(run_id))
        return ms(printed_ns, began_ns), ms(over_ns, self.events(run_id)["tree_ended"])

    async def with_outputs(self) -> float:
        """From the main process's end to Completed, with an output to store."""
        run_id = await self.submit(WRITES)
        over_ns = await self.wait(run_id, lambda state: state.is_over)
        return ms(over_ns, self.events(run_id)["exited"])

    async def cancel(self, code: str, lines: int) -> float:
        """From the cancel to Canceled, with nothing left alive."""
        run_id = await self.submit(code, limits={"stop_grace_s": GRACE_S})
        await self.wait(run_id, lambda state: state.main is not None)
        await asyncio.to_thread(self.wait_ready, run_id, lines)
        began_ns = time.time_ns()
        await self.scheduler.cancel(run_id)
        over_ns = await self.wait(run_id, lambda state: state.is_over)
        assert not self.members(run_id), "something is left"
        return ms(over_ns, began_ns)

    def wait_ready(self, run_id: str, lines: int) -> None:
        """Until the whole tree is there and has said so."""
        while self.output(run_id).count("1") < lines or len(self.members(run_id)) < 3:
            time.sleep(0.005)

    def members(self, run_id: str) -> list[int]:
        return with_environ(b"OUTLAST_RUN=" + os.fsencode(self.folder(run_id).path))


def bare_first_line() -> float:
    began_ns = time.time_ns()
    printed = subprocess.run(python(FIRST_LINE), check=True, capture_output=True).stdout
    return ms(int(printed), began_ns)


def bare_kill() -> float:
    with subprocess.Popen(["sleep", "99"]) as child:
        began_ns = time.time_ns()
        child.send_signal(signal.SIGTERM)
        child.wait()
        return ms(time.time_ns(), began_ns)


async def measure(bench: Bench, rounds: int) -> None:
    bare = [await asyncio.to_thread(bare_first_line) for _ in range(rounds)]
    kills = [await asyncio.to_thread(bare_kill) for _ in range(rounds)]
    await bench.first_line()  # the first one warms caches
    lines, ends = zip(*[await bench.first_line() for _ in range(rounds)], strict=True)
    outputs = [await bench.with_outputs() for _ in range(rounds)]
    obeys = [await bench.cancel(OBEYS, 0) for _ in range(rounds)]
    ignores = [await bench.cancel(IGNORES, 2) for _ in range(rounds)]
    show("submit to the script's first line", list(lines), "bare interpreter", bare, "80 beyond")
    show("end of the tree to Completed", list(ends), "none", [0.0], "150")
    show("end of the command to Completed, an output", outputs, "none", [0.0], "150")
    show("cancel, a tree of 3 that obeys", obeys, "SIGTERM to a child", kills, "200")
    grace = f"grace of {1e3 * GRACE_S:.0f} ms"
    show("cancel, a tree of 3 that ignores TERM", ignores, grace, [1e3 * GRACE_S], "500 beyond")


async def main() -> None:
    """Everything, on a fresh workspace."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "work").mkdir(parents=True)
        settings = Settings(home=str(home), cpus=64.0)
        database = Database.open(settings.database)
        scheduler = Scheduler(settings, database, Blobs(settings.blobs))
        await scheduler.start()
        try:
            await measure(Bench(scheduler, home), rounds)
        finally:
            await scheduler.stop()
            database.close()


if __name__ == "__main__":
    asyncio.run(main())
