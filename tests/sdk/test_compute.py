"""Compute targets through the public doors: pools that runs wait for, ranks, instances."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

import outlast
from outlast.errors import Conflict, Invalid, NotFound
from outlast.sdk import compute, sessions
from outlast.sdk.handle import RunHandle
from outlast.sdk.submit import submit
from tests.sdk.place import Place

WAIT_S = 30.0


def hold(place: Place, gate: Path, target: str, **more: Any) -> RunHandle:
    """A run that is on the target until `gate` is there."""
    script = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    return submit(
        [sys.executable, "-c", script], in_place=True, target=target, workspace=place.workspace,
        **more,
    )  # fmt: skip


def until_running(run: RunHandle) -> None:
    until_s = time.monotonic() + WAIT_S
    for state in run.states():
        if state["status"] == "Running":
            return
        assert not run.is_over, state
        assert time.monotonic() < until_s, state


def headline(run: RunHandle) -> str:
    return str(run.why()["headline"])


def test_two_runs_on_a_pool_of_one_node_are_one_after_the_other(
    place: Place, tmp_path: Path
) -> None:
    pool = compute.create("one-node", workspace=place.workspace)
    first, second = (hold(place, tmp_path / name, "one-node") for name in ("a", "b"))
    until_running(first)
    assert "a node of one-node (1 of 1 busy)" in headline(second)
    assert pool.refresh().row["runs"] == [first.id]
    assert pool.row["waiting"] == [second.id]
    (tmp_path / "a").touch()
    first.wait()
    until_running(second)
    (tmp_path / "b").touch()
    second.wait()
    assert second.fetch()["started_ns"] >= first.fetch()["ended_ns"]


def test_a_target_with_runs_isnt_deleted(place: Place, tmp_path: Path) -> None:
    pool = compute.create("needed", workspace=place.workspace)
    run = hold(place, tmp_path / "gate", "needed")
    with pytest.raises(Conflict, match=run.id):
        pool.delete()
    (tmp_path / "gate").touch()
    run.wait()
    pool.delete()
    with pytest.raises(NotFound, match="needed"):
        compute.get("needed", workspace=place.workspace)


def test_a_stopped_target_lets_nothing_on_until_it_is_started(place: Place, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    pool = compute.create("rests", workspace=place.workspace).stop()
    run = hold(place, tmp_path / "gate", "rests")
    assert "rests is stopped" in headline(run)
    pool.start()
    run.wait()


def test_what_is_wrong_is_said_before_anything_is_made(place: Place) -> None:
    make = {"workspace": place.workspace}
    with pytest.raises(Invalid, match="STANDARD_D2_V2"):
        compute.create("x", size="STANDARD_D2_V22", **make)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="local is taken"):
        compute.create("local", **make)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="max_nodes"):
        compute.create("x", nodes=0, **make)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no compute target 'nowhere'"):
        submit(["true"], in_place=True, target="nowhere", workspace=place.workspace)
    compute.create("twice", nodes=2, **make)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="already"):
        compute.create("twice", **make)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="at most 2"):
        submit(
            ["true"], in_place=True, target="twice", distributed={"nodes": 3},
            workspace=place.workspace,
        )  # fmt: skip
    with pytest.raises(Invalid, match="leave resources out"):
        submit(
            ["true"], in_place=True, target="twice", resources={"cpus": 0.1},
            workspace=place.workspace,
        )  # fmt: skip


def test_a_target_keeps_its_nodes_over_a_restart_of_the_server(
    own_place: Place, tmp_path: Path
) -> None:
    compute.create("kept", workspace=own_place.workspace)
    first = hold(own_place, tmp_path / "a", "kept")
    until_running(first)
    own_place.kill_server()
    own_place.start_server()
    second = hold(own_place, tmp_path / "a", "kept")
    assert "1 of 1 busy" in headline(second)
    (tmp_path / "a").touch()
    second.wait()


def test_why_names_the_rank_that_failed_and_its_exit_code(place: Place) -> None:
    script = "import os, sys, time\nsys.exit(5) if os.environ['RANK'] == '1' else time.sleep(600)"
    run = submit(
        [sys.executable, "-c", script], in_place=True, workspace=place.workspace,
        distributed={"nodes": 2, "processes_per_node": 1}, resources={"cpus": 0},
    )  # fmt: skip
    run.wait(raise_on_error=False)
    assert "Rank 1 of 2 ended with exit code 5; the others were ended because" in headline(run)


def test_the_traceback_of_the_failing_rank_is_the_answer(place: Place) -> None:
    script = (
        "import os, time\n"
        "if os.environ['RANK'] == '0': raise ValueError('no data')\n"
        "time.sleep(600)"
    )
    run = submit(
        [sys.executable, "-c", script], in_place=True, workspace=place.workspace,
        distributed={"processes_per_node": 2}, resources={"cpus": 0},
    )  # fmt: skip
    run.wait(raise_on_error=False)
    why = run.why()
    assert "ValueError: no data" in why["headline"]
    assert "rank_failed" in [finding["rule"] for finding in why["findings"]]


def test_a_terminal_is_opened_on_an_instance_and_not_on_a_pool(place: Place) -> None:
    compute.create("desk", kind="instance", workspace=place.workspace)
    compute.create("pool", workspace=place.workspace)
    row = sessions.open_session(["cat"], compute="desk", workspace=place.workspace)
    found = place.workspace.run(row["id"]).fetch()
    assert found["spec"]["target"] == "desk"
    with pytest.raises(Invalid, match="opened on an instance"):
        sessions.open_session(["cat"], compute="pool", workspace=place.workspace)
    compute.get("desk", workspace=place.workspace).stop()
    with pytest.raises(Conflict, match="is stopped"):
        sessions.open_session(["cat"], compute="desk", workspace=place.workspace)
    session = place.workspace.run(row["id"])
    session.cancel(force=True)
    session.wait(raise_on_error=False)


def test_the_public_name_is_there_and_lists_sizes(place: Place) -> None:
    assert outlast.compute is compute
    found = {size["name"]: size for size in compute.sizes(workspace=place.workspace)}
    assert found["STANDARD_D2_V2"]["cpus"] == 2


def test_a_run_tried_again_has_the_shares_that_its_target_has_by_then(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    pool = compute.create("shares", workspace=place.workspace)
    first = hold(place, tmp_path / "gate", "shares")
    first.wait()
    pool.change(nodes=2)
    second = first.retry()
    second.wait()
    cpus = [run.fetch()["spec"]["resources"]["cpus"] for run in (first, second)]
    assert cpus[0] == 2 * cpus[1]
