"""A job in an environment that has no Outlast logs, uploads, and is told what it can't have."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from outlast.azureml.experiment import Experiment
from outlast.azureml.model import Model
from outlast.azureml.script_config import ScriptRunConfig
from tests.azureml.test_hook import real_azureml

__all__ = ["real_azureml"]

SCRIPT = """
import sys
from azureml.core import Run, Workspace
from azureml.core.run import Run as same
from azureml.exceptions import RunEnvironmentException
assert Run is same
try:
    import click
    sys.exit("this environment isn't bare")
except ImportError:
    pass
run = Run.get_context()
for epoch in range(3):
    run.log("loss", 1.0 / (epoch + 1))
run.log_row("row", x=1)
run.tag("where", "bare")
open("model.txt", "w").write("weights")
run.upload_file("outputs/model.txt", "model.txt")
model = run.register_model(run.experiment.name, "outputs/model.txt")
try:
    print(model.name, model.version)
except RunEnvironmentException as error:
    print("its version:", error.message)
with run.child_run("child") as child:
    child.log("inner", 1)
print(run.get_metrics(), run.experiment.name, run.get_status(), run.get_file_names())
try:
    Workspace.from_config().experiments
except RunEnvironmentException as error:
    print(error.message)
run.complete()
"""


def told(experiment: Experiment, command: Sequence[str]) -> tuple[str, str]:
    """The status of a run of the command, and what it printed."""
    run = experiment.submit(ScriptRunConfig(".", command=list(command)))
    status = run.wait_for_completion(raise_on_error=False)["status"]
    run.download_file("user_logs/std_log.txt")
    return status, Path("std_log.txt").read_text()


def test_a_job_without_outlast_logs_and_uploads(experiment: Experiment, bare_python: str) -> None:
    Path("train.py").write_text(SCRIPT)
    status, printed = told(experiment, [bare_python, "train.py"])
    assert status == "Completed", printed
    assert f"'row': {{'x': 1}}}} {experiment.name} Running" in printed
    assert printed.count("this environment has no Outlast: pip install outlast") == 2
    assert "its version: this needs Outlast's server" in printed
    (run,) = experiment.get_runs()
    assert run.get_metrics() == {"loss": [1.0, 0.5, 1 / 3], "row": {"x": 1}}
    assert run.tags == {"where": "bare"}
    assert Model(run.experiment.workspace, experiment.name).run_id == run.id
    run.download_file("outputs/model.txt")
    assert Path("model.txt").read_text() == "weights"
    (child,) = run.get_children()
    assert child.get_metrics() == {"inner": 1}


def test_a_job_uses_a_really_installed_one_unless_outlasts_is_chosen(
    experiment: Experiment, bare_python: str, real_azureml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("train.py").write_text("import azureml.core\nprint(azureml.core.Run)\n")
    paths = [str(real_azureml), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    assert told(experiment, [bare_python, "train.py"]) == ("Completed", "the real one\n")
    monkeypatch.setenv("OUTLAST_AZUREML", "outlast")
    status, printed = told(experiment, [bare_python, "train.py"])
    assert (status, printed) == ("Completed", "<class 'outlast.azureml.run.Run'>\n")
