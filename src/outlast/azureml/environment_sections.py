"""The parts of `azureml.core.Environment`: Python, and what is kept and not acted on."""

from __future__ import annotations

from enum import Enum
from typing import Any, Dict, List, Optional

from outlast.azureml.conda_dependencies import CondaDependencies

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04"


class RegistryIdentity:
    """Who asks a registry for an image. Kept, not used."""

    def __init__(self) -> None:
        self.resource_id: Optional[str] = None
        self.client_id: Optional[str] = None


class ContainerRegistry:
    """Where an image would come from. Kept, not used."""

    def __init__(self) -> None:
        self.address: Optional[str] = None
        self.username: Optional[str] = None
        self.password: Optional[str] = None
        self.registry_identity: Optional[RegistryIdentity] = None


class PythonSection:
    """Which Python, with what."""

    def __init__(self, **kwargs: Any) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.conda_dependencies = CondaDependencies()
        self.base_conda_environment: Optional[str] = None
        self._file: Optional[str] = None

    @property
    def conda_dependencies_file(self) -> Optional[str]:
        """The conda file that it was read from; setting it reads that file."""
        return self._file

    @conda_dependencies_file.setter
    def conda_dependencies_file(self, value: Optional[str]) -> None:
        self._file = value
        if value is not None:
            self.conda_dependencies = CondaDependencies(value)


class DockerImagePlatform:
    """What an image would be built for. Kept, not used."""

    def __init__(self) -> None:
        self.os = "Linux"
        self.architecture = "amd64"


class DockerBuildContext:
    """A folder with a Dockerfile. Kept, not built."""

    class LocationType(Enum):
        """Where the folder is."""

        Git = "git"
        StorageAccount = "storageaccount"

    def __init__(
        self, location_type: Any = None, location: Optional[str] = None,
        dockerfile_path: str = "Dockerfile",
    ) -> None:  # fmt: skip
        self.location_type = location_type
        self.location = location
        self.dockerfile_path = dockerfile_path

    @staticmethod
    def from_local_directory(
        workspace: Any, path: str, dockerfile_path: str = "Dockerfile"
    ) -> DockerBuildContext:
        """A folder of this machine."""
        return DockerBuildContext(None, path, dockerfile_path)


class DockerSection:
    """Which image. Kept with the run, not used: Outlast starts no containers yet."""

    def __init__(self, **kwargs: Any) -> None:
        self.enabled = False
        self.base_image: Optional[str] = DEFAULT_CPU_IMAGE
        self.base_dockerfile: Optional[str] = None
        self.base_image_registry = ContainerRegistry()
        self.platform = DockerImagePlatform()
        self.build_context: Optional[DockerBuildContext] = None
        self.arguments: List[str] = []
        self.gpu_support = True
        self.shared_volumes = True
        self.shm_size: Optional[str] = "2g"


class SparkPackage:
    """A package of Spark. Kept, not used."""

    def __init__(
        self, group: Optional[str] = None, artifact: Optional[str] = None,
        version: Optional[str] = None,
    ) -> None:  # fmt: skip
        self.group = group
        self.artifact = artifact
        self.version = version


class SparkSection:
    """What Spark would load. Kept, not used."""

    def __init__(self, **kwargs: Any) -> None:
        self.repositories: List[str] = []
        self.packages: List[SparkPackage] = []
        self.precache_packages = True


class DatabricksSection:
    """Libraries of Databricks. Kept, not used."""

    def __init__(self) -> None:
        self.maven_libraries: List[Any] = []
        self.pypi_libraries: List[Any] = []
        self.rcran_libraries: List[Any] = []
        self.jar_libraries: List[Any] = []
        self.egg_libraries: List[Any] = []


class RCranPackage:
    """A package of R. Kept, not used."""

    def __init__(self) -> None:
        self.name: Optional[str] = None
        self.version: Optional[str] = None
        self.repository: Optional[str] = None


class RGitHubPackage:
    """A package of R on GitHub. Kept, not used."""

    def __init__(self) -> None:
        self.repository: Optional[str] = None
        self.auth_token: Optional[str] = None


class RSection:
    """Which R, with what. Kept, not used."""

    def __init__(self) -> None:
        self.r_version: Optional[str] = None
        self.user_managed = False
        self.rscript_path: Optional[str] = None
        self.snapshot_date: Optional[str] = None
        self.cran_packages: List[RCranPackage] = []
        self.github_packages: List[RGitHubPackage] = []
        self.custom_url_packages: List[str] = []
        self.bioconductor_packages: List[str] = []


class DockerImageDetails(Dict[str, Any]):
    """What is kept of an environment's image."""

    def __init__(self, image: str = "", dockerfile: str = "") -> None:
        super().__init__(
            dockerImage={"name": image}, dockerfile=dockerfile, imageExistsInRegistry=False
        )

    @property
    def image(self) -> str:
        return str(self["dockerImage"]["name"])

    @property
    def image_exist(self) -> bool:
        """Never: none is built."""
        return False

    @property
    def dockerfile(self) -> str:
        return str(self["dockerfile"])

    @property
    def registry(self) -> Optional[str]:
        return None

    @property
    def repository(self) -> str:
        return self.image.partition(":")[0]

    @property
    def environment_path(self) -> Optional[str]:
        return None

    @property
    def interpreter_path(self) -> Optional[str]:
        return None
