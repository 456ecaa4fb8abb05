"""Users' own scripts, unchanged: what their texts tell is what happens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.exceptions import ActivityFailedException
from outlast.azureml.experiment import Experiment
from outlast.azureml.names import MODULES
from outlast.azureml.run import Run
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace
from tests.azureml import hurried
from tests.azureml.scripted import TIMEOUT_S, Scripts, ended
from tests.sdk.place import Place

pytestmark = pytest.mark.slow

LOGGED = {
    "epoch": [0, 1, 2],
    "accuracy": [0.6, 0.7, 0.8],
    "loss": [1.0, 0.8, 0.6],
}


@pytest.fixture(scope="module")
def haste(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which scripts don't take their time, and find packages without a network."""
    return hurried.variables(tmp_path_factory.mktemp("haste"), "scikit-learn", "pandas")


@pytest.fixture
def hasty(haste: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted from here has them too."""
    for name in ("PYTHONPATH", "PATH"):
        monkeypatch.setenv(name, haste[name])


def newest_local(place: Place, script: str) -> Run:
    """The run that get_context made for the script, as soon as the server has noticed it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for row in place.workspace.rows(experiment="local"):
            if row["name"] == script:
                return Workspace.from_config().get_run(row["id"])
        time.sleep(0.05)
    pytest.fail(f"there is no run of {script}")


def runs_of(experiment: str) -> list[Run]:
    """Oldest first."""
    return [*Experiment(Workspace.from_config(), experiment).get_runs()][::-1]


def awaited_run(experiment: str) -> Run:
    """Its first one, as soon as there is one."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := runs_of(experiment)):
        assert time.monotonic() < deadline, f"{experiment} has no run"
        time.sleep(0.05)
    return found[0]


def awaited_finding(run: Run, rule: str) -> dict[str, Any]:
    """What `why` says by this rule, as soon as it does."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for finding in run.get_detailed_status()["findings"]:
            if finding["rule"] == rule:
                return dict(finding)
    pytest.fail(f"why never said {rule}")


def check_logged(run: Run) -> None:
    found = run.get_metrics()
    assert set(found) == set(LOGGED)
    for name, values in LOGGED.items():
        assert found[name] == pytest.approx(values)


def test_start_logging_runs_the_script_in_step_and_keeps_what_it_logs(
    scripts: Scripts, place: Place, haste: dict[str, str]
) -> None:
    synchronous = scripts.run(scripts.users("synchronous_logging"), **haste)
    assert synchronous.code == 0, synchronous.err
    assert synchronous.out.splitlines()[0] == "Starting training..."
    assert synchronous.out.splitlines()[-1] == "Training completed"
    run = newest_local(place, "synchronous_logging.py")
    assert run.wait_for_completion()["status"] == "Completed"
    check_logged(run)


def test_a_logging_thread_goes_on_beside_the_main_one(
    scripts: Scripts, place: Place, haste: dict[str, str]
) -> None:
    threaded = scripts.run(scripts.users("logging_thread"), **haste)
    assert threaded.code == 0, threaded.err
    assert "Main thread continues while training runs" in threaded.out
    assert threaded.out.splitlines()[-1] == "Main thread completed"
    run = newest_local(place, "logging_thread.py")
    assert run.wait_for_completion()["status"] == "Completed"
    check_logged(run)


def test_a_script_that_only_prints_runs_as_it_is(
    scripts: Scripts, experiment: Experiment, haste: dict[str, str], hasty: None
) -> None:
    done = scripts.run(scripts.users("monitored"), **haste)
    assert (done.code, done.out.splitlines()[-1]) == (0, "Post-processing complete!"), done.err
    run = experiment.submit(ScriptRunConfig(".", "monitored.py"))
    assert run.wait_for_completion()["status"] == "Completed"
    run.download_file("user_logs/std_log.txt")
    assert Path("std_log.txt").read_text() == done.out


@pytest.mark.usefixtures("hasty")
def test_submit_returns_at_once_and_the_job_logs_by_itself(
    scripts: Scripts, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hurried.HOLD, str(tmp_path / "go"))
    scripts.users("synchronous_logging")
    run = experiment.submit(ScriptRunConfig(".", script="synchronous_logging.py"))
    assert run.get_status() not in ("Completed", "Failed", "Canceled")
    (tmp_path / "go").touch()
    assert run.wait_for_completion()["status"] == "Completed"
    check_logged(run)


def test_post_processing_is_a_part_of_the_run(
    scripts: Scripts, experiment: Experiment, haste: dict[str, str], hasty: None
) -> None:
    path = scripts.users("post_processing")
    Path("results").mkdir()
    done = scripts.run(path, "results", **haste)
    assert done.code == 0, done.err
    assert Path("results/post_processed.txt").read_text() == "Post-processing complete"

    run = experiment.submit(ScriptRunConfig(".", "post_processing.py", ["outputs"]))
    assert run.wait_for_completion()["status"] == "Completed"
    names = run.get_file_names()
    assert {"outputs/main_output.txt", "outputs/post_processed.txt"} <= set(names)


def test_post_processing_that_fails_fails_the_run_although_the_main_output_is_there(
    scripts: Scripts, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.users("post_processing")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    run = experiment.submit(ScriptRunConfig(".", "post_processing.py", ["outputs"]))
    with pytest.raises(ActivityFailedException, match="exit code 1"):
        run.wait_for_completion()
    run.download_file("user_logs/std_log.txt")
    assert "Experiment failed:" in Path("std_log.txt").read_text()


@pytest.mark.usefixtures("hasty")
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


STEPS = {
    "step1.py": 'with open("output/data1.txt","w") as f:\n    f.write("some data")\n',
    "step2.py": 'with open("output/data1.txt","r") as f:\n    data = f.read()\n'
    'with open("output/data2.txt","w") as f:\n    f.write(data)\n',
    "step3.py": 'import time\nwith open("output/data.txt","w") as f:\n    f.write("some data")\n'
    "time.sleep(1000) # Simulate a long job\n",
}

PROCESS = """import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--output")
args = parser.parse_args()
os.makedirs(args.output, exist_ok=True)
with open(os.path.join(args.output,"data.txt"),"w") as f:
    f.write("some data")
"""


def test_a_step_gets_what_the_one_before_it_put_out(
    scripts: Scripts, haste: dict[str, str]
) -> None:
    for name in ("step1.py", "step2.py"):
        scripts.write(name, STEPS[name])
    done = scripts.run(scripts.users("dependency"), **haste)
    assert done.code == 0, done.err
    first, second = runs_of("dependency_example")
    assert (first.tags["step"], second.tags["step"]) == ("step1", "step2")
    assert first.get_file_names()[0] == "output/data1.txt"
    second.download_file("output/data2.txt")
    assert Path("data2.txt").read_text() == "some data"
    # What was handed over isn't what the second step produced.
    assert "output/data1.txt" not in second.get_file_names()
    warned = [one["message"] for one in second.get_details()["warnings"]]
    assert not any("was there before" in message for message in warned)
    (given,) = second.get_details()["inputDatasets"]
    assert given["dataset"]["name"] == "step1_data"
    assert first.id in str(given["consumptionDetails"])


def test_a_script_that_makes_its_folder_finds_none(experiment: Experiment) -> None:
    Path("train.py").write_text(
        "import os\nassert sorted(os.listdir()) == ['logs', 'outputs', 'train.py']\n"
        "os.mkdir('output')\nopen('output/a.txt', 'w').write('a')\n"
    )
    run = experiment.submit(ScriptRunConfig(".", "train.py"))
    assert run.wait_for_completion(show_output=True)["status"] == "Completed"
    assert run.get_file_names() == ["output/a.txt", "user_logs/std_log.txt"]


def test_a_step_that_sleeps_is_running_although_its_file_exists(
    scripts: Scripts, place: Place, haste: dict[str, str]
) -> None:
    scripts.write("step3.py", STEPS["step3.py"])
    unhurried = {name: value for name, value in haste.items() if name != "PYTHONPATH"}
    with scripts.start(scripts.users("long_sleep"), **unhurried) as process:
        run = awaited_run("metadata_example")
        why = awaited_finding(run, "outputs_so_far")
        assert run.get_status() == "Running"
        run.cancel()
        done = ended(process)
    assert done.code == 0, done.err
    assert "(output/data.txt), but isn't over" in why["claim"]
    assert run.get_status() == "Canceled"


def test_a_compute_target_and_packages_are_made_for_the_job(
    scripts: Scripts, haste: dict[str, str]
) -> None:
    scripts.users("synchronous_logging").rename("training_script.py")
    done = scripts.run(scripts.users("compute_target"), **haste)
    assert done.code == 0, done.err
    (run,) = runs_of("my-async-experiment")
    assert run.get_details()["target"] == "my-compute-target"
    check_logged(run)
    packages = run.get_environment().python.conda_dependencies
    assert [*packages.conda_packages] == ["scikit-learn", "pandas"]


@pytest.mark.skipif("azureml.pipeline.core" not in MODULES, reason="pipelines are another issue")
def test_steps_of_a_pipeline_are_reused_unless_they_must_not(
    scripts: Scripts, haste: dict[str, str]
) -> None:
    scripts.write("process.py", PROCESS)
    done = scripts.run(scripts.users("caching"), **haste)
    assert done.code == 0, done.err
