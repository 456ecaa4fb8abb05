"""What storing metric points costs, beside plain rows in sqlite3 in the same run.

    python bench/metrics.py [--points 1000000] [--delete-points 6500000]

The floor, for both databases, is a table of (run, series, step, time, value) in SQLite that is
written with `executemany` in equal batches, synced as often, and read with one SELECT. PostgreSQL
is measured when its programs are installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import postgres

from outlast.store import chunks, pyramid, series
from outlast.store.database import Database
from outlast.store.series import Batch

BATCH_POINTS = 5000
SERIES = 10
T0_NS = 1_700_000_000_000_000_000
ROUNDS = 7


def batches(points: int, count: int) -> Iterator[Batch]:
    """`count` noisy losses that fall, logged in turn about every 10 ms."""
    random = np.random.default_rng(0)
    names = [f"loss {number}" for number in range(count)]
    size = BATCH_POINTS // count
    for start in range(0, points // count, size):
        steps = np.repeat(np.arange(start, start + size), count)
        times = T0_NS + steps * 10_000_000 + random.integers(0, 1_000_000, len(steps))
        values = 2 * np.exp(-steps / 30_000) + random.normal(0.1, 0.05, len(steps))
        of_series = np.tile(np.arange(count), size)
        yield Batch(names, of_series, steps, times, values)


def report(what: str, ours: float, floor: float, unit: str, *, budget: str) -> None:
    ratio = ours / floor
    print(
        f"{what:<46} {ours:>12,.1f} {floor:>12,.1f} {unit:<9} {ratio:>7.3f}x   {budget}", flush=True
    )


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_ms(work: Callable[[], Any]) -> float:
    return statistics.median(seconds(work) for _ in range(ROUNDS)) * 1000


# --- the floor ---


class Floor(NamedTuple):
    append_k: float  # thousands of points a second
    size: float  # bytes a point
    read_ms: float  # one series, whole
    delete_ms: float


def plain_rows(path: Path, points: int, delete_points: int) -> Floor:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE point (run INTEGER, series INTEGER, step INTEGER, t_ns INTEGER, v REAL)"
    )
    database.execute("CREATE INDEX of_series ON point (run, series, step)")

    def append(run: int, every: list[Batch]) -> None:
        for batch in every:
            columns = (batch.series, batch.steps, batch.times_ns, batch.values)
            rows = zip([run] * len(batch.steps), *(c.tolist() for c in columns), strict=True)
            with database:
                database.executemany("INSERT INTO point VALUES (?, ?, ?, ?, ?)", rows)

    def read() -> None:
        query = "SELECT step, t_ns, v FROM point WHERE run = 2 AND series = 0 ORDER BY step"
        database.execute(query).fetchall()

    def delete() -> None:
        with database:
            database.execute("DELETE FROM point WHERE run = 3")

    every = list(batches(points, SERIES))
    append_s = seconds(lambda: append(1, every))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = path.stat().st_size / points
    append(2, list(batches(points, 1)))
    append(3, list(batches(delete_points, SERIES)))
    floor = Floor(points / append_s / 1000, size, median_ms(read), seconds(delete) * 1000)
    database.close()
    return floor


# --- ours ---


def store(database: Database, run: int, every: list[Batch]) -> float:
    """Seconds for all batches, a transaction each, and the seal."""

    def work() -> None:
        for batch in every:
            with database.write() as connection:
                series.append(connection, run, batch)
        with database.write() as connection:
            series.seal(connection, run)

    return seconds(work)


def data_bytes(database: Database, run: int) -> int:
    query = (
        "SELECT sum(length(data)) FROM chunk WHERE series IN (SELECT id FROM series WHERE run = :r)"
    )
    with database.read() as connection:
        return int(connection.execute(sa.text(query), {"r": run}).scalar_one())


def bytes_read(work: Callable[[], Any]) -> int:
    """Of blobs, by one view."""
    total = 0
    plain = chunks.decode

    def counted(data: bytes) -> chunks.Points:
        nonlocal total
        total += len(data)
        return plain(data)

    for module in (pyramid, series):
        module.decode = counted  # type: ignore[attr-defined]
    try:
        work()
    finally:
        for module in (pyramid, series):
            module.decode = plain  # type: ignore[attr-defined]
    return total


def bench_views(database: Database, floor: Floor, points: int, name: str) -> None:
    store(database, 2, list(batches(points, 1)))
    with database.read() as connection:

        def view() -> chunks.Points:
            return series.view(connection, 2, "loss 0")

        def part() -> chunks.Points:
            return series.view(connection, 2, "loss 0", 2000, points // 4, points // 2)

        def read() -> chunks.Points:
            return series.read(connection, 2, "loss 0")

        for what, work, budget in (
            (f"{name}: one series of {points:,}, 2,000 drawn", view, "<= 30"),
            ("  half of it, 2,000 drawn", part, "<= 30"),
            ("  all of it, read", read, ""),
            ("  all of it, read and packed", lambda: chunks.to_binary(*read()), "<= 400"),
        ):
            report(what, median_ms(work), floor.read_ms, "ms", budget=budget)
        share = bytes_read(view) / data_bytes(database, 2)
        print(f"    a view reads {100 * share:.2f} % of the series' bytes (< 2)")


def memory_kib(field: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field))


def delete_alone(url: str, run: int, results: Any) -> None:
    """In a process of its own, whose memory then says what the deletion took."""
    database = Database.open(url)
    with database.read() as connection:
        series.summaries(connection, [run])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: VmHWM is VmRSS now
    before_kib = memory_kib("VmRSS")
    took_s = seconds(lambda: database.transact(lambda connection: series.delete(connection, run)))
    after_kib = memory_kib("VmHWM")
    results.put((took_s, (after_kib - before_kib) / 1024))


def bench_delete(url: str, floor: Floor, points: int, name: str) -> None:
    database = Database.open(url)
    store(database, 3, list(batches(points, SERIES)))
    database.close()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=delete_alone, args=(url, 3, results))
    process.start()
    took_s, grown_mib = results.get(timeout=120)
    process.join()
    what = f"{name}: delete a run of {points:,}"
    report(what, took_s * 1000, floor.delete_ms, "ms", budget="<= 1000")
    print(f"    memory grew by {grown_mib:.1f} MiB (<= 50)")


def bench(url: str, name: str, floor: Floor, points: int, delete_points: int, goal: int) -> None:
    database = Database.open(url)
    ours_s = store(database, 1, list(batches(points, SERIES)))
    what = f"{name}: append {points:,}, {SERIES} series"
    report(what, points / ours_s / 1000, floor.append_k, "k/s", budget=f">= {goal}")
    size = data_bytes(database, 1) / points
    report("  bytes a point, sealed, with the pyramid", size, floor.size, "bytes", budget="<= 10")
    bench_views(database, floor, points, name)
    database.close()
    bench_delete(url, floor, delete_points, name)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--points", type=int, default=1_000_000)
    asked.add_argument("--delete-points", type=int, default=6_500_000)
    options = asked.parse_args()
    counts = (options.points, options.delete_points)
    print(f"{'':<46} {'Outlast':>12} {'plain rows':>12} {'':<9} {'ratio':>8}   budget")
    with tempfile.TemporaryDirectory() as folder:
        floor = plain_rows(Path(folder) / "rows.db", *counts)
        bench(f"sqlite:///{folder}/outlast.db", "sqlite", floor, *counts, goal=600)
    if postgres.programs() is None:
        print(f"postgresql: skipped. {postgres.ABSENT}")
        return
    cluster = postgres.Cluster(is_durable=True)
    try:
        cluster.start()
        bench(cluster.create_database("metrics"), "postgresql", floor, *counts, goal=150)
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
