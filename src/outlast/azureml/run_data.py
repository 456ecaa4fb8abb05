"""The datasets among what a run is submitted with: its arguments, its inputs, its configuration.

Each argument that is one becomes a place, as `${{inputs.NAME}}`, which is filled in when the run
starts; the datasets themselves go into the run's spec.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping

from outlast.azureml.abstract_dataset import AbstractDataset
from outlast.azureml.data_path import DataPath, DataReference, DataReferenceConfiguration
from outlast.azureml.dataset_input import DatasetConsumptionConfig, named_by
from outlast.azureml.dataset_output import OutputDatasetConfig, uploaded
from outlast.azureml.datastore import Datastore
from outlast.azureml.exceptions import UserErrorException, translated
from outlast.run.dataset import Input, of_paths

KINDS = (DatasetConsumptionConfig, AbstractDataset, OutputDatasetConfig, DataReference, DataPath)


def word_of(word: Any) -> str:
    """An argument as a word of the command."""
    if not isinstance(word, KINDS):
        return str(word)
    one = _settled("", word)
    kind = "outputs" if isinstance(one, OutputDatasetConfig) else "inputs"
    name = one.data_reference_name if isinstance(one, DataReference) else one.name
    return "${{" + f"{kind}.{name}" + "}}"


def is_data(value: Any) -> bool:
    """Is this input of a submission a dataset, or something that becomes one?"""
    return isinstance(value, KINDS)


def data_of(
    words: Iterable[Any], inputs: Mapping[str, Any], run_config: Any, workspace: Any
) -> Dict[str, Any]:
    """`inputs` and `deliveries` for a submission; neither is there when it has none."""
    given: List[Any] = [_settled("", word) for word in words if isinstance(word, KINDS)]
    given += [_settled(name, value) for name, value in inputs.items()]
    for name, value in _configured(run_config).items():
        given.append(_settled(name, _reference(name, value, workspace)))
    found: Dict[str, Dict[str, Any]] = {"inputs": {}, "deliveries": {}}
    for one in given:
        if isinstance(one, OutputDatasetConfig):
            _add(found["deliveries"], one.name, one._delivery(workspace))  # type: ignore[attr-defined]
        elif isinstance(one, DataReference):
            _add(found["inputs"], one.data_reference_name, _referred(one))
        else:
            _add(found["inputs"], one.name, one._input())
    return {name: what for name, what in found.items() if what}


def _configured(run_config: Any) -> Dict[str, Any]:
    """What a run configuration has of its own: data and data_references."""
    found: Dict[str, Any] = {}
    for field in ("data", "data_references", "output_data"):
        told = getattr(run_config, field, None)
        found.update(told if isinstance(told, Mapping) else {})
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, (*KINDS, DataReferenceConfiguration))
    }


def _reference(name: str, value: Any, workspace: Any) -> Any:
    if not isinstance(value, DataReferenceConfiguration):
        return value
    return DataReference(
        Datastore(workspace, value.data_store_name), name, value.path_on_data_store, value.mode,
        value.path_on_compute, value.overwrite,
    )  # fmt: skip


def _settled(name: str, value: Any) -> Any:
    """As one of the three that a run takes: an input, an output, a data reference that it reads."""
    if isinstance(value, DataPath):
        value = value.create_data_reference(name or None)
    if isinstance(value, DataReference):
        return uploaded(value) if value.mode == "upload" else value
    if isinstance(value, AbstractDataset):
        mode = "direct" if value._definition.kind == "tabular" or not name else "mount"
        return DatasetConsumptionConfig(name or named_by(value), value, mode)
    if isinstance(value, DatasetConsumptionConfig) and isinstance(
        value.dataset, OutputDatasetConfig
    ):
        raise UserErrorException(
            f"{value.name}: this output has no run yet. Submit the run that fills it, wait for it, "
            "and give inputs={name: run.get_output_data(folder)} to the next"
        )
    if name and isinstance(value, DatasetConsumptionConfig) and value.name != name:
        return DatasetConsumptionConfig(name, value.dataset, value.mode, value.path_on_compute)
    return value


def _referred(reference: DataReference) -> Dict[str, Any]:
    with translated():
        definition = of_paths(reference._source(), "file")
    mode = "download" if reference.mode == "download" else "mount"
    return Input(definition, mode, path=reference.path_on_compute or "").to_dict()


def _add(found: Dict[str, Any], name: str, value: Any) -> None:
    if name in found and found[name] != value:
        raise UserErrorException(f"two different datasets are called {name!r}: name them apart")
    found[name] = value
