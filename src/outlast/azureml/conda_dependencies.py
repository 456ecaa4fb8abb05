"""`azureml.core.conda_dependencies`: which packages an environment has, in conda's and pip's words.

Packages called azureml-… are listed like others and left out where an environment is made: their
names are served by Outlast.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Optional, Sequence

from outlast.azureml import reach
from outlast.azureml.exceptions import UserErrorException, translated

PYTHON_DEFAULT_VERSION = "3.10.18"
_PACKAGE = re.compile(r"[^=<>!~\[; ]+")


class CondaDependencies:
    """A list of packages to add to and to take from."""

    DEFAULT_NUMBER_OF_CONDA_PACKAGES = 0
    DEFAULT_NUMBER_OF_PIP_PACKAGES = 0

    def __init__(self, conda_dependencies_file_path: Optional[str] = None) -> None:
        """Empty, or as a conda file says. Raises UserErrorException when it can't be read."""
        self._conda: List[str] = []
        self._pip: List[str] = []
        self._channels = ["anaconda", "conda-forge"]
        self._pip_options: List[str] = []
        self._python = PYTHON_DEFAULT_VERSION
        if conda_dependencies_file_path is not None:
            self._fill(_read(conda_dependencies_file_path))

    @staticmethod
    def create(
        pip_indexurl: Optional[str] = None, pip_packages: Optional[Sequence[str]] = None,
        conda_packages: Optional[Sequence[str]] = None,
        python_version: Optional[str] = PYTHON_DEFAULT_VERSION, pin_sdk_version: bool = True,
    ) -> CondaDependencies:  # fmt: skip
        """The packages named; `python_version` at its default means this machine's Python."""
        made = CondaDependencies()
        for package in conda_packages or ():
            made.add_conda_package(package)
        for package in pip_packages or ():
            made.add_pip_package(package)
        if pip_indexurl:
            made.set_pip_index_url(pip_indexurl)
        if python_version:
            made.set_python_version(python_version)
        return made

    @property
    def conda_packages(self) -> List[str]:
        """The conda packages, without Python itself."""
        return list(self._conda)

    @property
    def pip_packages(self) -> List[str]:
        return list(self._pip)

    @property
    def pip_options(self) -> List[str]:
        """Lines for pip, as "--index-url https://…"."""
        return list(self._pip_options)

    @property
    def conda_channels(self) -> List[str]:
        return list(self._channels)

    def add_conda_package(self, conda_package: str) -> None:
        """Add it; a package that is there is replaced. `python=3.11` sets Python."""
        if _name(conda_package) == "python" and "=" in conda_package:
            self.set_python_version(conda_package.partition("=")[2].lstrip("="))
            return
        _add(self._conda, conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Take it out, whatever its version."""
        _remove(self._conda, conda_package)

    def add_pip_package(self, pip_package: str) -> None:
        """Add it; a package that is there is replaced."""
        _add(self._pip, pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        """Take it out, whatever its version."""
        _remove(self._pip, pip_package)

    def set_pip_requirements(self, pip_requirements: Sequence[str]) -> None:
        """Have these pip packages and no others."""
        self._pip = []
        for package in pip_requirements:
            self.add_pip_package(package)

    def add_channel(self, channel: str) -> None:
        """Ask this conda channel as well."""
        if channel not in self._channels:
            self._channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        """Ask this conda channel no more."""
        if channel in self._channels:
            self._channels.remove(channel)

    def set_pip_index_url(self, index_url: str) -> None:
        """Where pip's packages come from."""
        self._pip_options = [
            option for option in self._pip_options if not option.startswith("--index-url")
        ]
        self._pip_options.append(f"--index-url {index_url}")

    def set_pip_option(self, pip_option: str) -> None:
        """Add a line for pip."""
        if pip_option not in self._pip_options:
            self._pip_options.append(pip_option)

    def remove_pip_option(self, pip_option: str) -> None:
        """Take a line for pip out."""
        if pip_option in self._pip_options:
            self._pip_options.remove(pip_option)

    def set_python_version(self, version: str) -> None:
        """Which Python, as 3.11."""
        self._python = str(version)

    def get_python_version(self) -> str:
        """Which Python."""
        return self._python

    def get_default_number_of_packages(self) -> int:
        """How many packages are there without being asked for: none."""
        return 0

    @staticmethod
    def merge_requirements(requirements: Sequence[str]) -> List[str]:
        """Each package once; the last line for it counts."""
        merged: List[str] = []
        for line in requirements:
            _add(merged, line)
        return merged

    def as_dict(self) -> Dict[str, Any]:
        """As a conda file says it."""
        packages: List[Any] = [f"python={self._python}"]
        if self._pip:
            packages.append({"pip": [*self._pip_options, *self._pip]})
        packages += self._conda
        return {"name": "project_environment", "dependencies": packages, "channels": self._channels}

    def serialize_to_string(self) -> str:
        """The text of a conda file."""
        lines = ["name: project_environment", "dependencies:", f"- python={self._python}"]
        if self._pip:
            lines += ["- pip:", *(f"  - {line}" for line in (*self._pip_options, *self._pip))]
        lines += [f"- {package}" for package in self._conda]
        lines += ["channels:", *(f"- {channel}" for channel in self._channels)]
        return "\n".join(lines) + "\n"

    def save(self, path: Optional[str] = None) -> str:
        """Write the conda file; returns its path (default: conda_dependencies.yml here)."""
        target = path or "conda_dependencies.yml"
        if os.path.isdir(target):
            target = os.path.join(target, "conda_dependencies.yml")
        with open(target, "w", encoding="utf-8") as file:
            file.write(self.serialize_to_string())
        return target

    def save_to_file(self, base_directory: str, conda_file_path: Optional[str] = None) -> str:
        """Write the conda file below a folder; returns its path from there."""
        name = conda_file_path or "conda_dependencies.yml"
        os.makedirs(os.path.dirname(os.path.join(base_directory, name)), exist_ok=True)
        self.save(os.path.join(base_directory, name))
        return name

    def add_tensorflow_conda_package(
        self, core_type: str = "cpu", version: Optional[str] = None
    ) -> None:
        """Add TensorFlow, for "cpu" or "gpu", from conda."""
        self.add_conda_package(_tensorflow(core_type) + (f"={version}" if version else ""))

    def add_tensorflow_pip_package(
        self, core_type: str = "cpu", version: Optional[str] = None
    ) -> None:
        """Add TensorFlow, for "cpu" or "gpu", from pip."""
        self.add_pip_package(_tensorflow(core_type) + (f"=={version}" if version else ""))

    def add_cntk_package(self, core_type: str = "cpu") -> None:
        """Add CNTK, which has no release for today's Pythons: a build of it will say so."""
        self.add_pip_package("cntk-gpu" if _tensorflow(core_type).endswith("gpu") else "cntk")

    @staticmethod
    def sdk_origin_url() -> str:
        """Where the azureml packages would come from; none are installed."""
        return "https://pypi.org/simple"

    def _fill(self, told: Dict[str, Any]) -> None:
        """Take over what a conda file says."""
        for package in told.get("dependencies") or ():
            if isinstance(package, dict):
                for line in package.get("pip") or ():
                    (self.set_pip_option if line.startswith("-") else self.add_pip_package)(line)
            else:
                self.add_conda_package(str(package))
        if told.get("channels"):
            self._channels = [str(channel) for channel in told["channels"]]

    def _spec(self) -> Dict[str, Any]:
        """The fields of a run's environment; {} when nothing is asked for."""
        pip = [line for line in self._pip if not line.startswith("azureml")]
        options = [line for line in self._pip_options if not line.startswith("--index-url")]
        index = [line.split(" ", 1)[1] for line in self._pip_options if line not in options]
        found: Dict[str, Any] = {"pip": options + pip, "conda": list(self._conda)}
        if self._python != PYTHON_DEFAULT_VERSION:
            found["python"] = ".".join(self._python.split(".")[:3])
        found = {key: value for key, value in found.items() if value}
        if not found:
            return {}
        if index:
            found["index_url"] = index[0]
        is_conda = bool(self._conda)
        if is_conda:
            found["channels"] = list(self._channels)
        return {"kind": "conda" if is_conda else "pip", **found}


def _read(path: str) -> Dict[str, Any]:
    reach.workspace()  # says so where there is no Outlast to read YAML
    from outlast.sdk import documents

    with translated():
        return documents.read_yaml(path)


def _tensorflow(core_type: str) -> str:
    if core_type not in ("cpu", "gpu"):
        raise UserErrorException(f"core_type = {core_type!r}: give 'cpu' or 'gpu'")
    return "tensorflow" if core_type == "cpu" else "tensorflow-gpu"


def _name(package: str) -> str:
    found = _PACKAGE.match(package.split("::")[-1].strip())
    return found[0].strip().lower() if found else package


def _add(packages: List[str], package: str) -> None:
    if not str(package).strip():
        raise UserErrorException(f"package = {package!r}: give a name, as numpy or numpy==1.26")
    _remove(packages, package)
    packages.append(package)


def _remove(packages: List[str], package: str) -> None:
    packages[:] = [other for other in packages if _name(other) != _name(package)]
