"""Users' own scripts, unchanged: what their texts tell is what happens."""

from __future__ import annotations

import pytest

from outlast.azureml.exceptions import ActivityFailedException
from outlast.azureml.experiment import Experiment
from outlast.azureml.run import Run
from outlast.azureml.script_config import ScriptRunConfig
from tests.azureml.scripted import Scripts, ended
from tests.sdk.place import Place

LOGGED = {
    "epoch": [0, 1, 2],
    "accuracy": [0.6, 0.7, 0.8],
    "loss": [1.0, 0.8, 0.6],
}


def newest_local(place: Place, script: str) -> Run:
    """The run that get_context made for the script."""
    from outlast.azureml.workspace import Workspace

    rows = place.workspace.rows(experiment="local")
    row = next(row for row in rows if row["name"] == script)
    return Workspace.from_config().get_run(row["id"])


def check_logged(run: Run) -> None:
    found = run.get_metrics()
    assert set(found) == set(LOGGED)
    for name, values in LOGGED.items():
        assert found[name] == pytest.approx(values)


@pytest.mark.slow
def test_start_logging_runs_the_script_in_step_and_keeps_what_it_logs(
    scripts: Scripts, place: Place
) -> None:
    # Both at once: each sleeps 6 s, as it was published.
    with (
        scripts.start(scripts.users("synchronous_logging")) as first,
        scripts.start(scripts.users("logging_thread")) as second,
    ):
        synchronous, threaded = ended(first), ended(second)
    assert synchronous.code == 0, synchronous.err
    assert synchronous.out.splitlines()[0] == "Starting training..."
    assert synchronous.out.splitlines()[-1] == "Training completed"
    run = newest_local(place, "synchronous_logging.py")
    assert run.get_status() == "Completed"
    check_logged(run)

    assert threaded.code == 0, threaded.err
    assert "Main thread continues while training runs" in threaded.out
    assert threaded.out.splitlines()[-1] == "Main thread completed"
    run = newest_local(place, "logging_thread.py")
    assert run.get_status() == "Completed"
    check_logged(run)


@pytest.mark.slow
def test_submit_returns_at_once_and_the_job_logs_by_itself(
    scripts: Scripts, experiment: Experiment
) -> None:
    scripts.users("synchronous_logging")
    run = experiment.submit(ScriptRunConfig(".", script="synchronous_logging.py"))
    assert run.get_status() not in ("Completed", "Failed", "Canceled")
    assert run.wait_for_completion()["status"] == "Completed"
    check_logged(run)


@pytest.mark.slow
def test_written_output_is_logged_and_collected(scripts: Scripts, experiment: Experiment) -> None:
    scripts.users("written_output")
    run = experiment.submit(ScriptRunConfig(".", "written_output.py", ["outputs"]))
    assert run.wait_for_completion()["status"] == "Completed"
    assert run.get_metrics() == {"Output_Written": "all data files created"}
    written = [name for name in run.get_file_names() if name.startswith("outputs/data_")]
    assert written == ["outputs/data_0.txt", "outputs/data_1.txt", "outputs/data_2.txt"]


def test_output_that_cannot_be_written_fails_the_run(
    scripts: Scripts, experiment: Experiment
) -> None:
    scripts.users("written_output")
    run = experiment.submit(ScriptRunConfig(".", "written_output.py", ["nowhere"]))
    with pytest.raises(ActivityFailedException, match="exit"):
        run.wait_for_completion()
    assert run.get_status() == "Failed"


def test_an_error_that_the_script_reports_by_its_exit_code_fails_it(
    scripts: Scripts, experiment: Experiment
) -> None:
    path = scripts.users("implicit_error")
    done = scripts.run(path)
    assert done.code == 1
    assert "division by zero" in done.err
    run = experiment.submit(ScriptRunConfig(".", "implicit_error.py"))
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"
