"""An environment as files: a section of a `.runconfig`, or `azureml_environment.json` in a folder.

Also finds conda environments of this machine.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator, Mapping

from outlast.azureml.conda_dependencies import CondaDependencies
from outlast.azureml.environment_sections import (
    ContainerRegistry,
    DockerBuildContext,
    SparkPackage,
)
from outlast.azureml.exceptions import UserErrorException

DEFINITION = "azureml_environment.json"
CONDA_FILE = "conda_dependencies.yml"
DOCKERFILE = "BaseDockerfile"

_DOCKER = {
    "enabled": "enabled", "base_image": "baseImage", "base_dockerfile": "baseDockerfile",
    "shared_volumes": "sharedVolumes", "gpu_support": "gpuSupport", "shm_size": "shmSize",
    "arguments": "arguments",
}  # fmt: skip
_PYTHON = {
    "user_managed_dependencies": "userManagedDependencies",
    "interpreter_path": "interpreterPath",
    "base_conda_environment": "baseCondaEnvironment",
}


def document(environment: Any) -> Dict[str, Any]:
    """As plain values under the names of Azure ML's files."""
    python, docker, spark = environment.python, environment.docker, environment.spark
    registry, context = docker.base_image_registry, docker.build_context
    packages = [
        {"group": one.group, "artifact": one.artifact, "version": one.version}
        for one in spark.packages
    ]
    return {
        "name": environment.name,
        "version": environment.version,
        "environmentVariables": dict(environment.environment_variables),
        "python": {
            **{told: getattr(python, field) for field, told in _PYTHON.items()},
            "condaDependencies": python.conda_dependencies.as_dict(),
        },
        "docker": {
            **{told: getattr(docker, field) for field, told in _DOCKER.items()},
            "baseImageRegistry": {
                "address": registry.address,
                "username": registry.username,
                "password": registry.password,
            },
            "buildContext": None if context is None else {
                "location": context.location, "dockerfilePath": context.dockerfile_path,
            },
        },
        "spark": {
            "repositories": list(spark.repositories),
            "packages": packages,
            "precachePackages": spark.precache_packages,
        },
        "inferencingStackVersion": environment.inferencing_stack_version,
    }  # fmt: skip


def fill(environment: Any, told: Mapping[str, Any], folder: str) -> None:
    """Set what `document` told; a conda file that it names is looked for below `folder`."""
    environment.version = told.get("version") and str(told["version"])
    environment.environment_variables = told.get("environmentVariables")
    environment.inferencing_stack_version = told.get("inferencingStackVersion")
    python, docker = told.get("python") or {}, told.get("docker") or {}
    _set(environment.python, python, _PYTHON)
    _set(environment.docker, docker, _DOCKER)
    if python.get("condaDependencies"):
        environment.python.conda_dependencies._fill(python["condaDependencies"])
    elif python.get("condaDependenciesFile"):
        environment.python.conda_dependencies_file = _found(python["condaDependenciesFile"], folder)
    if docker.get("baseImageRegistry"):
        environment.docker.base_image_registry = _registry(docker["baseImageRegistry"])
    if docker.get("buildContext"):
        context = docker["buildContext"]
        environment.docker.build_context = DockerBuildContext(
            None, context.get("location"), context.get("dockerfilePath") or "Dockerfile"
        )
    spark = told.get("spark") or {}
    environment.spark.repositories = list(spark.get("repositories") or ())
    environment.spark.precache_packages = spark.get("precachePackages", True)
    environment.spark.packages = [
        SparkPackage(one.get("group"), one.get("artifact"), one.get("version"))
        for one in spark.get("packages") or ()
    ]


def _set(into: Any, told: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for field, name in names.items():
        if told.get(name) is not None or (name == "baseImage" and name in told):
            setattr(into, field, told[name])


def _registry(told: Mapping[str, Any]) -> ContainerRegistry:
    made = ContainerRegistry()
    made.address, made.username = told.get("address"), told.get("username")
    made.password = told.get("password")
    return made


def _found(name: str, folder: str) -> str:
    """The conda file: beside the file that names it, or below the project's folder."""
    tried = [os.path.join(place, name) for place in (folder, os.path.dirname(folder), "")]
    return next((path for path in tried if os.path.isfile(path)), tried[0])


def write_folder(
    path: str, told: Dict[str, Any], packages: CondaDependencies, is_replaced: bool
) -> None:
    """Write the definition, the conda file and the Dockerfile into a folder."""
    if os.path.exists(os.path.join(path, DEFINITION)) and not is_replaced:
        raise UserErrorException(f"{path}: there is an environment already; give overwrite=True")
    os.makedirs(path, exist_ok=True)
    packages.save(os.path.join(path, CONDA_FILE))
    if told["docker"]["baseDockerfile"]:
        with open(os.path.join(path, DOCKERFILE), "w", encoding="utf-8") as file:
            file.write(told["docker"]["baseDockerfile"])
    with open(os.path.join(path, DEFINITION), "w", encoding="utf-8") as file:
        json.dump(told, file, indent=4)


def read_folder(path: str) -> Dict[str, Any]:
    """What `write_folder` wrote; the conda file and the Dockerfile count where they are there."""
    try:
        with open(os.path.join(path, DEFINITION), encoding="utf-8") as file:
            told: Dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise UserErrorException(f"path = {path!r}: {DEFINITION}: {error}") from None
    if os.path.isfile(os.path.join(path, CONDA_FILE)):
        python = dict(told.get("python") or {}, condaDependenciesFile=CONDA_FILE)
        python.pop("condaDependencies", None)
        told["python"] = python
    if os.path.isfile(os.path.join(path, DOCKERFILE)):
        with open(os.path.join(path, DOCKERFILE), encoding="utf-8") as file:
            told["docker"] = dict(told.get("docker") or {}, baseDockerfile=file.read())
    return told


def python_of_conda(name: str) -> str:
    """The interpreter of a conda environment of this machine. Raises UserErrorException."""
    tried = []
    for prefix in _prefixes(name):
        tried.append(os.path.join(prefix, "bin", "python"))
        if os.access(tried[-1], os.X_OK):
            return tried[-1]
    raise UserErrorException(
        f"conda_environment_name = {name!r}: there is no such conda environment; tried: "
        f"{', '.join(tried)}"
    )


def _prefixes(name: str) -> Iterator[str]:
    """Where conda keeps environments: its own list of them, and the usual places."""
    home = os.path.expanduser("~")
    try:
        with open(os.path.join(home, ".conda", "environments.txt"), encoding="utf-8") as file:
            known = [line.strip() for line in file]
    except OSError:
        known = []
    yield from (place for place in known if os.path.basename(place) == name)
    roots = [os.environ.get("MAMBA_ROOT_PREFIX"), os.path.join(home, ".conda")]
    if os.environ.get("CONDA_EXE"):
        roots.append(os.path.dirname(os.path.dirname(os.environ["CONDA_EXE"])))
    roots += [os.path.join(home, base) for base in ("miniconda3", "anaconda3", "miniforge3")]
    yield from (os.path.join(root, "envs", name) for root in roots if root)
