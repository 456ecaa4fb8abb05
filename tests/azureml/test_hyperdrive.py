"""Sweeps in Azure ML's words: what scripts write, and what they read off the run."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.estimator import Estimator
from outlast.azureml.exceptions import UserErrorException
from outlast.azureml.experiment import Experiment
from outlast.azureml.hyperdrive import HyperDriveConfig, PrimaryMetricGoal
from outlast.azureml.hyperdrive_exceptions import HyperDriveConfigException
from outlast.azureml.hyperdrive_policy import (
    BanditPolicy,
    MedianStoppingPolicy,
    NoTerminationPolicy,
    TruncationSelectionPolicy,
)
from outlast.azureml.hyperdrive_run import HyperDriveRun
from outlast.azureml.hyperdrive_space import (
    BayesianParameterSampling,
    GridParameterSampling,
    RandomParameterSampling,
    choice,
    uniform,
)
from outlast.azureml.run import Run
from outlast.azureml.run_configuration import PyTorchConfiguration
from outlast.azureml.script_config import ScriptRunConfig
from tests.azureml.scripted import Scripts

TRAIN = """
import argparse, json, os
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--data", type=str)
parser.add_argument("--rate", type=float)
parser.add_argument("--depth", type=int)
given = parser.parse_args()
run = Run.get_context()
for step in range(3):
    run.log("Accuracy", given.rate + step / 100)
os.makedirs("outputs", exist_ok=True)
with open("outputs/model.json", "w") as file:
    json.dump(vars(given), file)
