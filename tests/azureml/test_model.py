"""Models as scripts for Azure ML register, find and fetch them."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.azureml.exceptions import (
    ModelNotFoundException,
    ModelPathNotFoundException,
    UserErrorException,
    WebserviceException,
)
from outlast.azureml.experiment import Experiment
from outlast.azureml.model import Model
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace


@pytest.fixture
def workspace() -> Workspace:
    return Workspace.from_config()


def test_local_files_become_versions(workspace: Workspace, here: Path) -> None:
    Path("model.pkl").write_text("first")
    first = Model.register(
        workspace, model_path="model.pkl", model_name="diabetes", tags={"type": "regression"},
        description="ridge", model_framework=Model.Framework.SCIKITLEARN,
    )  # fmt: skip
    Path("model.pkl").write_text("second")
    second = Model.register(workspace, "model.pkl", "diabetes", tags=["plain"])
    assert (first.id, second.id) == ("diabetes:1", "diabetes:2")
    assert (first.tags, first.description) == ({"type": "regression"}, "ridge")
    assert first.model_framework == "ScikitLearn"
    assert Model(workspace, "diabetes").version == 2
    assert Model(workspace, "diabetes", version=1).id == Model(workspace, id="diabetes:1").id
    assert Model(workspace, "diabetes", tags=[["type", "regression"]]).version == 1
    assert [model.version for model in Model.list(workspace, "diabetes")] == [2, 1]
    assert [model.version for model in Model.list(workspace, "diabetes", latest=True)] == [2]
    assert workspace.models["diabetes"].version == 2

    assert Path(first.download("fetched")).read_text() == "first"
    with pytest.raises(WebserviceException, match="exist_ok"):
        first.download("fetched")
    first.download("fetched", exist_ok=True)
    assert Path(Model.get_model_path("diabetes", _workspace=workspace)).read_text() == "second"
    assert Path(Model.get_model_path("diabetes", 1)).read_text() == "first"

    second.add_tags({"stage": "new"})
    second.update(description="better", tags={"stage": "old"})
    assert (second.tags, second.description) == ({"stage": "old"}, "better")
    second.delete()
    assert Model(workspace, "diabetes").version == 1


def test_what_is_not_there_is_said(workspace: Workspace) -> None:
    with pytest.raises(ModelNotFoundException, match="nothing not found"):
        Model(workspace, "nothing")
    with pytest.raises(ModelNotFoundException):
        Model(workspace, "nothing", version=3)
    with pytest.raises(ModelPathNotFoundException, match=r"missing\.pkl"):
        Model.register(workspace, "missing.pkl", "nothing")
    assert Model.list(workspace, "nothing") == []
    with pytest.raises(UserErrorException, match=r"Model\.deploy.*serves none.*download_file"):
        Model.deploy(workspace, "service", [])


def test_a_run_registers_what_it_uploaded(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        Path("net.pt").write_text("weights")
        run.upload_file("outputs/net.pt", "net.pt")
        model = run.register_model("net", "outputs/net.pt", tags={"k": 1})
        assert model.version == 1
    assert model.run_id == run.id
    assert model.run.id == run.id
    assert model.tags == {"k": "1"}
    again = run.register_model("net", model_path="outputs/net.pt")  # when it is over too
    assert again.version == 2


def test_a_submitted_run_registers_its_outputs(experiment: Experiment) -> None:
    Path("train.py").write_text(
        "import os\nfrom azureml.core import Run\nrun = Run.get_context()\n"
        "os.makedirs('outputs', exist_ok=True)\nopen('outputs/m.pkl', 'w').write('weights')\n"
        "run.register_model(model_name='inner', model_path='outputs/m.pkl')\n"
    )
    run = experiment.submit(ScriptRunConfig(".", "train.py"))
    run.wait_for_completion()
    outer = run.register_model(model_name="outer", model_path="outputs/m.pkl")
    assert outer.version == 1
    inner = Model(experiment.workspace, "inner")
    assert inner.run_id == outer.run_id == run.id
    assert Path(inner.download()).read_text() == "weights"
    with pytest.raises(UserErrorException, match=r"missing\.pkl"):
        run.register_model("missing", "outputs/missing.pkl")
