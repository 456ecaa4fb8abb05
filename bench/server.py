"""What the server costs over HTTP, beside a floor measured in the same run.

Prints, for each: the figure, the floor or peer, the ratio. Run it alone: `scripts/bench server`.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from outlast.errors import NotFound
from outlast.journal.line import pack
from outlast.run.spec import RunSpec
from outlast.transport.connection import Connection, find

RUNS = 10_000
METRICS = 40
POINTS = 1_000_000
OUTPUT_BYTES = 1 << 30


@contextmanager
def server(home: Path) -> Iterator[Connection]:
    """A server of its own, ready; prints how long that took and what it holds."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "outlast.server", "--home", str(home), "--port", "0"],
        env={k: v for k, v in os.environ.items() if not k.startswith("OUTLAST")},
    )
    try:
        while (found := find(home)) is None or found.pid != process.pid:
            time.sleep(0.002)
        show("server ready", (time.perf_counter() - begin) * 1000, "ms", bare_ms(), "bare python")
        yield Connection(found)
        rss = int(next(line for line in Path(f"/proc/{process.pid}/status").read_text().split("\n")
                       if line.startswith("VmHWM")).split()[1]) / 1024  # fmt: skip
        print(f"server, most memory ever: {rss:.0f} MB")
    finally:
        process.terminate()
        begin = time.perf_counter()
        process.wait()
        print(f"server stopped after {(time.perf_counter() - begin) * 1000:.0f} ms")


def bare_ms() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - begin) * 1000


def show(what: str, figure: float, unit: str, floor: float, floor_name: str) -> None:
    ratio = figure / floor if floor else float("nan")
    print(f"{what}: {figure:,.1f} {unit}   ({floor_name}: {floor:,.1f} {unit}, x{ratio:.2f})")


def median_ms(call: Callable[[], Any], times: int = 30) -> float:
    call()
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)


def make_runs(home: Path) -> None:
    """RUNS finished interactive runs with METRICS values each, as the folders tell them."""
    from outlast.store import schema, summary
    from outlast.store.database import Database

    database = Database.open(f"sqlite:///{home}/outlast.db")
    with database.write() as connection:
        for number in range(RUNS):
            spec = RunSpec(id=f"bench{number:05d}", experiment=f"e{number % 10}")
            known = summary.begun(spec)
            values = {f"m{k}": (number * 7919 + k) % 1000 / 10 for k in range(METRICS)}
            known.metrics = {
                name: {"last": v, "min": v, "max": v, "n": 1, "step": 0}
                for name, v in values.items()
            }
            connection.execute(
                schema.runs.insert().values(
                    key=number + 1, id=spec.id, experiment=spec.experiment, kind="command",
                    status="Completed", stage="", cause="", message="", name="",
                    created_ns=number, queued_ns=number, started_ns=number, ended_ns=number,
                    attempt=1, version=1, writes=1, summary=summary.encode(known), state="{}",
                    spec=json.dumps(spec.to_dict()),
                )
            )  # fmt: skip
            summary.store_values(
                connection, [summary.metric_row(number + 1, name, v) for name, v in values.items()]
            )
    database.close()


def bench_lists(client: Connection) -> None:
    floor = median_ms(lambda: client.get("/api/health"))
    queries: tuple[tuple[str, dict[str, Any]], ...] = (
        ("first page of 50", {}),
        ("sorted by a metric", {"sort": "-metrics.m7"}),
        ("filtered and sorted", {"where": "metrics.m3 < 50", "sort": "-metrics.m7"}),
    )
    for what, query in queries:
        took = median_ms(partial(client.get, "/api/runs", limit=50, **query))
        show(f"{RUNS:,} runs, {what}", took, "ms", floor, "GET /api/health")


def bench_follow(client: Connection) -> None:
    """How late a written line is, and how fast a gigabyte comes."""
    script = (
        "import time\nfor _ in range(200):\n print(time.time_ns(), flush=True); time.sleep(0.01)"
    )
    path = submit(client, [sys.executable, "-c", script])
    late = []
    for piece in client.follow(f"{path}/output"):
        late += [(time.time_ns() - int(line)) / 1e6 for line in piece.data.split()[-1:]]
    print(f"log follow, written line to client: p50 {statistics.median(late):.1f} ms, "
          f"p99 {sorted(late)[int(len(late) * 0.99) - 1]:.1f} ms")  # fmt: skip
    script = f"import os\nfor _ in range({OUTPUT_BYTES >> 20}): os.write(1, b'x' * (1 << 20))"
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True)
    floor = time.perf_counter() - begin
    begin = time.perf_counter()
    path = submit(client, [sys.executable, "-c", script])
    count = sum(len(piece.data) for piece in client.follow(f"{path}/output"))
    took = time.perf_counter() - begin
    if count != OUTPUT_BYTES:
        raise AssertionError(f"{count} bytes came")
    show("1 GB of output, written and followed", took, "s", floor, "written to a file")


def submit(client: Connection, command: list[str]) -> str:
    launch = {"command": command, "environ": dict(os.environ), "folder": "/tmp"}
    return f"/api/runs/{client.post('/api/runs', {'spec': {}, 'launch': launch})['id']}"


def bench_mirror(client: Connection, home: Path) -> None:
    """Metric points of a run elsewhere, over HTTP until the database has them all."""
    spec = RunSpec(id="mirrorbench", kind="interactive", created_ns=time.time_ns())
    folder = home / "making"
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec.to_dict()))
    folder.rename(home / "runs" / spec.id)
    while True:
        try:
            client.get(f"/api/runs/{spec.id}")
            break
        except NotFound:
            time.sleep(0.01)
    t_ns = time.time_ns()
    lines = [
        pack({"k": "m", "n": f"m{n % 4}", "v": n / 7, "s": n // 4, "t": t_ns + n})
        for n in range(POINTS)
    ]
    batches = [b"".join(lines[at : at + 20_000]) for at in range(0, POINTS, 20_000)]
    address = client.address
    raw = http.client.HTTPConnection(address.url.removeprefix("http://"))
    begin, at = time.perf_counter(), 0
    for batch in batches:
        headers = {
            "Authorization": f"Bearer {address.token}",
            "Content-Type": "application/octet-stream",
            "Outlast-Crc32": f"{zlib.crc32(batch):08x}",
        }
        raw.request("PUT", f"/api/runs/{spec.id}/journals/logged.a?at={at}", batch, headers)
        answer = raw.getresponse()
        at = json.loads(answer.read())["next"]
    sent = time.perf_counter() - begin
    while True:
        series = client.get(f"/api/runs/{spec.id}/metrics")["series"]
        if sum(one["n"] for one in series) == POINTS:
            break
        time.sleep(0.02)
    took = time.perf_counter() - begin
    show("points over HTTP, stored", POINTS / took, "/s", POINTS / sent, "taken and synced")
    floor = median_ms(lambda: client.get("/api/health"))
    path = f"/api/runs/{spec.id}/series"
    view = median_ms(lambda: client.get(path, name="m0"), 10)
    show(f"a series of {POINTS // 4:,} points as 2,000", view, "ms", floor, "GET /api/health")
    whole = median_ms(lambda: list(client.download(f"{path}?name=m0&points=all&format=binary")), 5)
    show(f"all {POINTS // 4:,} of them, binary", whole, "ms", floor, "GET /api/health")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_runs(home)
        with server(home) as client:
            bench_lists(client)
            bench_mirror(client, home)
            bench_follow(client)


if __name__ == "__main__":
    main()
