# Search for hyperparameters: random and grid, with early termination.
import os

from azureml.core import Experiment, ScriptRunConfig, Workspace
from azureml.train.hyperdrive import (
    BanditPolicy, GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal,
    RandomParameterSampling, choice, uniform,
)

ws = Workspace.from_config()
experiment = Experiment(workspace=ws, name="hyperdrive")

os.makedirs("sweep", exist_ok=True)
with open("sweep/train.py", "w") as f:
    f.write("""
import argparse
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--kernel", type=str, default="linear")
parser.add_argument("--penalty", type=float, default=1.0)
args = parser.parse_args()
run = Run.get_context()
run.log("Kernel type", args.kernel)
run.log("Accuracy", (0.9 if args.kernel == "rbf" else 0.6) - abs(args.penalty - 1) / 10)
""")
src = ScriptRunConfig(source_directory="sweep", script="train.py", compute_target="local")

hyperdrive_config = HyperDriveConfig(
    run_config=src,
    hyperparameter_sampling=GridParameterSampling(
        {"--kernel": choice("linear", "rbf"), "--penalty": choice(0.5, 1.0)}),
    primary_metric_name="Accuracy",
    primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
    max_total_runs=4,
    max_concurrent_runs=2,
)
hyperdrive_run = experiment.submit(hyperdrive_config)
hyperdrive_run.wait_for_completion(show_output=True)
assert hyperdrive_run.get_status() == "Completed"

best_run = hyperdrive_run.get_best_run_by_primary_metric()
print(best_run.get_details()["runDefinition"]["arguments"])
assert best_run.get_metrics()["Kernel type"] == "rbf"
assert best_run.get_metrics()["Accuracy"] == 0.9
assert len(list(hyperdrive_run.get_children())) == 4
ranked = hyperdrive_run.get_children_sorted_by_primary_metric()
assert [row["best_primary_metric"] for row in ranked][0] == 0.9
assert hyperdrive_run.get_hyperparameters()

random_config = HyperDriveConfig(
    run_config=src,
    hyperparameter_sampling=RandomParameterSampling({"--penalty": uniform(0.0, 2.0)}),
    policy=BanditPolicy(evaluation_interval=2, slack_factor=0.1),
    primary_metric_name="Accuracy",
    primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
    max_total_runs=2,
    max_concurrent_runs=2,
)
random_run = experiment.submit(random_config)
random_run.wait_for_completion()
assert len(random_run.get_metrics()) == 2
