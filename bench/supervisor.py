"""What a supervisor costs: `python bench/supervisor.py [--rounds N]`.

Start: from its launch to the first thing that the command does, beside a bare interpreter that only
executes the same command. Memory: resident and proportional size of both of its processes beside a
bare interpreter. Idle: CPU time and wake-ups while the command sleeps. End: from the exit of the
command to the last word on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import outlast
from outlast.journal.cursor import Cursor
from outlast.journal.watch import Watcher
from outlast.process import TICKS_PER_S, read_stat
from outlast.run.folder import RunFolder
from outlast.supervisor import control

MAIN = str(Path(outlast.__file__).parent / "supervisor" / "__main__.py")
BARE = [sys.executable, "-I", "-S", "-c"]
EXEC = "import os; os.execv('/bin/date', ['date', '+%s%N'])"
IDLE_S = 10.0


def made(home: str, run_id: str, command: list[str]) -> Path:
    """The folder of a run that has this command."""
    folder = Path(home, "runs", run_id)
    folder.mkdir(parents=True)
    folder.joinpath("spec.json").write_text(json.dumps({"id": run_id}))
    launch = {
        "attempt": 1,
        "command": command,
        "environ": {"PATH": "/bin:/usr/bin"},
        "folder": home,
    }
    folder.joinpath("launch.json").write_text(json.dumps(launch))
    return folder


def supervise(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", MAIN, str(folder), "--attempt", "1"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def wait_event(folder: Path, kind: str) -> dict[str, object]:
    """The first event of this kind, as soon as it is there."""
    with Cursor(str(folder / "events")) as cursor, Watcher() as watcher:
        watcher.add(str(folder))
        while True:
            for record in cursor.read_records().records:
                if record["k"] == kind:
                    return record
            watcher.wait(1.0)


def start_ms(home: str, round_: int) -> tuple[float, float, float]:
    """Bare, supervised, and exit to end, each in milliseconds."""
    began_ns = time.time_ns()
    bare_ns = int(subprocess.run([*BARE, EXEC], capture_output=True, check=True).stdout)
    bare_ms = (bare_ns - began_ns) / 1e6
    folder = made(home, f"start{round_}", ["date", "+%s%N"])
    began_ns = time.time_ns()
    supervise(folder).wait()
    supervised_ms = (int((folder / "output").read_text()) - began_ns) / 1e6
    exited, ended = wait_event(folder, "exited"), wait_event(folder, "ended")
    end_ms = (int(str(ended["t_ns"])) - int(str(exited["t_ns"]))) / 1e6
    return bare_ms, supervised_ms, end_ms


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional size."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size_kb = line.split()[:2]
        fields[name] = int(size_kb) / 1024
    return fields["Rss:"], fields["Pss:"]


def cpu_s(pid: int) -> float:
    stat = read_stat(pid)
    assert stat is not None
    return stat.cpu_ticks / TICKS_PER_S


def switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def show_start(home: str, rounds: int) -> None:
    rows = [start_ms(home, round_) for round_ in range(rounds)]
    bare_ms, supervised_ms, end_ms = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    print(f"start to the command, bare interpreter   median {bare_ms:6.1f} ms  (floor)")
    print(
        f"start to the command, supervised         median {supervised_ms:6.1f} ms"
        f"  best {min(row[1] for row in rows):.1f}  ratio {supervised_ms / bare_ms:.1f}"
        "  (budget 45 ms on a free machine)"
    )
    print(f"exit of the command to its last word     median {end_ms:6.1f} ms  (budget 150 ms)")


def show_memory(home: str) -> None:
    bare = subprocess.Popen([*BARE, "import time; print(flush=True); time.sleep(600)"], stdout=-1)
    assert bare.stdout is not None
    bare.stdout.readline()
    folder = made(home, "memory", ["sleep", "600"])
    keeper = supervise(folder)
    supervisor = int(str(wait_event(folder, "supervised")["pid"]))
    wait_event(folder, "started")
    control.ask(RunFolder(str(folder)), {"op": "status"}, timeout_s=10)
    rows = (("bare", bare.pid), ("keeper", keeper.pid), ("supervisor", supervisor))
    for name, pid in rows:
        rss_mb, pss_mb = memory_mb(pid)
        print(f"memory, {name:<12} resident {rss_mb:5.1f} MB   proportional {pss_mb:5.1f} MB")
    before = cpu_s(supervisor), switches(supervisor)
    time.sleep(IDLE_S)  # what is measured is a length of time
    busy = 100 * (cpu_s(supervisor) - before[0]) / IDLE_S
    woken = (switches(supervisor) - before[1]) / IDLE_S
    print(f"idle: {busy:.2f} % of a core, woken {woken:.1f} times a second")
    control.ask(RunFolder(str(folder)), {"op": "stop", "force": True}, timeout_s=10)
    keeper.wait()
    bare.kill()
    bare.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    # A run compiles nothing: a kit is compiled when it is made.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as home:
        start_ms(home, -1)
        show_start(home, rounds)
        show_memory(home)


if __name__ == "__main__":
    main()
