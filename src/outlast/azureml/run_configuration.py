"""`azureml.core.runconfig`: RunConfiguration and its sections. Plain settings; nothing is done.

`.runconfig` files are read and written by `run_configuration_file`. What only Azure acts on (Spark,
HDInsight, the container's shared memory) is kept with the run and not acted on.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from outlast.azureml import run_configuration_file as files
from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment import Environment
from outlast.azureml.exceptions import RunConfigurationException

LOCAL = "local"
MPI_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
MPI_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04"


class DockerConfiguration:
    """Whether and how a container is used. Kept with the run, not acted on."""

    def __init__(
        self, use_docker: bool = False, shared_volumes: bool = True,
        arguments: Optional[List[str]] = [],  # noqa: B006  # never changed: it is copied
        shm_size: Optional[str] = "2g",
    ) -> None:  # fmt: skip
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = list(arguments or [])
        self.shm_size = shm_size


class MpiConfiguration:
    """Ranks that know themselves by Open MPI's variables."""

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


class ParallelTaskConfiguration:
    """Workers of a parallel task."""

    def __init__(self) -> None:
        self.max_retries_per_worker = 0
        self.worker_count_per_node = 1
        self.terminal_exit_codes: Optional[List[int]] = None


class SparkConfiguration:
    """Settings of Spark. Kept, not used."""

    def __init__(self) -> None:
        self.configuration: Dict[str, str] = {}


class HdiConfiguration:
    """Settings of HDInsight. Kept, not used."""

    def __init__(self) -> None:
        self.yarn_deploy_mode = "cluster"


class KubernetesComputeConfiguration:
    """Settings of a Kubernetes cluster. Kept, not used."""

    def __init__(self) -> None:
        self.instance_type: Optional[str] = None


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
        self.node_count = 1
        self.max_run_duration_seconds: Optional[int] = None
        self.priority: Optional[int] = None
        self.credential_passthrough = False
        self.auto_cluster_compute_specification: Any = None
        self.data: Dict[str, Any] = {}
        self.data_references: Dict[str, Any] = {}
        self.datacaches: Optional[List[Any]] = None
        self.output_data: Dict[str, Any] = {}
        self.history = HistoryConfiguration()
        self.docker = DockerConfiguration()
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.paralleltask = ParallelTaskConfiguration()
        self.amlcompute = AmlComputeConfiguration()
        self.kubernetescompute = KubernetesComputeConfiguration()
        self.spark = SparkConfiguration()
        self.hdi = HdiConfiguration()
        self.services: Dict[str, Any] = {}
        self.source_directory_data_store: Optional[str] = None
        self._target = LOCAL
        self._name: Optional[str] = _name
        self._path: Optional[str] = _path

    def __repr__(self) -> str:
        return f"RunConfiguration(target={self.target!r}, environment={self.environment.name!r})"

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

    @property
    def environment_variables(self) -> Dict[str, str]:
        """Those of the environment, which the run gets beside the caller's."""
        return self.environment.environment_variables

    @environment_variables.setter
    def environment_variables(self, value: Optional[Dict[str, str]]) -> None:
        self.environment.environment_variables = dict(value or {})

    @property
    def auto_prepare_environment(self) -> bool:
        """Always: an environment is built before the script starts."""
        return True

    @auto_prepare_environment.setter
    def auto_prepare_environment(self, value: bool) -> None:
        """Accepted, and not acted on."""

    def save(
        self, path: Optional[str] = None, name: Optional[str] = None,
        separate_environment_yaml: bool = False,
    ) -> None:  # fmt: skip
        """Write it as YAML: to the file `path`, or to `.azureml/NAME.runconfig` in that folder."""
        files.save(self, path, name, separate_environment_yaml)

    @staticmethod
    def load(path: str, name: Optional[str] = None) -> RunConfiguration:
        """Read one that was saved. Raises UserErrorException without the file."""
        return files.load(RunConfiguration(), path, name)

    @staticmethod
    def delete(path: str, name: Optional[str]) -> None:
        """Remove its file. Raises UserErrorException without one."""
        files.delete(path, name)

    def _ranks(self) -> Dict[str, Any]:
        """The `distributed` of a run's spec; {} for one plain process.

        Raises RunConfigurationException for counts that don't go together.
        """
        nodes = _count("node_count", self.node_count or 1)
        communicator = str(self.communicator or "None").lower()
        if communicator in ("intelmpi", "openmpi", "mpi", "horovod"):
            each = _count("process_count_per_node", self.mpi.process_count_per_node)
            return {"nodes": nodes, "processes_per_node": each, "kind": "mpi"}
        if communicator == "parameterserver":
            workers = _count("worker_count", self.tensorflow.worker_count)
            servers = self.tensorflow.parameter_server_count or 0
            return {"nodes": workers, "kind": "tensorflow", "parameter_servers": servers}
        if communicator in ("nccl", "gloo", "pytorch"):
            total = _count("process_count", self.pytorch.process_count or nodes)
            if total % nodes:
                raise RunConfigurationException(
                    f"process_count = {total}: give a multiple of node_count, which is {nodes}"
                )
            return {"nodes": nodes, "processes_per_node": total // nodes, "kind": "torch"}
        return {"nodes": nodes, "kind": "torch"} if nodes > 1 else {}

    def _distribute(self, asked: Any) -> None:
        """Take over one of the distributed configurations."""
        if asked is None:
            return
        if isinstance(asked, PyTorchConfiguration):
            self.framework, self.communicator = "PyTorch", asked.communication_backend
            self.pytorch, self.node_count = asked, asked.node_count
        elif isinstance(asked, TensorflowConfiguration):
            self.framework, self.communicator = "Tensorflow", "ParameterServer"
            self.tensorflow = asked
            self.node_count = max(asked.worker_count, asked.parameter_server_count)
        elif isinstance(asked, MpiConfiguration):
            self.communicator, self.mpi = "IntelMpi", asked
            self.node_count = asked.node_count
        else:
            raise RunConfigurationException(
                f"distributed_job_config = {asked!r}: give an MpiConfiguration, a "
                "PyTorchConfiguration or a TensorflowConfiguration"
            )


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RunConfigurationException(f"{field} = {value!r}: give a whole number of at least 1")
    return value
