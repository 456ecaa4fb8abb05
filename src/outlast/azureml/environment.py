"""`azureml.core.Environment`: what a run needs around it, kept as a definition.

It goes with the run as its spec's `environment` (docs/runs.md); making it is Outlast's affair.
"""

from __future__ import annotations

import copy
import os
from typing import Any, Dict, List, Mapping, Optional

from outlast.azureml import reach
from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.exceptions import UserErrorException, translated

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04"


class ContainerRegistry:
    """Where an image would come from. Kept, not used."""

    def __init__(self) -> None:
        self.address: Optional[str] = None
        self.username: Optional[str] = None
        self.password: Optional[str] = None
        self.registry_identity: Any = None


class PythonSection:
    """Which Python, with what."""

    def __init__(self, **kwargs: Any) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.conda_dependencies = CondaDependencies()
        self.conda_dependencies_file: Optional[str] = None
        self.base_conda_environment: Optional[str] = None


class DockerSection:
    """Which image. Kept with the run, not used: Outlast starts no containers yet."""

    def __init__(self, **kwargs: Any) -> None:
        self.enabled = False
        self.base_image: Optional[str] = DEFAULT_CPU_IMAGE
        self.base_dockerfile: Optional[str] = None
        self.base_image_registry = ContainerRegistry()
        self.platform: Any = None
        self.build_context: Any = None
        self.arguments: List[str] = []
        self.gpu_support = True
        self.shared_volumes = True
        self.shm_size: Optional[str] = "2g"


class Environment:
    """A definition: packages, variables and what else a run needs."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        if not str(name or ""):
            raise UserErrorException(f"name = {name!r}: give the environment a name")
        self.name = name
        self.version: Optional[str] = None
        self.python = PythonSection()
        self.docker = DockerSection()
        self.environment_variables: Dict[str, str] = {}
        self.inferencing_stack_version: Optional[str] = None
        self.asset_id: Optional[str] = None

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"

    def clone(self, new_name: str) -> Environment:
        """A copy under another name; later changes to one don't reach the other."""
        made = copy.deepcopy(self)
        made.name, made.version = new_name, None
        return made

    @staticmethod
    def from_pip_requirements(
        name: str, file_path: str, pip_version: Optional[str] = None
    ) -> Environment:
        """With the lines of a requirements file. Raises UserErrorException without the file."""
        made = Environment(name)
        try:
            with open(file_path, encoding="utf-8") as file:
                lines = [line.split(" #")[0].strip() for line in file]
        except OSError as error:
            raise UserErrorException(f"file_path = {file_path!r}: {error.strerror}") from None
        for line in lines:
            if line.startswith("-"):
                made.python.conda_dependencies.set_pip_option(line)
            elif line and not line.startswith("#"):
                made.python.conda_dependencies.add_pip_package(line)
        return made

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> Environment:
        """With what a conda file (environment.yml) asks for. Raises UserErrorException."""
        reach.workspace()  # says so where there is no Outlast to read it
        from outlast.sdk.environment import Environment as Native

        with translated():
            return Environment._of_spec(Native.from_file(file_path, name=name).definition)

    def register(self, workspace: Any) -> Environment:
        """Keep it in the workspace under its name; returns it with its version (1, 2, 3 …)."""
        client = workspace._client()
        from outlast.sdk.environment import Environment as Native

        wanted = {"kind": "pip", **self._spec(), "name": self.name, "variables": self._variables()}
        with translated():
            saved = Native.of(wanted).save(workspace=client)
        self.version = saved.version
        return Environment._of_spec(saved.definition)

    @staticmethod
    def get(
        workspace: Any, name: str, version: Optional[str] = None, label: Optional[str] = None
    ) -> Environment:
        """One that was registered; by default its newest version. Raises ServiceException."""
        client = workspace._client()
        from outlast.sdk.environment import Environment as Native

        with translated():
            found = Native.get(name, str(version or ""), workspace=client)
        return Environment._of_spec(found.definition)

    @staticmethod
    def list(workspace: Any) -> Dict[str, Environment]:
        """The newest version of each that was registered, by name."""
        with translated():
            named = workspace._client().connection.get("/api/environments")["named"]
        return {name: Environment.get(workspace, name) for name in named}

    @staticmethod
    def from_docker_image(
        name: str, image: str, container_registry: Any = None,
        conda_specification: Optional[str] = None, pip_requirements: Optional[str] = None,
    ) -> Environment:  # fmt: skip
        """The packages of `pip_requirements`; the image is kept and not used."""
        made = Environment(name)
        if pip_requirements is not None:
            made = Environment.from_pip_requirements(name, pip_requirements)
        if conda_specification is not None:
            made = Environment.from_conda_specification(name, conda_specification)
        made.docker.base_image = image
        if container_registry is not None:
            made.docker.base_image_registry = container_registry
        return made

    @classmethod
    def _of_spec(cls, spec: Mapping[str, Any]) -> Environment:
        """As a run's spec tells it."""
        made = cls(str(spec.get("name") or "default-environment"))
        made.version = spec.get("version")
        made.environment_variables = {
            name: value or "" for name, value in (spec.get("variables") or {}).items()
        }
        packages = made.python.conda_dependencies
        for package in spec.get("conda") or ():
            packages.add_conda_package(package)
        for line in spec.get("pip") or ():
            (packages.set_pip_option if line.startswith("-") else packages.add_pip_package)(line)
        if spec.get("index_url"):
            packages.set_pip_index_url(spec["index_url"])
        if spec.get("channels"):
            packages._channels = [*spec["channels"]]
        if spec.get("python"):
            packages.set_python_version(spec["python"])
        if spec.get("interpreter"):
            made.python.user_managed_dependencies = True
            made.python.interpreter_path = spec["interpreter"]
        return made

    def _spec(self) -> Dict[str, Any]:
        """The `environment` of a run's spec; {} for the caller's own."""
        if self.python.user_managed_dependencies:
            interpreter = self._python()
            return {"kind": "existing", "interpreter": interpreter} if interpreter else {}
        found = self.python.conda_dependencies._spec()
        return {"name": self.name, **found} if found else {}

    def _python(self) -> str:
        """The interpreter that the user looks after, "" for the caller's own."""
        path = self.python.interpreter_path
        is_own = self.python.user_managed_dependencies and os.path.isabs(path)
        return path if is_own else ""

    def _variables(self) -> Dict[str, str]:
        """What the run's environment gets beside the caller's."""
        return {str(key): str(value) for key, value in self.environment_variables.items()}
