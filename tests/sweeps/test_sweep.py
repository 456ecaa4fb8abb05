"""Whole sweeps: tried, stopped, canceled, and led on after every kind of kill."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from outlast.errors import Conflict, Invalid, RunFailed
from outlast.run.trials import Told
from outlast.sdk import datastores
from outlast.sdk.live import Live
from outlast.sweeps import asking, choice, uniform
from outlast.sweeps.asking import Sweep
from outlast.sweeps.stopping import bandit
from tests.sdk.place import Place
from tests.sweeps.conftest import Asked, lines

PATIENCE_S = 40.0


def wait_until(sweep: Sweep, what: str, begun: int = 0, over: int = 0) -> Told:
    """Wait until so many trials have begun and are over, told by the notices of its journal."""
    live = Live(sweep.connection)
    live.follow({"run": sweep.id, "journal": "trials", "from": 0})
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        told = sweep.told()
        if len(told.trials) >= begun and len(told.over) >= over:
            live.close()
            return told
        live.receive(5.0)
    pytest.fail(f"{what}: {sweep.told()}")


def wait_for_line(path: Path, text: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while text not in lines(path):
        assert time.monotonic() < deadline_s, f"{path} holds {lines(path)}"
        time.sleep(0.05)


def main_pid(sweep: Sweep) -> int:
    """Of the sweep's program, once it is there."""
    for state in sweep.states():
        if state["main"]:
            return int(state["main"][0])
    raise AssertionError("the sweep was over before its program was seen")


def kill(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], PATIENCE_S)[0]
    os.close(pidfd)


def test_a_grid_is_tried_whole_and_the_best_is_found(asked: Asked, tmp_path: Path) -> None:
    sweep = asked(choice(3, 1, 2), sampling="grid", max_at_once=2, name="grid")
    assert sweep.wait() == "Completed"
    assert [trial.parameters["lr"] for trial in sweep.trials()] == [3, 1, 2]
    assert [trial.status for trial in sweep.trials()] == ["Completed"] * 3
    assert asking.get("@last").id == sweep.id
    best = sweep.best()
    assert best is not None
    assert (best.parameters, best.value) == ({"lr": 1}, 2.0)
    assert sorted(lines(tmp_path / "ends")) == [f"{sweep.id}_{n}" for n in range(3)]
    facts = sweep.fetch()
    assert facts["children"] == [f"{sweep.id}_{n}" for n in range(3)]
    assert facts["metrics"]["best_loss"]["last"] == 2.0
    best_run = sweep.best_run()
    assert best_run is not None
    assert best_run.fetch()["spec"]["parameters"] == {"lr": 1}
    assert "best: loss 2 by trial 1" in "".join(sweep.logs())


