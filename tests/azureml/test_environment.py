"""Environments as scripts define them, and what a run's spec makes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment import Environment
from outlast.azureml.exceptions import ServiceException, UserErrorException
from outlast.azureml.experiment import Experiment
from outlast.azureml.run_configuration import RunConfiguration
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace
from outlast.run.environment import checked


def test_packages_become_the_specs_environment() -> None:
    made = Environment("train-env")
    made.python.conda_dependencies = CondaDependencies.create(
        conda_packages=["scikit-learn", "pip"],
        pip_packages=["azureml-defaults", "joblib==1.4"],
        pip_indexurl="https://example.org/simple",
    )
    assert made._spec() == {
        "name": "train-env",
        "kind": "conda",
        "conda": ["scikit-learn", "pip"],
        "pip": ["joblib==1.4"],
        "channels": ["anaconda", "conda-forge"],
        "index_url": "https://example.org/simple",
    }
    assert checked("environment", made._spec()) == made._spec()
    assert Environment._of_spec(made._spec())._spec()["pip"] == ["joblib==1.4"]


def test_pip_alone_and_a_python_that_is_asked_for() -> None:
    made = Environment("pip-env")
    made.python.conda_dependencies.add_pip_package("numpy")
    made.python.conda_dependencies.add_pip_package("numpy==2.0")  # in its place
    made.python.conda_dependencies.add_conda_package("python=3.11")
    assert made._spec() == {
        "name": "pip-env", "kind": "pip", "pip": ["numpy==2.0"], "python": "3.11",
    }  # fmt: skip
    assert checked("environment", made._spec()) == made._spec()


def test_without_packages_it_is_the_callers_own() -> None:
    made = Environment("default-environment")
    assert made._spec() == {}
    made.python.user_managed_dependencies = True
    assert made._spec() == {}
    made.python.interpreter_path = "/opt/python/bin/python"
    existing = {"kind": "existing", "interpreter": "/opt/python/bin/python"}
    assert made._spec() == {"name": "default-environment", **existing}
    copy = made.clone("copy")
    copy.python.interpreter_path = "python"
    assert (copy.name, made.python.interpreter_path) == ("copy", "/opt/python/bin/python")


def test_requirements_are_read(here: Path) -> None:
    (here / "requirements.txt").write_text("# models\nnumpy>=1.26  # arrays\n\npandas\n")
    made = Environment.from_pip_requirements("req", "requirements.txt")
    assert made.python.conda_dependencies.pip_packages == ["numpy>=1.26", "pandas"]
    with pytest.raises(UserErrorException, match=r"missing\.txt"):
        Environment.from_pip_requirements("req", "missing.txt")


def test_a_conda_file_is_read(here: Path) -> None:
    (here / "environment.yml").write_text(
        "name: theirs\nchannels: [conda-forge]\n"
        "dependencies:\n- python=3.11\n- scikit-learn\n- pip:\n  - azureml-defaults\n  - joblib\n"
    )
    made = Environment.from_conda_specification("mine", "environment.yml")
    assert made._spec() == {
        "name": "mine", "kind": "conda", "python": "3.11", "conda": ["scikit-learn"],
        "pip": ["joblib"], "channels": ["conda-forge"],
    }  # fmt: skip
    with pytest.raises(UserErrorException, match=r"missing\.yml"):
        Environment.from_conda_specification("mine", "missing.yml")


def test_a_registered_environment_has_versions() -> None:
    workspace = Workspace.from_config()
    made = Environment("shared-env")
    made.python.conda_dependencies.add_pip_package("joblib")
    made.environment_variables["MODE"] = "fast"
    assert made.register(workspace).version == "1"
    made.python.conda_dependencies.add_pip_package("tqdm")
    assert made.register(workspace).version == made.version == "2"
    first = Environment.get(workspace, "shared-env", version="1")
    assert first.python.conda_dependencies.pip_packages == ["joblib"]
    assert first.environment_variables == {"MODE": "fast"}
    assert Environment.get(workspace, "shared-env").version == "2"
    assert workspace.environments["shared-env"].version == "2"
    with pytest.raises(ServiceException, match="nothing"):
        Environment.get(workspace, "nothing")


def test_conda_text_says_what_is_asked_for() -> None:
    made = CondaDependencies.create(["https://x.org"][0], ["a"], ["b"], python_version="3.11")
    assert made.serialize_to_string().splitlines() == [
        "name: project_environment", "dependencies:", "- python=3.11", "- pip:",
        "  - --index-url https://x.org", "  - a", "- b", "channels:", "- anaconda",
        "- conda-forge",
    ]  # fmt: skip
    assert made.as_dict()["dependencies"][0] == "python=3.11"


def test_a_run_has_its_environments_interpreter_and_variables(experiment: Experiment) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], check=True)
    made = Environment("mine")
    made.python.user_managed_dependencies = True
    made.python.interpreter_path = str(Path("venv/bin/python").absolute())
    made.environment_variables["GREETING"] = "hello"
    settings = RunConfiguration()
    settings.environment = made
    Path("src").mkdir()
    Path("src/train.py").write_text(
        "import os, sys\nfrom azureml.core import Run\nrun = Run.get_context()\n"
        "run.log('prefix', sys.prefix)\nrun.log('greeting', os.environ['GREETING'])\n"
    )
    run = experiment.submit(ScriptRunConfig("src", "train.py", run_config=settings))
    run.wait_for_completion(show_output=True)
    found = run.get_metrics()
    assert found == {"prefix": str(Path("venv").absolute()), "greeting": "hello"}
    assert run.get_environment().python.interpreter_path == made.python.interpreter_path
