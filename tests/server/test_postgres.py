"""A server whose PostgreSQL is killed, stopped or cut off in the middle of runs.

Runs go on, nothing is lost or doubled, and who asks meanwhile is told 503 with Retry-After.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.server.running import Answer, Server, running, submit, wait_over

pytestmark = pytest.mark.slow

POINTS = 300
LOGS = (
    "import time, outlast; run = outlast.get_context()\n"
    f"for step in range({POINTS}):\n"
    "    run.log('loss', 1 / (step + 1), step=step); print(step, flush=True); time.sleep(0.01)\n"
)
OUT_OF_ORDER_S = 1.0


@pytest.fixture
def own_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL that the test may kill."""
    if postgres.programs() is None:
        pytest.skip(postgres.ABSENT)
    cluster = postgres.Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.resume()
        cluster.remove()


@pytest.fixture
def served(own_cluster: postgres.Cluster, tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, database_url=own_cluster.create_database("runs")) as server:
        yield server


def check_nothing_lost_or_doubled(server: Server, run_id: str) -> None:
    found = server.ask("GET", f"/api/runs/{run_id}/series?name=loss&points=all").json
    assert found["steps"] == list(range(POINTS))
    assert found["values"] == [1 / (step + 1) for step in range(POINTS)]
    output = server.ask("GET", f"/api/runs/{run_id}/output").body
    assert output.split() == [b"%d" % step for step in range(POINTS)]


def wait_printed(server: Server, run_id: str) -> None:
    """The run has begun to log."""
    answer = server.ask("GET", f"/api/runs/{run_id}/output?wait=20")
    assert answer.body, answer


def check_told(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) >= 1
    assert "traceback" not in answer.body.decode().lower()


def ask_until_served(server: Server, path: str) -> list[Answer]:
    """The answers up to the first 200."""
    answers = []
    until_s = time.monotonic() + 30
    while True:
        answers.append(server.ask("GET", path))
        if answers[-1].status == 200:
            return answers
        assert time.monotonic() < until_s, answers[-1]
        time.sleep(0.1)  # as a client that is told to come back


def test_a_killed_postgresql_stops_no_run_and_loses_nothing(
    served: Server, own_cluster: postgres.Cluster
) -> None:
    run_id = submit(served, sys.executable, "-c", LOGS, wait_s=0)
    wait_printed(served, run_id)
    own_cluster.kill()
    until_s = time.monotonic() + OUT_OF_ORDER_S
    while time.monotonic() < until_s:
        for path in ("/api/runs", f"/api/runs/{run_id}", f"/api/runs/{run_id}/metrics"):
            check_told(served.ask("GET", path))
    body = {"spec": {"id": "notnow0001"}, "launch": {"command": ["true"], "folder": "/tmp"}}
    check_told(served.ask("POST", "/api/runs", body))
    assert served.ask("GET", "/api/health").status == 200
    assert served.ask("GET", f"/api/runs/{run_id}/output").status == 200
    own_cluster.start()
    told = ask_until_served(served, "/api/runs")
    assert {answer.status for answer in told} <= {200, 503}
    assert wait_over(served, run_id) == "Completed"
    check_nothing_lost_or_doubled(served, run_id)
    assert served.ask("GET", "/api/runs/notnow0001").status == 404
    assert served.ask("POST", "/api/runs", body).status == 201


def test_a_run_that_ends_while_postgresql_is_away_is_completed_later(
    served: Server, own_cluster: postgres.Cluster
) -> None:
    run_id = submit(served, sys.executable, "-c", LOGS, wait_s=0)
    wait_printed(served, run_id)
    own_cluster.stop()
    end = served.home / "runs" / run_id / "end.json"
    until_s = time.monotonic() + 30
    while not end.exists():
        assert time.monotonic() < until_s
        time.sleep(0.05)
    own_cluster.start()
    ask_until_served(served, "/api/runs")
    assert wait_over(served, run_id) == "Completed"
    check_nothing_lost_or_doubled(served, run_id)


def test_a_postgresql_that_lets_nobody_in_is_waited_for(
    served: Server, own_cluster: postgres.Cluster
) -> None:
    run_id = submit(served, sys.executable, "-c", LOGS, wait_s=0)
    wait_printed(served, run_id)
    own_cluster.pause(is_whole=False)
    assert served.ask("GET", "/api/runs").status in (200, 503)
    assert served.ask("GET", "/api/health").status == 200
    own_cluster.resume()
    ask_until_served(served, "/api/runs")
    assert wait_over(served, run_id) == "Completed"
    check_nothing_lost_or_doubled(served, run_id)


@pytest.mark.longest
def test_a_stopped_postgresql_holds_up_neither_who_asks_nor_the_servers_end(
    served: Server, own_cluster: postgres.Cluster
) -> None:
    run_id = submit(served, sys.executable, "-c", LOGS, wait_s=0)
    wait_printed(served, run_id)
    own_cluster.pause(is_whole=True)
    begin_s = time.monotonic()
    check_told(served.ask("GET", "/api/runs"))
    assert time.monotonic() - begin_s < 20
    assert served.ask("GET", "/api/health").status == 200
    begin_s = time.monotonic()
    assert served.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begin_s < 20
    own_cluster.resume()
    served.start()
    assert wait_over(served, run_id) == "Completed"
    check_nothing_lost_or_doubled(served, run_id)


def test_connections_that_are_cut_again_and_again_lose_nothing(
    served: Server, own_cluster: postgres.Cluster
) -> None:
    runs = [submit(served, sys.executable, "-c", LOGS, wait_s=0) for _ in range(2)]
    for run_id in runs:
        wait_printed(served, run_id)
    seen = set()
    while not all((served.home / "runs" / run_id / "end.json").exists() for run_id in runs):
        own_cluster.cut_connections()
        seen.add(served.ask("GET", "/api/runs").status)
    assert seen <= {200, 503}
    for run_id in runs:
        ask_until_served(served, f"/api/runs/{run_id}/state")
        assert wait_over(served, run_id) == "Completed"
        check_nothing_lost_or_doubled(served, run_id)
