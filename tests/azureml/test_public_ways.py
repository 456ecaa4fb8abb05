"""Ways of public scripts and notebooks that differ from what one would write anew."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from outlast.azureml.authentication import AbstractAuthentication, MsiAuthentication
from outlast.azureml.dataset import Dataset
from outlast.azureml.environment import Environment
from outlast.azureml.exceptions import (
    ActivityFailedException,
    ComputeTargetException,
    UserErrorException,
    WebserviceException,
)
from outlast.azureml.experiment import Experiment
from outlast.azureml.model import Model
from outlast.azureml.names import load, why_absent
from outlast.azureml.resource_configuration import ResourceConfiguration
from outlast.azureml.run import Run
from outlast.azureml.script_config import ScriptRunConfig
from tests.sdk.place import Place


def submitted(experiment: Experiment, script: str, **options: Any) -> Run:
    Path("train.py").write_text(script)
    return experiment.submit(ScriptRunConfig(".", "train.py", **options))


def test_properties_are_added_to_a_run_that_is_over_once_each(experiment: Experiment) -> None:
    run = submitted(experiment, "print('done')")
    run.wait_for_completion()
    run.add_properties({"author": "me"})
    run.add_properties({"author": "me"})
    with pytest.raises(UserErrorException, match="'author' is 'me' and can't change"):
        run.add_properties({"author": "you"})
    assert run.get_properties()["author"] == "me"
    assert [one.id for one in experiment.get_runs(properties={"author": "me"})] == [run.id]


def test_arguments_of_a_run_are_found_by_their_older_key_too(experiment: Experiment) -> None:
    run = submitted(experiment, "print('done')", arguments=["--lr", 0.5])
    run.wait_for_completion()
    told = run.get_details()["runDefinition"]
    assert told["arguments"] == told["Arguments"] == ["--lr", "0.5"]
    assert "Arguments" not in told
    with pytest.raises(KeyError, match="Argument'"):
        told["Argument"]


def test_a_dataset_may_be_named_in_words(experiment: Experiment) -> None:
    Path("data.csv").write_text("a\n1\n")
    made = Dataset.Tabular.from_delimited_files("data.csv")
    ws = experiment.workspace
    made.register(ws, "diabetes dataset", create_new_version=True)
    found = ws.datasets.get("diabetes dataset")
    assert found.to_pandas_dataframe().a.tolist() == [1]
    script = "from azureml.core import Run\n"
    script += "print(len(Run.get_context().input_datasets['table'].to_pandas_dataframe()))"
    run = submitted(experiment, script, arguments=[found.as_named_input("table")])
    run.wait_for_completion()
    assert run.properties["input.table"].startswith("diabetes dataset:1 sha256:")
    for wrong in (" a", "a ", "a/b", ""):
        with pytest.raises(UserErrorException, match="or blanks"):
            made.register(ws, wrong)


def test_an_interactive_run_makes_outputs_and_collects_it(experiment: Experiment) -> None:
    first = experiment.start_logging()
    Path("outputs/model.txt").write_text("weights")
    first.upload_file("outputs/model.txt", "outputs/model.txt")
    first.complete()
    assert first.get_status() == "Completed"  # its outputs are stored
    second = experiment.start_logging()
    Path("outputs/more.txt").write_text("more")
    second.complete()
    assert first.get_file_names() == ["outputs/model.txt"]
    assert second.get_file_names() == ["outputs/more.txt"]
    assert second.get_details()["warnings"] == []


def test_an_interactive_run_collects_another_folder_or_none(experiment: Experiment) -> None:
    with experiment.start_logging(outputs="made/here") as run:
        Path("made/here/a").write_text("a")
    with experiment.start_logging(outputs=False):
        assert not Path("outputs").exists()
    assert run.get_file_names() == ["made/here/a"]


def test_details_of_a_run_that_just_began_say_so(experiment: Experiment) -> None:
    for _ in range(3):
        with experiment.start_logging() as run:
            details = run.get_details()
            assert details["status"] == run.get_status() == "Running"
            assert details["startTimeUtc"]


def test_the_snapshot_of_a_run_is_restored_as_a_zip_file(experiment: Experiment) -> None:
    run = submitted(experiment, "print('as it was')")
    Path("train.py").write_text("changed")
    Path("restored").mkdir()
    path = run.restore_snapshot(run.get_details()["properties"]["ContentSnapshotId"], "restored")
    assert path == str(Path(f"restored/{run.get_snapshot_id()}.zip").absolute())
    with zipfile.ZipFile(path) as archive:
        assert archive.read("train.py") == b"print('as it was')"
    assert run.restore_snapshot(path="code.zip") == str(Path("code.zip").absolute())
    assert [one.name for one in Path("restored").iterdir()] == [Path(path).name]
    with pytest.raises(UserErrorException, match="snapshot_id = 'other'"):
        run.restore_snapshot("other")
    run.wait_for_completion()


def test_what_is_refused_is_caught_where_scripts_look_for_it(experiment: Experiment) -> None:
    service = load("azureml.core.webservice", "Webservice")
    with pytest.raises(WebserviceException, match="serves none"):
        service(experiment.workspace, "my-service").delete()
    with pytest.raises(ComputeTargetException, match="AksCompute"):
        load("azureml.core.compute", "AksCompute")(experiment.workspace, "my-aks")
    with pytest.raises(WebserviceException, match="nothing not found"):
        Model(experiment.workspace, "nothing")


@pytest.mark.parametrize("name", ["azureml.explain.model", "azureml.contrib.interpret.x"])
def test_a_package_that_is_not_served_says_what_is_nearest(name: str) -> None:
    assert "interpret or shap" in why_absent(name)


def test_an_environment_of_azures_is_this_interpreter(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Environment.get(workspace=experiment.workspace, name="AzureML-Minimal")
    assert "AzureML-Minimal: one of Azure's" in capsys.readouterr().out
    run = submitted(experiment, "import outlast", environment=made)
    run.wait_for_completion()
    assert run.get_environment().name == "AzureML-Minimal"
    with pytest.raises(Exception, match="there is no environment 'mine'"):
        Environment.get(experiment.workspace, "mine")


def test_a_model_keeps_what_it_would_be_served_with(experiment: Experiment) -> None:
    Path("model.pkl").write_text("weights")
    wish = ResourceConfiguration(cpu=1, memory_in_gb=0.5)
    made = Model.register(
        experiment.workspace, "model.pkl", "wishful", resource_configuration=wish
    )  # fmt: skip
    assert made.resource_configuration.serialize() == wish.serialize()
    assert Model.register(experiment.workspace, "model.pkl", "plain").resource_configuration is None
    assert ResourceConfiguration.deserialize(None) is None
    assert isinstance(MsiAuthentication(), AbstractAuthentication)


def test_mlflow_has_a_database_of_its_own(experiment: Experiment, place: Place) -> None:
    told = experiment.workspace.get_mlflow_tracking_uri()
    assert told == f"sqlite:///{place.home}/mlflow.db"


def test_the_exception_of_a_failed_run_tells_the_scripts_own(experiment: Experiment) -> None:
    run = submitted(experiment, "raise ValueError('no such luck')")
    with pytest.raises(ActivityFailedException, match=r"ValueError: no such luck \(train\.py:1\)"):
        run.wait_for_completion()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("python train.py --a 'b c' && echo $WORD", ["['--a', 'b c']", "hello"]),
        (["python train.py 1 2 | tr 1 3"], ["['3', '2']"]),
        (["python", "train.py", "a b", "&&", "echo", "$WORD"], ["['a', 'b']", "hello"]),
        (["python", "train.py", "a b", "$WORD"], ["['a b', '$WORD']"]),
        ("python train.py 'a b'", ["['a b']"]),
    ],
)
def test_a_command_is_a_line_for_a_shell_where_it_needs_one(
    experiment: Experiment, command: Any, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # where another Python is, or none
    Path("train.py").write_text("import sys, click\nprint(sys.argv[1:], flush=True)")
    asked = ScriptRunConfig(".", command=command)
    asked.run_config.environment_variables = {"WORD": "hello"}
    run = experiment.submit(asked)
    run.wait_for_completion(raise_on_error=False)
    run.download_file("user_logs/std_log.txt")
    assert Path("std_log.txt").read_text().splitlines() == printed
