"""What one `run.log(name, value, step)` costs a script, beside a bare append of the same JSON.

usage: python bench/log.py [CALLS]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from outlast.run.folder import RunFolder
from outlast.runtime.current import Run

WARM_UP = 2_000


def timed(call: Callable[[int], None], calls: int) -> list[int]:
    """Nanoseconds of each call, after a warm-up."""
    for index in range(WARM_UP):
        call(index)
    taken = []
    for index in range(calls):
        begun = time.perf_counter_ns()
        call(index)
        taken.append(time.perf_counter_ns() - begun)
    return taken


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = tempfile.mkdtemp()
    run = Run(RunFolder(folder))
    fd = os.open(os.path.join(folder, "bare"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # noqa: PTH118

    def bare(index: int) -> None:
        record = {"name": "loss", "value": 0.1234567 * index, "step": index, "t": time.time_ns()}
        os.write(fd, json.dumps(record).encode() + b"\n")

    def log(index: int) -> None:
        run.log("loss", 0.1234567 * index, step=index)

    figures = {"bare append": timed(bare, calls), "run.log": timed(log, calls)}
    for name, taken in figures.items():
        median, high = statistics.median(taken), statistics.quantiles(taken, n=1000)[998]
        print(f"{name:<12} median {median / 1e3:5.2f} us   p99.9 {high / 1e3:6.1f} us")
    ratio = statistics.median(figures["run.log"]) / statistics.median(figures["bare append"])
    print(f"ratio {ratio:.2f}   (budget: median <= 5 us)")
    os.close(fd)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
