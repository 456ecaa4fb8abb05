"""What the index costs: reading journals into it, listing runs, deleting one.

    python bench/store.py [--points 1000000] [--runs 10000] [--delete-points 6500000]

Each figure stands beside a floor of the same run: the same statement in plain sqlite3, or the same
points inserted as bare rows. PostgreSQL is measured when its programs are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import postgres
from tests.store.folders import T_NS, Written

from outlast.journal.line import pack_json
from outlast.run.folder import RunFolder
from outlast.store import pages, runs, summary
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from outlast.store.pages import Query

VALUES = 40  # metrics, tags and parameters of a run
WRITERS = 4


def report(what: str, figure: str, floor: str = "", ratio: float | None = None) -> None:
    shown = f"  {ratio:6.2f}x" if ratio is not None else ""
    print(f"{what:<58} {figure:>20}   {floor:<36}{shown}", flush=True)


def timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# --- ingestion ---


def lines(points: int, writer: int) -> Iterator[bytes]:
    """Points as a training script writes them: ten series, in turn."""
    chance = random.Random(writer)
    for start in range(0, points, 10_000):
        yield b"".join(
            pack_json(
                f'{{"k":"m","n":"m{writer}/{at % 10}","v":{chance.gauss(0, 1)!r},'
                f'"s":{at // 10},"t":{T_NS + at * 1_000_000}}}'.encode()
            )
            for at in range(start, min(start + 10_000, points))
        )


def write_run(home: Path, run_id: str, points: int) -> RunFolder:
    written = Written(home, run_id)
    written.start()
    for writer in range(WRITERS):
        for piece in lines(points // WRITERS, writer):
            written.write(f"logged.{writer}", piece)
    return written.folder


def drain(ingest: Ingest, folder: RunFolder) -> None:
    while ingest.run(folder).more:
        pass


def bench_ingest(home: Path, url: str, name: str, points: int, floor_s: float) -> None:
    folder = write_run(home / name, "big", points)
    database = Database.open(url)
    cpu_s = time.process_time()
    took_s = timed(lambda: drain(Ingest(database), folder))
    cpu_s = time.process_time() - cpu_s
    floor = f"bare rows, one transaction: {points / floor_s / 1000:,.0f} k/s"
    report(
        f"{name}: points from journals, durable",
        f"{points / took_s / 1000:,.0f} k/s",
        floor,
        floor_s / took_s,
    )
    report(f"{name}: CPU of it", f"{cpu_s / points * 1e6:.2f} us a point")
    with database.read() as connection:
        found = runs.row(connection, "big")["metrics"]
        assert sum(metric["n"] for metric in found.values()) == points // WRITERS * WRITERS
    database.close()


def sqlite_floor(home: Path, points: int) -> float:
    """The same points as bare rows (series, step, t, value) of a table, in one transaction."""
    plain = sqlite3.connect(home / "floor.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("CREATE TABLE points (series INTEGER, step INTEGER, t INTEGER, value REAL)")
    rows = [(at % 40, at // 40, T_NS + at, at * 0.5) for at in range(points)]

    def insert() -> None:
        plain.execute("BEGIN")
        plain.executemany("INSERT INTO points VALUES (?, ?, ?, ?)", rows)
        plain.execute("COMMIT")

    took_s = timed(insert)
    plain.close()
    return took_s


def postgres_floor(url: str, points: int) -> float:
    """The same by COPY, the fastest way into PostgreSQL."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as plain:
        plain.execute("CREATE TABLE points (series int, step int, t bigint, value float8)")

        def insert() -> None:
            copy_in = "COPY points (series, step, t, value) FROM STDIN"
            with plain.cursor() as cursor, cursor.copy(copy_in) as copy:
                for at in range(points):
                    copy.write_row((at % 40, at // 40, T_NS + at, at * 0.5))
            plain.commit()

        return timed(insert)


# --- lists ---


def fill(database: Database, count: int) -> None:
    """Rows of runs as ingestion leaves them, with VALUES values each."""
    chance = random.Random(1)
    statuses = ("Completed", "Failed", "Canceled", "Running")
    columns = (
        "id", "experiment", "kind", "status", "stage", "cause", "message", "name", "parent",
        "created_ns", "queued_ns", "started_ns", "ended_ns", "duration_ns", "attempt", "version",
        "writes", "summary", "state", "spec",
    )  # fmt: skip
    spec = json.dumps({"id": "x", "command": ["python", "train.py"], "parameters": {"lr": 0.1}})
    state = json.dumps({"status": "Completed", "facts": {"a" * 20: "b" * 200}})
    from outlast.store.schema import runs as table
    from outlast.store.statement import execute_many

    marks = ", ".join("?" * len(columns))
    insert = f"INSERT INTO runs ({', '.join(columns)}) VALUES ({marks})"
    with database.write() as connection:
        rows, values = [], []
        for key in range(1, count + 1):
            metrics = {
                f"metric{i}": {
                    "last": chance.random(), "min": 0.0, "max": 1.0, "n": 1000, "step": 999,
                }
                for i in range(VALUES - 10)
            }  # fmt: skip
            known = summary.Summary(
                command="python train.py --lr 0.1", metrics=metrics,
                tags={f"tag{i}": f"value{chance.randrange(20)}" for i in range(5)},
            )  # fmt: skip
            started_ns = T_NS + key * 1_000_000_000
            took_ns = chance.randrange(10**12)
            rows.append(
                (f"run{key:07d}", f"experiment{key % 5}", "command", statuses[key % 4], "", "", "",
                 f"name {key}", None, started_ns, started_ns, started_ns, started_ns + took_ns,
                 took_ns, 1, 5, 9, summary.encode(known), state, spec)
            )  # fmt: skip
            values += [summary.metric_row(key, n, m["last"]) for n, m in metrics.items()]
            values += [summary.value_row(key, f"tags.{n}", v) for n, v in known.tags.items()]
            values += [summary.value_row(key, f"params.p{i}", i * key) for i in range(5)]
        execute_many(connection, insert, rows)
        summary.store_values(connection, values)
        assert connection.execute(table.select().limit(1)).first() is not None
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")


PAGES: dict[str, tuple[Query, str]] = {
    "first page": (Query(), "SELECT * FROM runs ORDER BY created_ns DESC, key DESC LIMIT 51"),
    "first page of an experiment": (
        Query(experiment="experiment3"),
        "SELECT * FROM runs WHERE experiment = 'experiment3'"
        " ORDER BY created_ns DESC, key DESC LIMIT 51",
    ),
    "sorted by a metric": (
        Query(sort="metrics.metric3"),
        "SELECT runs.* FROM run_values v JOIN runs ON runs.key = v.run"
        " WHERE v.name = 'metrics.metric3' AND v.number IS NOT NULL"
        " ORDER BY v.number, v.run LIMIT 51",
    ),
    "filtered by two values and sorted by a third": (
        Query(
            where='metrics.metric1 < 0.5 and tags.tag1 = "value3" and status = Failed',
            sort="-metrics.metric3",
        ),
        "SELECT runs.* FROM run_values v JOIN runs ON runs.key = v.run"
        " WHERE v.name = 'metrics.metric3' AND v.number IS NOT NULL"
        " AND runs.status = 'Failed'"
        " AND runs.key IN (SELECT run FROM run_values WHERE name = 'metrics.metric1'"
        " AND number < 0.5)"
        " AND runs.key IN (SELECT run FROM run_values WHERE name = 'tags.tag1'"
        " AND text = 'value3')"
        " ORDER BY v.number DESC, v.run DESC LIMIT 51",
    ),
    "a filter that nothing fits": (
        Query(where="metrics.metric1 > 5"),
        "SELECT * FROM runs WHERE key IN (SELECT run FROM run_values"
        " WHERE name = 'metrics.metric1' AND number > 5) ORDER BY created_ns DESC LIMIT 51",
    ),
    "contains, on a name": (
        Query(where="name ~ '999'"),
        "SELECT * FROM runs WHERE lower(name) LIKE '%999%' ORDER BY created_ns DESC LIMIT 51",
    ),
    "sorted by duration": (
        Query(sort="-duration"),
        "SELECT * FROM runs WHERE duration_ns IS NOT NULL"
        " ORDER BY duration_ns DESC, key DESC LIMIT 51",
    ),
}


def median_ms(work: Callable[[], Any], times: int = 15) -> float:
    work()
    return statistics.median(timed(work) for _ in range(times)) * 1000


def bench_pages(database: Database, name: str, count: int) -> None:
    fill(database, count)
    plain = sqlite3.connect(database.path) if database.is_sqlite else None
    for what, (query, text) in PAGES.items():

        def page(query: Query = query) -> None:
            with database.read() as connection:
                pages.page(connection, query)

        ours_ms = median_ms(page)
        label = f"{name}: {count:,} runs x {VALUES}: {what}"
        if plain is None:
            report(label, f"{ours_ms:.1f} ms")
            continue
        floor_ms = median_ms(lambda text=text, plain=plain: plain.execute(text).fetchall())  # type: ignore[misc]
        report(label, f"{ours_ms:.1f} ms", f"plain sqlite3: {floor_ms:.1f} ms", ours_ms / floor_ms)
    if plain is not None:
        plain.close()


# --- deletion ---

DELETE = """
import resource, sys, time
from outlast.store import deletion
from outlast.store.database import Database
database = Database.open(sys.argv[1])
with database.read() as connection:
    runs.resolve(connection, "@last")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.perf_counter()
deletion.delete(database, "big")
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def bench_delete(home: Path, url: str, name: str, points: int) -> None:
    written = Written(home / f"{name}-delete", "big")
    written.start()
    database = Database.open(url)
    ingest = Ingest(database)
    step = 1_000_000
    for start in range(0, points, step):
        for piece in lines(min(step, points - start), start // step):
            written.write("logged.1", piece)
        drain(ingest, written.folder)
    written.end()
    drain(ingest, written.folder)
    size_bytes = database.size_bytes()
    database.close()
    ended = subprocess.run(
        [sys.executable, "-c", DELETE, url], capture_output=True, text=True, check=True
    )
    took_s, grown_kib = map(float, ended.stdout.split())
    report(
        f"{name}: delete a run of {points:,} points",
        f"{took_s * 1000:,.0f} ms",
        f"database {size_bytes / 1e6:.0f} MB, memory +{grown_kib / 1024:.0f} MB",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--delete-points", type=int, default=6_500_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        home = Path(folder)
        floor_s = sqlite_floor(home, asked.points)
        bench_ingest(home, f"sqlite:///{home}/a.db", "sqlite", asked.points, floor_s)
        lists = Database.open(f"sqlite:///{home}/b.db")
        bench_pages(lists, "sqlite", asked.runs)
        lists.close()
        bench_delete(home, f"sqlite:///{home}/c.db", "sqlite", asked.delete_points)
        if postgres.programs() is None:
            print(f"postgresql: skipped. {postgres.ABSENT}")
            return
        cluster = postgres.Cluster(is_durable=True)
        try:
            cluster.start()
            floor_s = postgres_floor(cluster.create_database("floor"), asked.points)
            url = cluster.create_database("a")
            bench_ingest(home, url, "postgresql", asked.points, floor_s)
            lists = Database.open(cluster.create_database("b"))
            bench_pages(lists, "postgresql", asked.runs)
            lists.close()
            bench_delete(home, cluster.create_database("c"), "postgresql", asked.delete_points)
        finally:
            cluster.remove()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak_mib:.0f} MB")


if __name__ == "__main__":
    main()
