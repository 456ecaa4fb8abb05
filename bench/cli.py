"""What a command line costs: `python bench/cli.py [--runs N] [--rounds N]`.

`--version`, `--help` and `ls` of N runs beside their floor of the same round, a bare interpreter
that does nothing; `run -- true` beside the command alone. Medians, in a workspace of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from outlast.sdk.start import stop
from outlast.sdk.submit import submit
from outlast.sdk.workspace import Workspace

BARE = [sys.executable, "-c", "pass"]
OUTLAST = [sys.executable, "-m", "outlast"]


def took_ms(command: Sequence[str], environ: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(
        command, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return (time.perf_counter() - begin) * 1000


def measure(name: str, command: Sequence[str], rounds: int, environ: dict[str, str]) -> None:
    """Command and floor in turns, so that a busy moment falls on both."""
    pairs = [(took_ms(BARE, environ), took_ms(command, environ)) for _ in range(rounds)]
    floor, cost = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<24}{cost:>8.1f} ms   bare interpreter {floor:>6.1f} ms   x {cost / floor:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["OUTLAST_PORT"] = "0"
        environ = {**os.environ, "OUTLAST_HOME": str(home)}
        # As a user has it: the compiled modules are kept.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        with Workspace(home) as workspace:
            handles = [
                submit(["true"], in_place=True, folder=folder, workspace=workspace)
                for _ in range(options.runs)
            ]
            for handle in handles:
                handle.wait()
        try:
            took_ms([*OUTLAST, "ls"], environ)  # compiles what isn't compiled yet
            measure("--version", [*OUTLAST, "--version"], options.rounds, environ)
            measure("--help", [*OUTLAST, "--help"], options.rounds, environ)
            many = str(options.runs)
            measure(f"ls -n {many}", [*OUTLAST, "ls", "-n", many], options.rounds, environ)
            listing = [*OUTLAST, "ls", "--json", "-n", many]
            measure(f"ls --json -n {many}", listing, options.rounds, environ)
            measure("run -- true", [*OUTLAST, "run", "--", "true"], options.rounds, environ)
        finally:
            stop(home)


if __name__ == "__main__":
    main()
