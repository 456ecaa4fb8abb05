"""What scripts read off a run: status, metrics, tags, files, children; inside and outside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.compute import ComputeTarget
from outlast.azureml.exceptions import (
    ActivityFailedException,
    ComputeTargetException,
    RunConfigurationException,
    RunEnvironmentException,
    ServiceException,
    UserErrorException,
)
from outlast.azureml.experiment import Experiment
from outlast.azureml.run import Run, ScriptRun, _OfflineRun
from outlast.azureml.run_configuration import MpiConfiguration, RunConfiguration
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace


def submitted(experiment: Experiment, code: str, **options: Any) -> Run:
    Path("train.py").write_text(code)
    return experiment.submit(ScriptRunConfig(".", "train.py"), **options)


def test_metrics_have_azure_mls_shapes(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        run.log("once", 1)
        for value in (0.5, 0.25):
            run.log("twice", value)
        run.log("text", "done")
        run.log("lost", math.nan)
        run.log_list("list", [1, 2, 3])
        run.log_row("row", x=1, y=0.5)
        for x in (1, 2):
            run.log_row("rows", x=x, y=x * x)
        run.log_table("table", {"a": [1, 2], "b": ["x", "y"]})
        inside = run.get_metrics()
    assert math.isnan(inside.pop("lost"))
    assert inside == {
        "once": 1,
        "twice": [0.5, 0.25],
        "text": "done",
        "list": [1, 2, 3],
        "row": {"x": 1, "y": 0.5},
        "rows": {"x": [1, 2], "y": [1, 4]},
        "table": {"a": [1, 2], "b": ["x", "y"]},
    }
    outside = Run(experiment, run.id).get_metrics()
    assert math.isnan(outside.pop("lost"))
    assert outside == inside
    assert run.get_metrics("twice") == {"twice": [0.5, 0.25]}
    assert run.get_metrics("no such") == {}


def test_a_chart_is_a_file_that_the_metric_names(experiment: Experiment) -> None:
    run = experiment.start_logging()
    run.log_confusion_matrix("matrix", {"schema_type": "confusion_matrix", "data": {}})
    prefix = f"aml://artifactId/ExperimentRun/dcid.{run.id}/"
    address = run.get_metrics()["matrix"]
    assert address.startswith(prefix)
    assert address[len(prefix) :] in run.get_file_names()
    with pytest.raises(UserErrorException, match="log_residuals takes a dict"):
        run.log_residuals("residuals", "{not json")
    run.complete()


def test_wrong_values_are_user_errors(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        with pytest.raises(UserErrorException, match="log_list"):
            run.log("loss", [1, 2])
        with pytest.raises(UserErrorException, match="equal length"):
            run.log_table("table", {"a": [1], "b": [1, 2]})
        with pytest.raises(UserErrorException, match="no such file"):
            run.upload_file("model.pkl", "missing.pkl")
        assert run.get_metrics() == {}


def test_an_interactive_run_goes_from_running_to_its_end(experiment: Experiment) -> None:
    run = experiment.start_logging(display_name="by hand")
    assert (run.get_status(), run.status) == ("Running", "Running")
    assert run.start_logging() is run
    assert run.display_name == "by hand"
    run.complete()
    assert run.get_status() == "Completed"
    run.complete()  # twice is as once
    assert run.get_details()["status"] == "Completed"

    run = experiment.start_logging()
    run.fail(error_details="diverged", error_code="UserError")
    details = run.get_details()
    assert details["status"] == "Failed"
    assert details["error"]["error"]["message"] == "diverged"

    run = experiment.start_logging()
    run.cancel()
    assert run.get_status() == "Canceled"


def test_an_exception_in_the_block_fails_the_run(experiment: Experiment) -> None:
    with pytest.raises(ZeroDivisionError), experiment.start_logging() as run:
        run.log("ratio", 1 / 0)
    assert run.get_status() == "Failed"
    assert "ZeroDivisionError" in run.get_details()["error"]["error"]["message"]


def test_tags_and_properties(experiment: Experiment) -> None:
    run = experiment.start_logging()
    run.tag("quality", "good")
    run.set_tags({"team": "a", "empty": None})
    run.add_properties({"author": "me"})
    run.add_properties({"author": "me"})
    with pytest.raises(UserErrorException, match="'author' is 'me' and can't change"):
        run.add_properties({"author": "you"})
    wanted = {"quality": "good", "team": "a", "empty": None}
    assert run.tags == run.get_tags() == wanted
    assert run.properties["author"] == run.get_properties()["author"] == "me"
    run.complete()
    assert run.tags == wanted
    run.tag("quality", "best")  # a run that is over takes tags too
    run.remove_tags(["empty"])
    assert run.tags == {"quality": "best", "team": "a"}


def test_files_are_handed_over_and_fetched(experiment: Experiment, here: Path) -> None:
    (here / "data").mkdir()
    for name in ("a.txt", "b.txt"):
        (here / "data" / name).write_text(name)
    run = experiment.start_logging()
    run.upload_file("outputs/model.pkl", str(here / "data" / "a.txt"))
    run.upload_folder("folder", "data")
    run.upload_files(["x/b.txt"], ["data/b.txt"])
    names = ["folder/a.txt", "folder/b.txt", "outputs/model.pkl", "x/b.txt"]
    assert run.get_file_names() == names
    with pytest.raises(UserErrorException, match="already"):
        run.upload_file("outputs/model.pkl", "data/b.txt")
    run.download_file("outputs/model.pkl", "early.pkl")
    assert (here / "early.pkl").read_text() == "a.txt"
    run.complete()
    assert run.get_file_names() == names
    run.download_file("outputs/model.pkl")
    assert (here / "model.pkl").read_text() == "a.txt"
    run.download_files(prefix="folder", output_directory="fetched")
    assert (here / "fetched" / "folder" / "b.txt").read_text() == "b.txt"
    run.download_files(prefix="folder/", output_directory="short", append_prefix=False)
    assert (here / "short" / "a.txt").read_text() == "a.txt"
    with pytest.raises(UserErrorException, match=r"no file 'missing\.txt'"):
        run.download_file("missing.txt")
    assert not (here / "missing.txt").exists()


def test_children_belong_to_their_parent(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        for fold in range(2):
            with run.child_run(f"fold {fold}") as child:
                child.log("score", fold)
        assert child.parent is not None
        assert child.parent.id == run.id
    children = list(run.get_children())
    assert [child.display_name for child in children] == ["fold 1", "fold 0"]
    assert {child.get_status() for child in children} == {"Completed"}
    found = run.get_metrics(recursive=True)
    assert [found[child.id] for child in children] == [{"score": 1}, {"score": 0}]
    assert [other.id for other in experiment.get_runs()] == [run.id]
    assert len(list(experiment.get_runs(include_children=True))) == 3


def test_a_submitted_run_is_waited_for_to_its_true_end(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submitted(
        experiment,
        "import os, sys\nfrom azureml.core import Run\n"
        "run = Run.get_context(allow_offline=False)\n"
        "run.log('loss', 0.5)\nos.makedirs('outputs', exist_ok=True)\n"
        "print('hello', run.experiment.name, run.id, run.experiment.workspace.name)\n"
        "open('outputs/model.txt', 'w').write('weights')\nrun.complete()\n",
        tags={"k": "v"},
    )
    assert isinstance(run, ScriptRun)
    assert run.type == "azureml.scriptrun"
    details = run.wait_for_completion(show_output=True)
    shown = capsys.readouterr().out
    assert f"hello {experiment.name} {run.id} local" in shown
    assert f"RunId: {run.id}" in shown
    assert (details["runId"], details["status"]) == (run.id, "Completed")
    assert {"target", "startTimeUtc", "endTimeUtc", "properties", "logFiles"} <= set(details)
    assert details["runDefinition"]["script"] == "train.py"
    assert run.get_metrics() == {"loss": 0.5}
    assert run.tags == {"k": "v"}
    assert run.get_file_names() == ["outputs/model.txt", "user_logs/std_log.txt"]
    run.download_file("user_logs/std_log.txt", "log.txt")
    assert Path("log.txt").read_text().startswith("hello")
    assert run.get_portal_url().endswith(f"/runs/{run.id}")
    assert experiment.workspace.get_run(run.id).id == run.id
    assert [found.id for found in experiment.get_runs(tags={"k": "v"})] == [run.id]
    assert list(experiment.get_runs(tags={"k": "other"})) == []


def test_a_job_logs_into_the_run_that_it_is_a_part_of(experiment: Experiment) -> None:
    Path("train.py").write_text(
        "from azureml.core import Run\nrun = Run.get_context()\n"
        "run.log('own', 1)\nrun.parent.log('of the child', 2)\n"
    )
    with experiment.start_logging() as run:
        child = run.submit_child(ScriptRunConfig(".", "train.py"))
        child.wait_for_completion()
        assert child.parent is not None
        assert child.parent.id == run.id
        assert child.get_metrics() == {"own": 1}
        assert run.get_metrics() == {"of the child": 2}


def test_nothing_is_lost_silently_in_a_run_that_is_over(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        run.log("loss", 1)
    run.wait_for_completion()  # on a busy machine the end may be told a moment later
    for over in (run, Run(experiment, run.id)):
        with pytest.raises(UserErrorException, match="is over"):
            over.log("loss", 2)
        over.flush()
    assert run.get_metrics() == {"loss": 1}


def test_a_failed_run_raises_when_it_is_waited_for(experiment: Experiment) -> None:
    run = submitted(experiment, "raise SystemExit(3)\n")
    with pytest.raises(ActivityFailedException, match="Activity Failed") as failure:
        run.wait_for_completion()
    assert f"outlast why {run.id}" in failure.value.message
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_canceled_run_does_not_raise(experiment: Experiment) -> None:
    run = submitted(experiment, "import time\ntime.sleep(600)\n")
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"


def test_a_run_takes_what_another_put_out(experiment: Experiment) -> None:
    first = submitted(
        experiment, "import os\nos.makedirs('output')\nopen('output/data.txt', 'w').write('42')\n"
    )
    first.wait_for_completion()
    second = submitted(
        experiment,
        "import os\nfrom azureml.core import Run\nrun = Run.get_context()\n"
        "folder = run.input_datasets['step1_data']\n"
        "run.log('found', int(open(os.path.join(folder, 'data.txt')).read()))\n",
        inputs={"step1_data": first.get_output_data("output")},
    )
    details = second.wait_for_completion()
    assert second.get_metrics() == {"found": 42}
    lineage = details["inputDatasets"][0]
    assert lineage["dataset"]["name"] == "step1_data"
    assert lineage["consumptionDetails"]["run"] == first.id
    with pytest.raises(UserErrorException, match="put out no folder 'nothing'"):
        submitted(experiment, "", inputs={"data": first.get_output_data("nothing")})


def test_what_cannot_be_submitted_is_refused(experiment: Experiment) -> None:
    with pytest.raises(UserErrorException, match=r"script = 'missing\.py'"):
        experiment.submit(ScriptRunConfig(".", "missing.py"))
    with pytest.raises(UserErrorException, match="give a ScriptRunConfig"):
        experiment.submit("train.py")
    with pytest.raises(TypeError, match="colour"):
        submitted(experiment, "", colour="red")
    with pytest.raises(ComputeTargetException, match="no-cluster not found"):
        experiment.submit(ScriptRunConfig(".", "train.py", compute_target="no-cluster"))
    with pytest.raises(RunConfigurationException, match="process_count_per_node = 0"):
        experiment.submit(
            ScriptRunConfig(".", "train.py", distributed_job_config=MpiConfiguration(0))
        )
    with pytest.raises(UserErrorException, match="either command, or script"):
        ScriptRunConfig(".", "train.py", command=["python"])
    with pytest.raises(UserErrorException, match="give a name"):
        Experiment(experiment.workspace, "")
    assert list(experiment.get_runs()) == []


def test_an_unknown_compute_target_is_one_by_its_exception() -> None:
    workspace = Workspace.from_config()
    with pytest.raises(ComputeTargetException):
        ComputeTarget(workspace, "no-cluster")
    assert "no-cluster" not in workspace.compute_targets
    assert workspace.compute_targets["local"].name == "local"


def test_a_command_and_a_run_configuration(experiment: Experiment) -> None:
    settings = RunConfiguration()
    settings.environment_variables = {"GREETING": "hello"}
    run = experiment.submit(
        ScriptRunConfig(".", command="python -c 'import os; print(os.environ[\"GREETING\"])'",
                        run_config=settings)
    )  # fmt: skip
    details = run.wait_for_completion()
    assert details["runDefinition"]["command"].startswith("python -c")
    run.download_file("user_logs/std_log.txt")
    assert Path("std_log.txt").read_text() == "hello\n"


def test_an_unknown_run_is_a_service_error(experiment: Experiment) -> None:
    with pytest.raises(ServiceException, match=r"Message: there is no run 'nosuchrun'$"):
        experiment.workspace.get_run("nosuchrun")


def test_a_script_of_no_run_gets_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunEnvironmentException):
        Run.get_context(allow_offline=False)
    run = Run.get_context()
    try:
        assert isinstance(run, _OfflineRun)
        assert run.id.startswith("OfflineRun")
        assert Run.get_context() is run
        run.log("loss", 1.0, step=3)
        assert run.get_metrics() == {"loss": 1.0}
        assert run.experiment.name == "local"
        assert run.parent is None
        assert run.input_datasets == {}
    finally:
        run.complete()
    assert run.get_status() == "Completed"


def test_a_workspace_takes_its_names_from_the_nearest_config(here: Path) -> None:
    assert Workspace.from_config().name == "local"
    named = Workspace.create("ws", subscription_id="sub", resource_group="rg", location="westus")
    assert (named.name, named.location) == ("ws", "westus")
    named.write_config()
    inner = here / "deep" / "er"
    inner.mkdir(parents=True)
    found = Workspace.from_config(str(here))
    assert (found.name, found.resource_group, found.subscription_id) == ("ws", "rg", "sub")
    (here / "bad.json").write_text("{}")
    with pytest.raises(UserErrorException, match="give subscription_id"):
        Workspace.from_config(str(here / "bad.json"))
    with pytest.raises(UserErrorException, match="no such file or folder"):
        Workspace.from_config("missing")