"""


def submitted(experiment: Experiment, config: HyperDriveConfig, **options: Any) -> HyperDriveRun:
    run = experiment.submit(config, **options)
    assert isinstance(run, HyperDriveRun)
    return run


def config(sampling: Any, here: Path, **options: Any) -> HyperDriveConfig:
    (here / "train.py").write_text(TRAIN)
    script = ScriptRunConfig(".", "train.py", arguments=["--data", "digits"])
    given = {
        "primary_metric_name": "Accuracy", "primary_metric_goal": PrimaryMetricGoal.MAXIMIZE,
        "max_total_runs": 4, "run_config": script, **options,
    }  # fmt: skip
    return HyperDriveConfig(hyperparameter_sampling=sampling, **given)


def test_a_grid_finds_its_best_run(experiment: Experiment, here: Path) -> None:
    sampling = GridParameterSampling({"--rate": choice(0.5, 0.9), "depth": choice([2])})
    wanted = config(sampling, here, max_concurrent_runs=2)
    run = submitted(experiment, wanted, tags={"kind": "grid"})
    assert run.type == "hyperdrive"
    assert run.hyperdrive_config is wanted
    run.wait_for_completion(show_output=True)
    assert run.get_status() == "Completed"
    assert run.tags == {"kind": "grid"}

    best = run.get_best_run_by_primary_metric()
    assert best is not None
    assert best.get_metrics()["Accuracy"] == [0.9, 0.91, 0.92]
    assert best.get_details()["runDefinition"]["arguments"] == [
        "--data", "digits", "--rate", "0.9", "--depth", "2",
    ]  # fmt: skip
    best.download_file("outputs/model.json", "best.json")
    assert json.loads((here / "best.json").read_text())["depth"] == 2
    assert best.parent is not None
    assert (best.parent.id, type(best.parent)) == (run.id, HyperDriveRun)

    rows = run.get_children_sorted_by_primary_metric()
    assert [row["best_primary_metric"] for row in rows] == [0.92, 0.52]
    assert rows[0]["run_id"] == best.id
    assert json.loads(rows[0]["hyperparameters"]) == {"--rate": 0.9, "depth": 2}
    assert rows[0]["status"] == "Completed"
    worst = run.get_children_sorted_by_primary_metric(top=1, reverse=True)
    assert [row["best_primary_metric"] for row in worst] == [0.52]
    assert json.loads(run.get_hyperparameters()[best.id]) == {"--rate": 0.9, "depth": 2}
    assert run.get_metrics()[best.id]["Accuracy"][-1] == 0.92
    assert run.get_diagnostics()["runs"] == {child.id: "Completed" for child in run.get_children()}
    assert [found.id for found in experiment.get_runs()] == [run.id]
    assert isinstance(Run.get(experiment.workspace, run.id), HyperDriveRun)


def test_each_trial_has_its_ranks(experiment: Experiment, here: Path) -> None:
    script = "import os, sys\nfrom azureml.core import Run\nrank = int(os.environ['RANK'])\n"
    script += "print('rate', sys.argv[2], 'of', os.environ['WORLD_SIZE'])\n"
    script += "if rank == 0: Run.get_context().log('Accuracy', float(sys.argv[2]))\n"
    (here / "ranks.py").write_text(script)
    ranks = PyTorchConfiguration(process_count=2, node_count=2)
    asked = ScriptRunConfig(".", "ranks.py", distributed_job_config=ranks)
    sampling = GridParameterSampling({"rate": choice(0.5, 0.9)})
    run = submitted(experiment, config(sampling, here, run_config=asked))
    run.wait_for_completion()
    best = run.get_best_run_by_primary_metric()
    assert best is not None
    assert best.get_metrics() == {"Accuracy": 0.9}
    assert best.get_details()["runDefinition"]["nodeCount"] == 2
    best.download_file("user_logs/std_log.txt")
    printed = sorted((here / "std_log.txt").read_text().splitlines())
    assert printed == ["[rank 0] rate 0.9 of 2", "[rank 1] rate 0.9 of 2"]


def test_an_estimator_is_tried_as_a_script_is(experiment: Experiment, here: Path) -> None:
    sampling = RandomParameterSampling({"--rate": choice(0.5), "--depth": choice(1)})
    asked = config(sampling, here, run_config=None, estimator=Estimator(
        ".", script_params={"--data": "digits"}, entry_script="train.py",
    ), max_total_runs=1)  # fmt: skip
    run = submitted(experiment, asked)
    run.wait_for_completion()
    best = run.get_best_run_by_primary_metric()
    assert best is not None
    assert best.get_details()["runDefinition"]["arguments"][:2] == ["--data", "digits"]


def test_bayesian_sampling_goes_on_from_an_earlier_sweep(
    experiment: Experiment, here: Path
) -> None:
    pytest.importorskip("optuna")
    sampling = BayesianParameterSampling({"rate": uniform(0, 1), "depth": choice(1, 2)})
    first = submitted(experiment, config(sampling, here, max_total_runs=2))
    first.wait_for_completion()
    children = list(first.get_children())
    second = submitted(
        experiment,
        config(
            sampling, here, max_total_runs=2, max_concurrent_runs=1, resume_from=first,
            resume_child_runs=children[:1],
        ),
    )  # fmt: skip
    second.wait_for_completion()
    values = [json.loads(text) for text in second.get_hyperparameters().values()]
    assert values[0] == json.loads(first.get_hyperparameters()[children[0].id])
    best = second.get_best_run_by_primary_metric()
    mine = second.get_best_run_by_primary_metric(include_resume_from_runs=False)
    assert best is not None
    assert mine is not None
    both = [*first.get_metrics().values(), *second.get_metrics().values()]
    assert best.get_metrics()["Accuracy"][-1] == max(found["Accuracy"][-1] for found in both)
    assert mine.id in second.get_hyperparameters()


def test_a_policy_and_cancel_reach_the_sweep(experiment: Experiment, here: Path) -> None:
    (here / "train.py").write_text(
        "import time\nfrom azureml.core import Run\nRun.get_context().log('Accuracy', 1)\n"
        "time.sleep(300)\n"
    )
    wanted = HyperDriveConfig(
        RandomParameterSampling({"rate": uniform(0, 1)}), "Accuracy", PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=8, max_concurrent_runs=1, run_config=ScriptRunConfig(".", "train.py"),
        policy=TruncationSelectionPolicy(20, evaluation_interval=2, delay_evaluation=6),
    )  # fmt: skip
    run = submitted(experiment, wanted)
    assert run._sweep().plan.stopping._asdict() == {
        "kind": "truncation", "interval": 2, "delay": 6, "percentage": 20,
        "slack_factor": None, "slack_amount": None,
    }  # fmt: skip
    run.cancel()
    run.wait_for_completion()
    assert run.get_status() == "Canceled"
    assert {child.get_status() for child in run.get_children()} <= {"Canceled"}


def test_what_a_sampling_and_a_policy_say_of_themselves() -> None:
    sampling = RandomParameterSampling({"--lr": uniform(0, 1)})
    assert sampling.to_json() == {
        "name": "RANDOM", "parameter_space": {"--lr": ["uniform", [0, 1]]},
    }  # fmt: skip
    policy = BanditPolicy(evaluation_interval=2, slack_factor=0.1)
    assert policy.to_json() == {
        "name": "Bandit",
        "properties": {"evaluation_interval": 2, "delay_evaluation": 0, "slack_factor": 0.1},
    }
    assert MedianStoppingPolicy().to_json()["name"] == "MedianStopping"
    assert NoTerminationPolicy().to_json() == {"name": "Default", "properties": {}}
    assert PrimaryMetricGoal.from_str("minimize") is PrimaryMetricGoal.MINIMIZE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_total_runs": 0}, "max_total_runs = 0"),
        ({"policy": "bandit"}, "give a policy"),
        ({"primary_metric_goal": "best"}, "MAXIMIZE or MINIMIZE"),
        ({"run_config": None}, "give a ScriptRunConfig"),
    ],
)
def test_wrong_types_are_told_at_once(here: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HyperDriveConfigException, match=said):
        config(RandomParameterSampling({"rate": uniform(0, 1)}), here, **options)


def test_wrong_values_are_told_by_submit(experiment: Experiment, here: Path) -> None:
    with pytest.raises(UserErrorException, match="grid sampling takes choice"):
        experiment.submit(config(GridParameterSampling({"rate": uniform(0, 1)}), here))
    with pytest.raises(HyperDriveConfigException, match="either slack_factor or slack_amount"):
        BanditPolicy()


def test_a_script_of_the_public_kind_runs_unchanged(scripts: Scripts, here: Path) -> None:
    (here / "train.py").write_text(TRAIN)
    script = """
        from azureml.core import Experiment, ScriptRunConfig, Workspace
        from azureml.train.hyperdrive import BanditPolicy, HyperDriveConfig, PrimaryMetricGoal
        from azureml.train.hyperdrive import RandomParameterSampling, choice, loguniform
        from azureml.widgets import RunDetails

        ws = Workspace.from_config()
        sampling = RandomParameterSampling({
            "--rate": loguniform(-6, -1), "--depth": choice(1, 2, 3)})
        src = ScriptRunConfig(source_directory=".", script="train.py")
        config = HyperDriveConfig(run_config=src, hyperparameter_sampling=sampling,
            policy=BanditPolicy(evaluation_interval=2, slack_factor=0.1),
            primary_metric_name="Accuracy", primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
            max_total_runs=3, max_concurrent_runs=2)
        run = Experiment(ws, "hyper").submit(config)
        RunDetails(run).show()
        run.wait_for_completion(show_output=False)
        assert run.get_status() == "Completed"
        best = run.get_best_run_by_primary_metric()
        print("best:", round(best.get_metrics()["Accuracy"][-1], 3) > 0)
    """
    done = scripts.run(scripts.write("tune.py", textwrap.dedent(script)))
    assert done.code == 0, done.err
    assert "best: True" in done.out
