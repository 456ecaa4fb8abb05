"""Run configurations as files, environments as files, and the older estimators."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment import Environment
from outlast.azureml.environment_sections import SparkPackage
from outlast.azureml.estimator import Estimator, PyTorch
from outlast.azureml.exceptions import UserErrorException
from outlast.azureml.experiment import Experiment
from outlast.azureml.run_configuration import MpiConfiguration, RunConfiguration
from outlast.azureml.run_configuration_file import document
from outlast.azureml.workspace import Workspace

# As Azure ML writes it, with a comment, a field that nobody knows, and the conda file beside.
SAVED = """
# The script to run.
script: train.py
arguments: [--lr, 0.1]
target: cpu-cluster
framework: PyTorch
communicator: IntelMpi
nodeCount: 2
maxRunDurationSeconds: 3600
someFieldOfTomorrow: 1
environment:
  name: project
  environmentVariables: {GREETING: hello}
  python:
    userManagedDependencies: false
    interpreterPath: python
    condaDependenciesFile: .azureml/conda_dependencies.yml
  docker: {enabled: true, baseImage: ubuntu, arguments: [--ipc=host]}
mpi: {processCountPerNode: 3}
tensorflow: {workerCount: 2, parameterServerCount: 1}
history: {outputCollection: true, directoriesToWatch: [logs, more]}
dataReferences:
  data: {dataStoreName: workspaceblobstore, mode: mount, pathOnDataStore: a/b, overwrite: false}
"""
CONDA = "dependencies:\n- python=3.11\n- pip:\n  - numpy==2.0\n- scipy\nchannels: [conda-forge]\n"


def whole() -> RunConfiguration:
    config = RunConfiguration("train.py", ["--lr", 0.1])
    config.target = "cpu-cluster"
    config._distribute(MpiConfiguration(2, 3))
    config.max_run_duration_seconds = 60
    config.environment_variables = {"A": "b"}
    packages = CondaDependencies.create(pip_packages=["numpy"], conda_packages=["scipy"])
    config.environment.python.conda_dependencies = packages
    config.environment.spark.packages = [SparkPackage("g", "a", "1")]
    config.docker.use_docker, config.history.directories_to_watch = True, ["logs", "x"]
    return config


@pytest.mark.parametrize("is_separate", [False, True])
def test_a_configuration_comes_back_as_it_was_saved(here: Path, is_separate: bool) -> None:
    config = whole()
    config.save(str(here), "mine", separate_environment_yaml=is_separate)
    assert here.joinpath(".azureml", "mine.runconfig").exists()
    again = RunConfiguration.load(str(here), "mine")
    assert document(again) == document(config)
    assert again._ranks() == {"nodes": 3, "processes_per_node": 2, "kind": "mpi"}
    RunConfiguration.delete(str(here), "mine")
    with pytest.raises(UserErrorException, match=r"no run configuration mine\.runconfig"):
        RunConfiguration.load(str(here), "mine")


def test_a_file_of_azure_ml_is_read_with_the_conda_file_beside_it(here: Path) -> None:
    here.joinpath(".azureml").mkdir()
    place = here / ".azureml" / "project.runconfig"
    place.write_text(SAVED)
    here.joinpath(".azureml", "conda_dependencies.yml").write_text(CONDA)
    config = RunConfiguration.load(str(place))
    assert (config.script, config.arguments) == ("train.py", ["--lr", 0.1])
    assert (config.target, config.node_count, config.mpi.process_count_per_node) == (
        "cpu-cluster", 2, 3,
    )  # fmt: skip
    assert config.environment.docker.base_image == "ubuntu"
    assert config.environment_variables == {"GREETING": "hello"}
    packages = config.environment.python.conda_dependencies
    assert list(packages.pip_packages) == ["numpy==2.0"]
    assert (list(packages.conda_packages), packages.get_python_version()) == (["scipy"], "3.11")
    assert config.history.directories_to_watch == ["logs", "more"]
    assert config.data_references["data"].path_on_data_store == "a/b"


def test_a_file_that_is_no_yaml_is_said(here: Path) -> None:
    here.joinpath("bad.runconfig").write_text("a: [")
    with pytest.raises(UserErrorException, match="can't be read"):
        RunConfiguration.load(str(here / "bad.runconfig"))


def test_an_environment_goes_into_a_folder_and_comes_back(here: Path) -> None:
    made = Environment.from_dockerfile("image", "FROM ubuntu\n")
    made.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy"])
    made.environment_variables = {"A": "b"}
    made.save_to_directory("saved")
    with pytest.raises(UserErrorException, match="overwrite"):
        made.save_to_directory("saved")
    made.save_to_directory("saved", overwrite=True)
    again = Environment.load_from_directory("saved")
    assert again._document() == made._document()
    assert again.docker.base_dockerfile == "FROM ubuntu\n"
    with pytest.raises(UserErrorException, match=r"azureml_environment\.json"):
        Environment.load_from_directory("elsewhere")


def test_conda_dependencies_are_read_from_their_file(here: Path) -> None:
    Path("conda.yml").write_text(CONDA)
    found = CondaDependencies(conda_dependencies_file_path="conda.yml")
    assert (list(found.pip_packages), found.conda_channels) == (["numpy==2.0"], ["conda-forge"])
    name = found.save_to_file("saved", "my/conda.yml")
    again = CondaDependencies(str(here / "saved" / name))
    assert again.serialize_to_string() == found.serialize_to_string()
    with pytest.raises(UserErrorException, match="can't be read"):
        CondaDependencies("nowhere.yml")


def test_a_conda_environment_that_isnt_there_is_said() -> None:
    with pytest.raises(UserErrorException, match="no such conda environment"):
        Environment.from_existing_conda_environment("x", "no-such-environment")


def test_building_an_environment_makes_it(here: Path) -> None:
    details = Environment("plain").build(Workspace.from_config())
    details.wait_for_completion(show_output=True)
    assert details.status == "Succeeded"
    assert details.get_log() == ""


def test_an_estimator_is_a_script_with_its_words(experiment: Experiment, here: Path) -> None:
    Path("train.py").write_text("import sys; print(sys.argv[1:])\n")
    run = experiment.submit(
        Estimator(".", entry_script="train.py", script_params={"--lr": 0.1, "--fast": ""})
    )
    run.wait_for_completion()
    assert (
        "['--lr', '0.1', '--fast']"
        in b"".join(piece.data for piece in run._handle().output_so_far()).decode()
    )


def test_estimators_say_ranks_and_packages_in_their_own_words(here: Path) -> None:
    made = PyTorch(
        ".", entry_script="train.py", node_count=2, distributed_backend="nccl",
        pip_packages=["torch"], use_gpu=True,
    )  # fmt: skip
    assert made.run_config._ranks() == {"nodes": 2, "processes_per_node": 1, "kind": "torch"}
    assert list(made.conda_dependencies.pip_packages) == ["torch"]
    with pytest.raises(UserErrorException, match="not both"):
        Estimator(".", pip_packages=["a"], environment_definition=Environment("e"))
