"""`azureml.core.Environment`: what a run needs around it, kept as a definition.

It goes with the run as its spec's `environment` (docs/runs.md); making it is Outlast's affair. Its
parts are in `environment_sections`, as files in `environment_file`.
"""

from __future__ import annotations

import copy
import os
import shutil
from typing import Any, Dict, Mapping, Optional

from outlast.azureml import environment_file as files
from outlast.azureml import reach
from outlast.azureml.environment_sections import (
    DEFAULT_CPU_IMAGE,
    DEFAULT_GPU_IMAGE,
    ContainerRegistry,
    DatabricksSection,
    DockerBuildContext,
    DockerImageDetails,
    DockerSection,
    PythonSection,
    RSection,
    SparkSection,
)
from outlast.azureml.exceptions import ServiceException, UserErrorException, translated

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "ContainerRegistry",
    "DockerSection",
    "Environment",
    "EnvironmentReference",
    "PythonSection",
]


CURATED = "azureml-"  # how the names of Azure's own begin


class Environment:
    """A definition: packages, variables and what else a run needs."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        if not str(name or ""):
            raise UserErrorException(f"name = {name!r}: give the environment a name")
        self.name = name
        self.version: Optional[str] = None
        self.python = PythonSection()
        self.docker = DockerSection()
        self.spark = SparkSection()
        self.databricks = DatabricksSection()
        self.r: Optional[RSection] = None
        self._variables_given: Dict[str, str] = {}
        self.inferencing_stack_version: Optional[str] = None
        self.asset_id: Optional[str] = None

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"

    @property
    def environment_variables(self) -> Dict[str, str]:
        """Variables that a run gets beside the caller's."""
        return self._variables_given

    @environment_variables.setter
    def environment_variables(self, value: Optional[Mapping[str, str]]) -> None:
        self._variables_given = dict(value or {})

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
        """One that was registered; by default its newest version. Raises ServiceException.

        Azure's own (AzureML-…) are taken as this interpreter with what it has, and that is said.
        """
        client = workspace._client()
        from outlast.sdk.environment import Environment as Native

        try:
            with translated():
                found = Native.get(name, str(version or ""), workspace=client)
        except ServiceException:
            if not name.lower().startswith(CURATED):
                raise
            print(f"{name}: one of Azure's; runs use this interpreter and its packages instead")
            return Environment(name)
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
        made = _with_packages(name, conda_specification, pip_requirements)
        made.docker.base_image = image
        if container_registry is not None:
            made.docker.base_image_registry = container_registry
        return made

    @staticmethod
    def from_dockerfile(
        name: str, dockerfile: str, conda_specification: Optional[str] = None,
        pip_requirements: Optional[str] = None,
    ) -> Environment:  # fmt: skip
        """The packages of the files; the Dockerfile (a path, or its text) is kept and not built."""
        made = _with_packages(name, conda_specification, pip_requirements)
        if os.path.isfile(dockerfile):
            with open(dockerfile, encoding="utf-8") as file:
                dockerfile = file.read()
        made.docker.base_image, made.docker.base_dockerfile = None, dockerfile
        return made

    @staticmethod
    def from_docker_build_context(name: str, docker_build_context: Any) -> Environment:
        """The build context is kept and not built. Raises UserErrorException for none."""
        if not isinstance(docker_build_context, DockerBuildContext):
            raise UserErrorException("docker_build_context: give a DockerBuildContext")
        made = Environment(name)
        made.docker.base_image, made.docker.build_context = None, docker_build_context
        return made

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> Environment:
        """A conda environment of this machine, as it is. Raises UserErrorException without it."""
        made = Environment(name)
        made.python.user_managed_dependencies = True
        made.python.interpreter_path = files.python_of_conda(conda_environment_name)
        return made

    @staticmethod
    def load_from_directory(path: str) -> Environment:
        """What `save_to_directory` wrote. Raises UserErrorException without it."""
        return Environment._of_document(files.read_folder(path), path)

    def save_to_directory(self, path: str, overwrite: bool = False) -> None:
        """Write it as files. Raises UserErrorException when they are there, unless `overwrite`."""
        files.write_folder(path, self._document(), self.python.conda_dependencies, overwrite)

    def build(self, workspace: Any, image_build_compute: Any = None) -> Any:
        """Begin to make it, so that a later run finds it made. Returns how that goes on."""
        from outlast.azureml.environment_build import ImageBuildDetails

        return ImageBuildDetails(self, workspace)

    def build_local(self, workspace: Any, platform: Any = None, **kwargs: Any) -> Any:
        """Make it, and return when it is made or has failed."""
        details = self.build(workspace)
        details.wait_for_completion(show_output=True)
        return details

    def get_image_details(self, workspace: Any) -> DockerImageDetails:
        """What is kept of its image; none is built."""
        docker = self.docker
        return DockerImageDetails(docker.base_image or "", docker.base_dockerfile or "")

    @staticmethod
    def add_private_pip_wheel(workspace: Any, file_path: str, exist_ok: bool = False) -> str:
        """Keep a wheel in the workspace's folder; returns the line for a pip package.

        Raises UserErrorException without the file, or when one of its name is there already.
        """
        if not os.path.isfile(file_path):
            raise UserErrorException(f"file_path = {file_path!r}: there is no such file")
        folder = os.path.join(str(workspace._client().home), "wheels")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        place = os.path.join(folder, os.path.basename(file_path))
        if os.path.exists(place) and not exist_ok:
            raise UserErrorException(f"{place} is there already; give exist_ok=True to use it")
        if not os.path.exists(place):
            shutil.copyfile(file_path, place)
        return "file://" + place

    def _document(self) -> Dict[str, Any]:
        """As the files of Azure ML say it."""
        return files.document(self)

    @classmethod
    def _of_document(cls, told: Mapping[str, Any], folder: str = "") -> Environment:
        """What `_document` told; `folder` is where files lie that it names."""
        made = cls(str(told.get("name") or "default-environment"))
        files.fill(made, told, folder)
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
            if not interpreter:
                return {}
            return {"name": self.name, "kind": "existing", "interpreter": interpreter}
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


class EnvironmentReference:
    """An environment by its name, looked up when it is needed."""

    def __init__(self, name: str, version: Optional[str] = None) -> None:
        self.name = name
        self.version = version

    def get_environment(self, workspace: Any) -> Environment:
        """The environment. Raises ServiceException without one."""
        return Environment.get(workspace, self.name, self.version)


def _with_packages(
    name: str, conda_specification: Optional[str], pip_requirements: Optional[str]
) -> Environment:
    if conda_specification is not None and pip_requirements is not None:
        raise UserErrorException("give conda_specification or pip_requirements, not both")
    if pip_requirements is not None:
        return Environment.from_pip_requirements(name, pip_requirements)
    if conda_specification is not None:
        return Environment.from_conda_specification(name, conda_specification)
    return Environment(name)
