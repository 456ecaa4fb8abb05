"""Stopped processes, jumping clocks, storms and floods: nobody is lost, and all of it is kept."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from outlast.journal.cursor import Cursor
from outlast.process import with_environ
from outlast.run.folder import RunFolder
from outlast.transport.address import find
from tests.scenario.conftest import IS_FULL, Place
from tests.store.test_migrations import make_0001

pytestmark = pytest.mark.slow

STOPPED_S = 10.0 if IS_FULL else 3.0
MANY = 200 if IS_FULL else 60


def decided(place: Place, run_id: str) -> list[str]:
    """The kinds of the server's decisions on the run."""
    with Cursor(RunFolder(str(place.folder(run_id))).file("decisions")) as cursor:
        return [record["k"] for record in cursor.read_records(1 << 20).records]


def lasts(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Does the process live on for so long?"""
    pidfd = os.pidfd_open(process.pid)
    try:
        return not select.select([pidfd], [], [], seconds)[0]
    finally:
        os.close(pidfd)


# --- stopped processes ---


def test_a_stopped_server_loses_nobody_and_its_clients_go_on(place: Place) -> None:
    script = (
        f"for i in $(seq {int(STOPPED_S * 4)}); do echo $i; sleep 0.25; done; sleep 1; echo end"
    )
    run = place.run(place.outlast("run", "-d", "--", "sh", "-c", script).strip())
    place.wait_for(run, lambda state: state["status"] == "Running")
    server = find(place.home)
    assert server is not None
    # Unbuffered: `communicate` doesn't return what a buffer took in with the first line.
    with place.popen("logs", "-f", run.id, stdout=subprocess.PIPE, bufsize=0) as client:
        assert client.stdout is not None
        first = client.stdout.readline()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert lasts(client, STOPPED_S)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        rest, _ = client.communicate(timeout=60)
    assert client.returncode == 0
    assert (first + rest).decode().split() == [*map(str, range(1, int(STOPPED_S * 4) + 1)), "end"]
    assert run.wait() == "Completed"
    assert not {"silent", "lost"} & set(decided(place, run.id))


# The server with a shorter patience than half a minute; everything else is as it is.
IMPATIENT = """
import sys
from outlast.scheduler import lease
lease.SILENT_S, lease.TICK_S = 7.0, 0.5
lease.AwakeClock.__init__.__kwdefaults__["tick_s"] = lease.TICK_S
from outlast.server.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def impatient(place: Place) -> Iterator[Place]:
    place.stop_server()
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "--home", str(place.home), "--port", "0"],
        env={**place.environ, "OUTLAST_DETACHED": "1"}, start_new_session=True,
    ) as server:  # fmt: skip
        while find(place.home) is None:
            assert lasts(server, 0.02), "it didn't start"
        yield place
        place.stop_server()
    place.start_server()


def test_a_stopped_supervisor_is_not_responding_until_it_goes_on(impatient: Place) -> None:
    place = impatient
    run = place.run(place.outlast("run", "-d", "--", "sleep", "600").strip())
    place.wait_for(run, lambda state: state["status"] == "Running")
    halves = place.supervisors(run.id)
    for pid in halves:
        os.kill(pid, signal.SIGSTOP)
    try:
        place.wait_for(run, lambda state: state["status"] == "NotResponding")
        text = place.outlast("why", run.id)
        assert "heartbeat" in text or "not respond" in text.lower(), text
    finally:
        for pid in halves:
            os.kill(pid, signal.SIGCONT)
    place.wait_for(run, lambda state: state["status"] == "Running")
    place.outlast("cancel", run.id)
    assert run.wait(raise_on_error=False) == "Canceled"


# --- clocks ---


