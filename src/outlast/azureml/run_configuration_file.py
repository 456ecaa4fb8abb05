"""`.runconfig` files: a RunConfiguration as YAML, with the names that Azure ML gives its fields.

A section is an object of plain values; its attributes are the file's fields in camel case. Fields
that nothing here knows are left alone when a file is read.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple, TypeVar

from outlast.azureml import reach
from outlast.azureml.camel_case import camel, snake
from outlast.azureml.data_path import DataReferenceConfiguration
from outlast.azureml.exceptions import UserErrorException, translated

AML_CONFIG_DIR = "aml_config"
AZUREML_DIR = ".azureml"
RUNCONFIGURATION_EXTENSION = ".runconfig"
COMPUTECONTEXT_EXTENSION = ".compute"
LOCAL_RUNCONFIG_NAME = "local"
Configuration = TypeVar("Configuration", bound=Any)

_PLAIN = (
    "script", "arguments", "command", "target", "framework", "communicator", "node_count",
    "max_run_duration_seconds", "priority", "credential_passthrough",
    "source_directory_data_store",
)  # fmt: skip
_SECTIONS = (
    "history", "docker", "mpi", "pytorch", "tensorflow", "paralleltask", "amlcompute",
    "kubernetescompute", "spark", "hdi",
)  # fmt: skip


def save(config: Any, path: Optional[str], name: Optional[str], is_separate: bool) -> None:
    """Write it; the folder is made."""
    place = _place(path or os.getcwd(), name or config._name, is_new=True)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    told = document(config)
    if is_separate:
        beside = os.path.join(os.path.dirname(place), "environment.yml")
        _write(beside, told["environment"])
        told["environment"] = os.path.basename(beside)
    _write(place, told)


def load(into: Configuration, path: str, name: Optional[str]) -> Configuration:
    """Read one into a fresh configuration, and return that.

    Raises UserErrorException when there is none, or it can't be understood.
    """
    place = _place(path, name, is_new=False)
    told = _read(place)
    if isinstance(told.get("environment"), str):
        told["environment"] = _read(os.path.join(os.path.dirname(place), told["environment"]))
    found = fill_all(into, told, os.path.dirname(place))
    found._name = os.path.basename(place)[: -len(RUNCONFIGURATION_EXTENSION)]
    found._path = path
    return found


def delete(path: str, name: Optional[str]) -> None:
    """Remove its file."""
    os.unlink(_place(path, name, is_new=False))


def document(config: Any) -> Dict[str, Any]:
    """The configuration as plain values under the file's names."""
    told: Dict[str, Any] = {camel(field): getattr(config, field) for field in _PLAIN}
    told["arguments"] = [_scalar(word) for word in config.arguments]
    told["autoPrepareEnvironment"] = config.auto_prepare_environment
    told["environment"] = config.environment._document()
    told.update((field, section(getattr(config, field))) for field in _SECTIONS)
    references = {name: section(one) for name, one in config.data_references.items()}
    told["dataReferences"] = references
    return told


def fill_all(made: Configuration, told: Dict[str, Any], folder: str = "") -> Configuration:
    """Set what `document` told; `folder` is where files lie that it names."""
    for field in _PLAIN:
        value = told.get(camel(field))
        if value is not None:
            setattr(made, field, value)
    if told.get("environment"):
        made.environment = made.environment._of_document(told["environment"], folder)
    for field in _SECTIONS:
        fill(getattr(made, field), told.get(field))
    for name, value in (told.get("dataReferences") or {}).items():
        made.data_references[name] = fill(DataReferenceConfiguration(), value)
    return made


def section(of: Any) -> Dict[str, Any]:
    """The attributes of a section of plain values."""
    if isinstance(of, dict):
        return of
    return {camel(name): value for name, value in vars(of).items() if not name.startswith("_")}


def fill(into: Any, told: Any) -> Any:
    """Set the attributes that a section of a file names; returns the object."""
    for name, value in (told or {}).items():
        if snake(name) in vars(into):
            setattr(into, snake(name), value)
    return into


def _scalar(word: Any) -> Any:
    if isinstance(word, (str, int, float, bool)) or word is None:
        return word
    if isinstance(word, os.PathLike):
        return os.fspath(word)
    raise UserErrorException(
        f"arguments: {word!r} can't be saved in a file; give it to ScriptRunConfig instead"
    )


def _place(path: str, name: Optional[str], *, is_new: bool) -> str:
    """The file that is meant: `path` itself, or NAME.runconfig in one of its folders."""
    if os.path.isfile(path) or (is_new and path.endswith(RUNCONFIGURATION_EXTENSION)):
        return os.path.abspath(path)
    file = (name or LOCAL_RUNCONFIG_NAME) + RUNCONFIGURATION_EXTENSION
    tried = [os.path.abspath(os.path.join(path, folder, file)) for folder in _FOLDERS]
    for place in tried:
        if os.path.isfile(place):
            return place
    if is_new:
        return tried[0]
    raise UserErrorException(f"there is no run configuration {file}; tried: {', '.join(tried)}")


_FOLDERS: Tuple[str, ...] = (AZUREML_DIR, AML_CONFIG_DIR, "")


def _read(place: str) -> Dict[str, Any]:
    reach.workspace()  # says so where there is no Outlast to read YAML
    from outlast.sdk import documents

    with translated():
        return documents.read_yaml(place)


def _write(place: str, told: Dict[str, Any]) -> None:
    reach.workspace()
    from outlast.sdk import documents

    with translated():
        documents.write_yaml(place, told)
