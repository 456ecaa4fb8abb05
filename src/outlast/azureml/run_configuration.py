"""`azureml.core.runconfig`: RunConfiguration and its sections. Plain settings; nothing is done."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment import Environment
from outlast.azureml.exceptions import RunConfigurationException

LOCAL = "local"


class DockerConfiguration:
    """Whether and how a container is used. Kept with the run, not acted on."""

    def __init__(
        self, use_docker: bool = False, shared_volumes: bool = True,
        arguments: Optional[List[str]] = None, shm_size: str = "2g",
    ) -> None:  # fmt: skip
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = list(arguments or [])
        self.shm_size = shm_size


class MpiConfiguration:
    """Ranks by MPI."""

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        self.process_count_per_node = process_count_per_node
        self.node_count = node_count


class PyTorchConfiguration:
    """Ranks by torch.distributed; `process_count` is the total, None one a node."""

    def __init__(
        self, communication_backend: str = "Nccl", process_count: Optional[int] = None,
        node_count: int = 1,
    ) -> None:  # fmt: skip
        self.communication_backend = communication_backend
        self.process_count = process_count
        self.node_count = node_count


class TensorflowConfiguration:
    """Workers and parameter servers of TensorFlow."""

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count


class HistoryConfiguration:
    """What Azure ML collects; Outlast always collects."""

    def __init__(self) -> None:
        self.output_collection = True
        self.snapshot_project = True
        self.directories_to_watch = ["logs"]


class AmlComputeConfiguration:
    """A cluster that is made for one run."""

    def __init__(self) -> None:
        self.vm_size: Optional[str] = None
        self.vm_priority: Optional[str] = None
        self.retain_cluster = False
        self.cluster_max_node_count = 1


class RunConfiguration:
    """Where and in what a script runs."""

    def __init__(
        self, script: Optional[str] = None, arguments: Optional[List[Any]] = None,
        framework: Optional[str] = None, communicator: Optional[str] = None,
        conda_dependencies: Optional[CondaDependencies] = None,
        _history_enabled: Any = None, _path: Any = None, _name: Any = None,
        command: Union[str, List[Any], None] = None,
    ) -> None:  # fmt: skip
        self.script = script
        self.arguments: List[Any] = list(arguments or [])
        self.command = command
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.environment = Environment("default-environment")
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self.environment_variables: Dict[str, str] = {}
        self.node_count = 1
        self.max_run_duration_seconds: Optional[int] = None
        self.priority: Optional[int] = None
        self.data: Dict[str, Any] = {}
        self.data_references: Dict[str, Any] = {}
        self.output_data: Dict[str, Any] = {}
        self.history = HistoryConfiguration()
        self.docker = DockerConfiguration()
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.amlcompute = AmlComputeConfiguration()
        self.services: Dict[str, Any] = {}
        self.source_directory_data_store: Optional[str] = None
        self._target = LOCAL

    @property
    def target(self) -> str:
        """The name of the compute target; "local" is this machine."""
        return self._target

    @target.setter
    def target(self, value: Any) -> None:
        name = value if isinstance(value, str) else getattr(value, "name", None)
        if not isinstance(name, str) or not name:
            raise RunConfigurationException(
                f"target = {value!r}: give a compute target or its name"
            )
        self._target = name

    def _check_single(self) -> None:
        """Raises RunConfigurationException for more processes than one: none start ranks yet."""
        asked = {
            "IntelMpi": self.mpi.process_count_per_node,
            "Nccl": self.pytorch.process_count or 1,
            "ParameterServer": self.tensorflow.worker_count,
        }
        if self.node_count * asked.get(self.communicator, 1) > 1:
            raise RunConfigurationException(
                "more than one process is asked for, and ranks aren't started yet; leave "
                "distributed_job_config out, or start them in a command, as with torchrun"
            )

    def _distribute(self, asked: Any) -> None:
        """Take over one of the distributed configurations."""
        if asked is None:
            return
        if isinstance(asked, PyTorchConfiguration):
            self.framework, self.communicator, self.pytorch = "PyTorch", "Nccl", asked
            self.node_count = asked.node_count
        elif isinstance(asked, TensorflowConfiguration):
            self.framework, self.communicator = "Tensorflow", "ParameterServer"
            self.tensorflow = asked
        elif isinstance(asked, MpiConfiguration):
            self.communicator, self.mpi = "IntelMpi", asked
            self.node_count = asked.node_count
        else:
            raise RunConfigurationException(
                f"distributed_job_config = {asked!r}: give an MpiConfiguration, a "
                "PyTorchConfiguration or a TensorflowConfiguration"
            )