@pytest.fixture
def clock(place: Place, tmp_path: Path) -> Callable[[str], None]:
    """Sets the wall clock of the server, and of what is started with the place's environment."""
    libfaketime = pytest.importorskip("libfaketime", reason="injector absent: no libfaketime")
    libraries = sorted(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    if not libraries:
        pytest.skip("injector absent: no libfaketime.so.1")
    file = tmp_path / "clock"
    file.write_text("+0\n")
    place.stop_server()
    place.environ.update(
        LD_PRELOAD=str(libraries[0]), FAKETIME_TIMESTAMP_FILE=str(file), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_RESET="1",
    )  # fmt: skip
    with place.popen("up", "-d", "--port", "0", stdout=subprocess.DEVNULL) as up:
        assert up.wait(60) == 0
    server = find(place.home)
    assert server is not None
    assert str(libraries[0]) in Path(f"/proc/{server.pid}/maps").read_text()

    def jump(to: str) -> None:
        making = file.with_suffix(".making")
        making.write_text(f"{to}\n")
        making.rename(file)

    return jump


LOGGING = """
import sys, outlast
run = outlast.start_logging(name="clocks")
print(run.id, flush=True)
for line in sys.stdin:
    run.log("loss", float(line))
    print(line, end="", flush=True)
run.complete()
"""


def test_a_clock_that_jumps_loses_nobody(place: Place, clock: Callable[[str], None]) -> None:
    command = place.run(
        place.outlast("run", "-d", "--max-time", "1h", "--", "sleep", "600").strip()
    )
    script = subprocess.Popen(
        [sys.executable, "-c", LOGGING], env=place.environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert script.stdin is not None
    assert script.stdout is not None
    interactive = place.run(script.stdout.readline().strip())
    place.wait_for(command, lambda state: state["status"] == "Running")
    values: list[float] = []
    for jump in ("+1d", "-1h", "+30d", "+0"):
        clock(jump)
        # Longer than a heartbeat, and than the server needs to look at it.
        assert not select.select([script.stdout], [], [], 6.0 if IS_FULL else 1.5)[0]
        script.stdin.write(f"{len(values)}\n")
        script.stdin.flush()
        assert script.stdout.readline()
        values.append(float(len(values)))
        assert [command.status, interactive.status] == ["Running", "Running"]
    assert script.communicate(timeout=30)[0] == ""
    assert interactive.wait() == "Completed"
    assert interactive.metrics("loss")["values"] == values
    done = place.run(place.outlast("run", "-d", "--", "true").strip())
    assert done.wait() == "Completed"
    for run in (command, interactive):
        assert not {"silent", "lost"} & set(decided(place, run.id))
    place.outlast("cancel", command.id)
    assert command.wait(raise_on_error=False) == "Canceled"


# --- many of everything ---

THREADS = """
import threading
from outlast.runtime import get_context
run = get_context()
def log(thread):
    for step in range(10_000):
        run.log(f"thread-{thread}", step * thread, step=step)
        run.log("shared", thread)
threads = [threading.Thread(target=log, args=(thread,)) for thread in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_ten_thousand_metrics_in_a_tight_loop_from_each_of_eight_threads(place: Place) -> None:
    run = place.run(place.outlast("run", "-d", "--", sys.executable, "-c", THREADS).strip())
    assert run.wait() == "Completed"
    for thread in range(8):
        series = run.metrics(f"thread-{thread}")
        assert series["steps"] == list(range(10_000))
        assert series["values"] == [step * thread for step in range(10_000)]
    shared = run.metrics("shared")
    assert sorted(shared["steps"]) == list(range(80_000))
    assert [shared["values"].count(thread) for thread in range(8)] == [10_000] * 8


@pytest.mark.timeout(300)
def test_hundreds_of_runs_at_once(place: Place) -> None:
    begun_s = time.monotonic()
    submitting = (
        "import sys, outlast\n"
        f"runs = [outlast.submit(['echo', str(n)], in_place=True, resources={{'cpus': 0}})"
        f" for n in range({MANY})]\n"
        "for run in runs: run.wait()\n"
        "print(*(run.id for run in runs))"
    )
    done = subprocess.run(
        [sys.executable, "-c", submitting],
        env=place.environ, stdout=subprocess.PIPE, text=True, check=True, timeout=250,
    )  # fmt: skip
    ids = done.stdout.split()
    print(f"\n{len(ids)} runs in {time.monotonic() - begun_s:.1f} s")
    assert len(set(ids)) == MANY
    for number, run_id in enumerate(ids):
        assert (place.folder(run_id) / "output").read_text() == f"{number}\n"
    listed = json.loads(place.outlast("ls", "--json", "--limit", str(MANY + 1)))
    rows = listed["runs"] if isinstance(listed, dict) else listed
    assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(ids, "Completed")


# Each process starts three others, in sessions of their own, five times: 364 of them in the end.
BOMB = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
depth = 0
while depth < 5 and not all([os.fork(), os.fork()]):
    os.setsid()
    depth += 1
if depth == 0: print("spread", flush=True)
time.sleep(600)
"""


def test_a_storm_of_forks_is_canceled_to_the_last_process(place: Place) -> None:
    run = place.run(
        place.outlast("run", "-d", "--grace", "1s", "--", sys.executable, "-c", BOMB).strip()
    )
    assert next(run.follow_output()).data.startswith(b"spread")
    place.outlast("cancel", run.id)
    assert run.wait(raise_on_error=False) == "Canceled"
    assert with_environ(f"OUTLAST_RUN={place.folder(run.id)}".encode()) == []


# --- starting ---


def test_of_servers_that_start_together_one_stays(place: Place) -> None:
    place.stop_server()
    starting = [place.popen("up", "-d", stdout=subprocess.PIPE) for _ in range(4)]
    for client in starting:
        client.communicate(timeout=60)
    assert [client.returncode for client in starting] == [0] * 4
    server = find(place.home)
    assert server is not None
    needle = f"--home\0{place.home}\0".encode()
    serving = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and needle in _bytes(entry / "cmdline")
    ]
    assert serving == [server.pid]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("index", ["removed", "of the schema before"])
def test_runs_are_there_after_the_index_was_changed(
    place: Place, workspace_database: str, index: str
) -> None:
    """The folders are the truth: an index that is gone, or old, is made anew from them."""
    script = "from outlast.runtime import get_context as c\nfor n in range(5): c().log('loss', n)"
    run = place.run(place.outlast("run", "-d", "--", sys.executable, "-c", script).strip())
    assert run.wait() == "Completed"
    going = place.run(place.outlast("run", "-d", "--", "sleep", "600").strip())
    place.wait_for(going, lambda state: state["status"] == "Running")
    before = run.fetch()
    place.stop_server()
    remove_index(place, workspace_database)
    if index != "removed":
        make_0001(workspace_database or f"sqlite:///{place.home / 'outlast.db'}")
    place.start_server()
    expected = {run.id, going.id} | (set() if index == "removed" else {"short", "long"})
    deadline = time.monotonic() + 30
    while missing := expected - set(place.outlast("ls", "-q", "--limit", "100").split()):
        # The server answers while it reads what it doesn't know.
        assert time.monotonic() < deadline, missing
    after = run.fetch()
    same = ("status", "metrics", "started_ns", "ended_ns", "exit_code", "spec", "state")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert run.metrics("loss")["values"] == [0, 1, 2, 3, 4]
    assert going.status == "Running"
    going.cancel()
    assert going.wait(raise_on_error=False) == "Canceled"
    if not workspace_database:
        index_file = sqlite3.connect(place.home / "outlast.db")
        assert index_file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def remove_index(place: Place, database_url: str) -> None:
    if database_url:
        engine, tables = sa.create_engine(database_url), sa.MetaData()
        tables.reflect(engine)
        tables.drop_all(engine)
        engine.dispose()
    for path in place.home.glob("outlast.db*"):
        path.unlink()
