"""What a journal costs: `python bench/journal.py [--appends N]`.

Append of a metric-size record beside its floor of the same run, a raw `os.write` of the same record
as plain JSON (no checksum, no lock, no offset); then how fast `split` checks lines.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from outlast.journal.line import pack, parse, split
from outlast.journal.writer import Writer

ROUNDS = 5


def record(n: int) -> dict[str, object]:
    return {
        "k": "m",
        "n": "train/loss",
        "v": 1.0 / (n + 1),
        "s": n,
        "t": 1_700_000_000_000_000_000 + n,
    }


def timed_us(appends: int, call: Callable[[dict[str, object]], object]) -> list[float]:
    """How long each call took, in microseconds."""
    took: list[float] = []
    clock = time.perf_counter_ns
    for n in range(appends):
        made = record(n)
        before = clock()
        call(made)
        took.append((clock() - before) / 1000)
    return took


def show(name: str, took_us: list[float]) -> float:
    cuts = statistics.quantiles(took_us, n=1000)
    print(
        f"{name:<34} median {cuts[499]:6.2f} us   p90 {cuts[899]:6.2f}   p99 {cuts[989]:6.2f}"
        f"   p99.9 {cuts[998]:7.2f}   max {max(took_us):8.1f}"
    )
    return cuts[499]


def lines_per_second(chunk: bytes, lines: int) -> float:
    best_s = min(_split_s(chunk) for _ in range(ROUNDS))
    return lines / best_s


def _split_s(chunk: bytes) -> float:
    before = time.perf_counter()
    split(chunk)
    return time.perf_counter() - before


def main() -> None:
    options = argparse.ArgumentParser(description="What a journal costs.")
    options.add_argument("--appends", type=int, default=100_000)
    appends: int = options.parse_args().appends
    with tempfile.TemporaryDirectory() as folder:
        raw = os.open(Path(folder) / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        encode = json.JSONEncoder(separators=(",", ":")).encode
        with Writer(str(Path(folder) / "events")) as writer:
            # In turns, so that a neighbour's load falls on both alike.
            floor_us: list[float] = []
            append_us: list[float] = []
            for _ in range(ROUNDS):
                floor_us += timed_us(
                    appends // ROUNDS, lambda made: os.write(raw, encode(made).encode() + b"\n")
                )
                append_us += timed_us(appends // ROUNDS, writer.append)
        os.close(raw)
    floor = show("floor: os.write of plain JSON", floor_us)
    append = show("Writer.append(record)", append_us)
    print(f"ratio {append / floor:.2f}\n")

    lines = [pack(record(n)) for n in range(10_000)]
    chunk = b"".join(lines)
    rate = lines_per_second(chunk, len(lines))
    plain_s = min(_plain_split_s(chunk) for _ in range(ROUNDS))
    mb_per_second = rate * len(chunk) / len(lines) / 1e6
    print(f"split(): {rate / 1e6:.2f} M lines/s checked, {mb_per_second:.0f} MB/s")
    print(f"floor: bytes.split, unchecked: {len(lines) / plain_s / 1e6:.2f} M lines/s")
    print(f"ratio {len(lines) / plain_s / rate:.1f}\n")

    bodies = split(chunk).bodies
    before = time.perf_counter()
    for body in bodies:
        parse(body)
    print(f"parse(): {len(bodies) / (time.perf_counter() - before) / 1e6:.2f} M records/s")


def _plain_split_s(chunk: bytes) -> float:
    before = time.perf_counter()
    chunk.split(b"\n")
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