def test_no_more_than_asked_for_are_at_work_at_once(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(uniform(0, 1), max_trials=3, max_at_once=2, seed=5)
    for number in range(2):
        wait_for_line(tmp_path / "starts", f"{sweep.id}_{number}")
    assert len(sweep.told().trials) == 2
    (tmp_path / "hold").unlink()
    assert sweep.wait() == "Completed"
    assert len(sweep.trials()) == 3


def test_a_bandit_ends_the_bad_one(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(
        choice(1, 50), sampling="grid", values=4, stopping=bandit(slack_factor=0.5, delay=2)
    )
    told = wait_until(sweep, "the bad one is ended", over=1)
    assert told.trials[1].status == "Canceled"
    assert "bandit: after " in told.trials[1].stop_reason
    (tmp_path / "hold").unlink()
    assert sweep.wait() == "Completed"
    assert sweep.trials()[0].status == "Completed"
    bad = [run for run in sweep.runs()][1].fetch()
    assert bad["cause"] == "canceled"
    assert "bandit" in bad["message"]


def test_who_came_first_is_judged_when_another_has_caught_up(
    asked: Asked, place: Place, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    (tmp_path / "wait1").touch()
    stop = bandit(slack_factor=0.5)
    sweep = asked(choice(1, 50), sampling="grid", values=4, stopping=stop)
    wait_for_line(tmp_path / "starts", f"{sweep.id}_1")
    bad = place.workspace.run(f"{sweep.id}_1")
    deadline_s = time.monotonic() + PATIENCE_S
    while not [one for one in bad.series() if one["n"] == 4]:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    (tmp_path / "wait1").unlink()
    told = wait_until(sweep, "the bad one is ended", over=1)
    assert told.trials[1].status == "Canceled"
    (tmp_path / "hold").unlink()
    assert sweep.wait() == "Completed"


def test_cancel_ends_every_trial(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(uniform(0, 1), max_trials=20, max_at_once=3)
    for number in range(3):
        wait_for_line(tmp_path / "starts", f"{sweep.id}_{number}")
    sweep.cancel("enough")
    assert sweep.wait(raise_on_error=False) == "Canceled"
    assert [run.status for run in sweep.runs()] == ["Canceled"] * 3
    assert lines(tmp_path / "ends") == []


def test_trials_never_outlive_a_sweep_whose_program_is_killed_after_the_cancel(
    asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(uniform(0, 1), max_trials=2, max_at_once=1)
    wait_for_line(tmp_path / "starts", f"{sweep.id}_0")
    pid = main_pid(sweep)
    os.kill(pid, signal.SIGSTOP)  # it hears nothing any more
    sweep.cancel()
    kill(pid)
    assert sweep.wait(raise_on_error=False) == "Canceled"
    [trial] = [run for run in sweep.runs()]
    assert trial.wait(raise_on_error=False) == "Canceled"


def test_a_killed_program_is_followed_by_another_and_no_trial_is_lost_or_run_twice(
    asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(choice(*range(1, 7)), sampling="grid", max_at_once=2)
    for number in range(2):
        wait_for_line(tmp_path / "starts", f"{sweep.id}_{number}")
    kill(main_pid(sweep))
    (tmp_path / "hold").unlink()
    assert sweep.wait() == "Completed"
    wanted = [f"{sweep.id}_{n}" for n in range(6)]
    assert sorted(lines(tmp_path / "starts")) == sorted(lines(tmp_path / "ends")) == wanted
    assert [trial.value for trial in sweep.trials()] == [float(n) + 1 for n in range(1, 7)]
    assert sweep.fetch()["attempt"] == 2


def test_a_killed_server_costs_no_trial(asked: Asked, place: Place, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(choice(*range(1, 6)), sampling="grid", max_at_once=2)
    wait_for_line(tmp_path / "starts", f"{sweep.id}_0")
    place.kill_server()
    (tmp_path / "hold").unlink()
    place.start_server()
    assert sweep.wait() == "Completed"
    wanted = [f"{sweep.id}_{n}" for n in range(5)]
    assert sorted(lines(tmp_path / "starts")) == sorted(lines(tmp_path / "ends")) == wanted
    assert {trial.status for trial in sweep.trials()} == {"Completed"}


def test_both_killed_at_once_costs_no_trial(asked: Asked, place: Place, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(choice(*range(1, 6)), sampling="grid", max_at_once=2)
    wait_for_line(tmp_path / "starts", f"{sweep.id}_0")
    pid = main_pid(sweep)
    place.kill_server()
    kill(pid)
    (tmp_path / "hold").unlink()
    place.start_server()
    assert sweep.wait() == "Completed"
    assert sorted(lines(tmp_path / "ends")) == [f"{sweep.id}_{n}" for n in range(5)]
    assert len(lines(tmp_path / "starts")) == 5


def test_a_term_that_nobody_asked_for_ends_no_trial(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(choice(1, 2), sampling="grid", max_at_once=1)
    wait_for_line(tmp_path / "starts", f"{sweep.id}_0")
    os.kill(main_pid(sweep), signal.SIGTERM)
    (tmp_path / "hold").unlink()
    assert sweep.wait() == "Completed"
    assert {trial.status for trial in sweep.trials()} == {"Completed"}
    assert sweep.fetch()["attempt"] == 2


def test_a_sweep_whose_trials_all_fail_is_ended_early_and_says_so(asked: Asked) -> None:
    sweep = asked(choice(*range(100, 120)), sampling="grid", max_at_once=1, metric="accuracy")
    with pytest.raises(RunFailed, match="the first 5 trials have failed"):
        sweep.wait()
    assert len(sweep.trials()) == 5


def test_a_metric_that_nobody_logs_is_said(asked: Asked) -> None:
    sweep = asked(choice(1), sampling="grid", metric="accuracy")
    assert sweep.wait() == "Completed"
    assert sweep.best() is None
    assert "no trial has logged accuracy" in "".join(sweep.logs())
    claims = [finding["claim"] for finding in sweep.why()["findings"]]
    assert "1 of 1 trial is over; none of those has logged accuracy." in claims


def test_time_ends_a_sweep_with_its_trials(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    sweep = asked(uniform(0, 1), max_trials=2, max_at_once=1, max_duration_s=2.0)
    assert sweep.wait(raise_on_error=False) == "Completed"  # the first had logged its loss
    [trial] = sweep.trials()
    assert trial.status == "Canceled"
    assert trial.value is not None
    assert "it has run for 2 s" in sweep.told().end_reason


def test_what_no_trial_can_be_is_the_sweeps_failure(asked: Asked) -> None:
    sweep = asked(uniform(0, 1), resources={"cpus": 1000})
    with pytest.raises(RunFailed, match=r"trial 0 was refused: resources\.cpus"):
        sweep.wait()


def test_secrets_reach_the_trials_and_nobody_else(asked: Asked, place: Place) -> None:
    script = "import os, outlast; outlast.get_context().log('loss', len(os.environ['API_TOKEN']))"
    sweep = asking.sweep(
        [sys.executable, "-c", script, "--password=hunter2secret", "{x}"],
        {"x": choice(1)}, metric="loss", sampling="grid", variables={"API_TOKEN": "s3cr3t-value"},
        workspace=place.workspace,
    )  # fmt: skip
    assert sweep.wait() == "Completed"
    best = sweep.best()
    assert best is not None
    assert best.value == len("s3cr3t-value")
    for run_id in (sweep.id, best.id):
        for file in place.folder(run_id).iterdir():
            if file.is_file():
                assert b"s3cr3t-value" not in file.read_bytes(), file
                assert b"hunter2secret" not in file.read_bytes(), file


def test_every_trial_gets_the_data_and_delivers_its_own(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "data.csv").write_text("a\n1\n2\n")
    script = (
        "import os, sys, outlast\n"
        "path, place, value = sys.argv[1:]\n"
        "os.makedirs(place, exist_ok=True)\n"
        "with open(os.path.join(place, 'value'), 'w') as file: file.write(value)\n"
        "outlast.get_context().log('lines', len(open(path).readlines()))\n"
    )
    datastores.register("results", store, workspace=place.workspace)
    results = datastores.get("results", workspace=place.workspace)
    sweep = asking.sweep(
        [sys.executable, "-c", script, "${{inputs.data}}", "${{outputs.found}}", "{x}"],
        {"x": choice(1, 2)}, metric="lines", sampling="grid",
        inputs={"data": tmp_path / "data.csv"},
        deliveries={"found": results.delivery("{run-id}/{output-name}")},
        workspace=place.workspace,
    )  # fmt: skip
    assert sweep.wait() == "Completed"
    assert [trial.value for trial in sweep.trials()] == [3.0, 3.0]
    delivered = [(store / f"{sweep.id}_{n}" / "found" / "value").read_text() for n in range(2)]
    assert delivered == ["1", "2"]


def test_wrong_wishes_are_told_before_anything_is_queued(asked: Asked, place: Place) -> None:
    with pytest.raises(Invalid, match=r"say where the value goes, as --rate \{rate\}"):
        asking.sweep(
            ["python", "train.py"], {"rate": uniform(0, 1)}, metric="loss",
            workspace=place.workspace,
        )  # fmt: skip
    for wrong in (
        {"goal": "best"}, {"sampling": "dice"}, {"max_trials": 10**6}, {"metric": ""},
        {"max_duration_s": 0},
    ):  # fmt: skip
        with pytest.raises(Invalid, match=next(iter(wrong))):
            asked(uniform(0, 1), **wrong)


def test_only_a_sweep_is_got_as_one(place: Place) -> None:
    run = place.workspace
    from outlast.sdk.submit import submit

    other = submit(["true"], workspace=run)
    other.wait()
    with pytest.raises(Conflict, match="is no sweep"):
        asking.get(other.id, workspace=run)
