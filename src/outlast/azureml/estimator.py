"""`azureml.train.estimator` and `azureml.train.dnn`: the older words for a ScriptRunConfig.

An estimator is a ScriptRunConfig whose environment and ranks are made from its keywords. Which
framework it is named after says nothing by itself: its packages are those that are asked for.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment import Environment
from outlast.azureml.exceptions import UserErrorException
from outlast.azureml.run_configuration import (
    DockerConfiguration,
    MpiConfiguration,
    PyTorchConfiguration,
    RunConfiguration,
    TensorflowConfiguration,
)
from outlast.azureml.script_config import ScriptRunConfig


class Mpi:
    """Ranks by MPI, so many on each node."""

    def __init__(self, process_count_per_node: int = 1) -> None:
        self.process_count_per_node = process_count_per_node


class Gloo:
    """Ranks by torch.distributed with Gloo, one a node."""


class Nccl:
    """Ranks by torch.distributed with NCCL, one a node."""


class ParameterServer:
    """Workers and parameter servers."""

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count


class MMLBaseEstimator(ScriptRunConfig):
    """What the estimators share."""

    @property
    def conda_dependencies(self) -> CondaDependencies:
        """The packages of its environment."""
        return self.run_config.environment.python.conda_dependencies


class Estimator(MMLBaseEstimator):
    """A script, where it runs, with which packages and in how many processes."""

    def __init__(
        self, source_directory: str, *, compute_target: Any = None,
        vm_size: Optional[str] = None, vm_priority: Optional[str] = None,
        entry_script: Optional[str] = None, script_params: Optional[Dict[str, Any]] = None,
        node_count: int = 1, process_count_per_node: int = 1,
        distributed_backend: Optional[str] = None, distributed_training: Any = None,
        use_gpu: bool = False, use_docker: bool = True,
        custom_docker_base_image: Optional[str] = None, custom_docker_image: Optional[str] = None,
        image_registry_details: Any = None, user_managed: bool = False,
        conda_packages: Optional[List[str]] = None, pip_packages: Optional[List[str]] = None,
        conda_dependencies_file_path: Optional[str] = None,
        pip_requirements_file_path: Optional[str] = None,
        conda_dependencies_file: Optional[str] = None,
        pip_requirements_file: Optional[str] = None,
        environment_variables: Optional[Dict[str, str]] = None,
        environment_definition: Optional[Environment] = None, inputs: Optional[List[Any]] = None,
        source_directory_data_store: Any = None, shm_size: Optional[str] = None,
        resume_from: Any = None, max_run_duration_seconds: Optional[int] = None,
        framework_version: Optional[str] = None, worker_count: int = 1,
        parameter_server_count: int = 1,
    ) -> None:  # fmt: skip
        """Raises UserErrorException for packages beside `environment_definition`."""
        packages = (
            conda_packages, pip_packages, conda_dependencies_file or conda_dependencies_file_path,
            pip_requirements_file or pip_requirements_file_path,
        )  # fmt: skip
        if environment_definition is not None and any(packages):
            raise UserErrorException("give environment_definition, or packages, not both")
        config = RunConfiguration()
        config.target = compute_target if compute_target is not None else "local"
        config.environment = environment_definition or _environment(*packages)
        config.environment.environment_variables.update(environment_variables or {})
        image = custom_docker_image or custom_docker_base_image
        if image:
            config.environment.docker.base_image = image
        config.docker = DockerConfiguration(use_docker, shm_size=shm_size or "2g")
        config.max_run_duration_seconds = max_run_duration_seconds
        config._distribute(
            _ranks(
                distributed_training or distributed_backend, node_count, process_count_per_node,
                ParameterServer(worker_count, parameter_server_count),
            )
        )  # fmt: skip
        config.node_count = max(config.node_count, node_count)
        super().__init__(
            source_directory, entry_script, _words(script_params or {}), config,
            resume_from=resume_from,
        )  # fmt: skip
        config.data = {f"input_{number}": one for number, one in enumerate(inputs or ())}
        self.framework_version = framework_version


class PyTorch(Estimator):
    """An estimator; PyTorch is among its packages where they are asked for."""

    FRAMEWORK_NAME = "PyTorch"
    DEFAULT_VERSION = "1.4"


class TensorFlow(Estimator):
    """An estimator; TensorFlow is among its packages where they are asked for."""

    FRAMEWORK_NAME = "TensorFlow"
    DEFAULT_VERSION = "1.13"


class Chainer(Estimator):
    """An estimator; Chainer is among its packages where they are asked for."""

    FRAMEWORK_NAME = "Chainer"
    DEFAULT_VERSION = "5.1.0"


class SKLearn(Estimator):
    """An estimator; scikit-learn is among its packages where they are asked for."""


def _environment(
    conda: Optional[List[str]], pip: Optional[List[str]], conda_file: Optional[str],
    pip_file: Optional[str],
) -> Environment:  # fmt: skip
    made = Environment("estimator")
    if pip_file is not None:
        made = Environment.from_pip_requirements("estimator", pip_file)
    if conda_file is not None:
        made.python.conda_dependencies = CondaDependencies(conda_file)
    for package in conda or ():
        made.python.conda_dependencies.add_conda_package(package)
    for package in pip or ():
        made.python.conda_dependencies.add_pip_package(package)
    return made


def _words(parameters: Dict[str, Any]) -> List[Any]:
    """{"--lr": 0.1, "--fast": ""} as the script's words."""
    words: List[Any] = []
    for name, value in parameters.items():
        words += [name] if value in ("", None) else [name, value]
    return words


def _ranks(asked: Any, nodes: int, each: int, servers: ParameterServer) -> Any:
    """The distributed configuration for a backend's name or class."""
    if isinstance(asked, ParameterServer) or asked == "ps":
        servers = asked if isinstance(asked, ParameterServer) else servers
        return TensorflowConfiguration(servers.worker_count, servers.parameter_server_count)
    if isinstance(asked, (Gloo, Nccl)) or asked in ("gloo", "nccl"):
        name = asked if isinstance(asked, str) else type(asked).__name__
        return PyTorchConfiguration(name.capitalize(), nodes * each, nodes)
    if isinstance(asked, Mpi):
        return MpiConfiguration(asked.process_count_per_node, nodes)
    if asked == "mpi" or each > 1:
        return MpiConfiguration(each, nodes)
    if asked is None or isinstance(asked, (MpiConfiguration, PyTorchConfiguration)):
        return asked
    raise UserErrorException(f"distributed_training = {asked!r}: give Mpi(), Gloo(), Nccl() or ps")
