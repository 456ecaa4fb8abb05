"""What FileDataset and TabularDataset have in common: identity, registry, being an input.

A dataset is a definition of `outlast.run.dataset`; each method that changes what is read gives a
new one with one more step. Reading needs no server, registering does.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, TypeVar

from outlast.azureml import reach
from outlast.azureml.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from outlast.azureml.dataset_input import (
    DIRECT,
    DatasetConsumptionConfig,
    named_by,
    own_input,
)
from outlast.azureml.dataset_types import named
from outlast.azureml.exceptions import UserErrorException
from outlast.azureml.names import load
from outlast.data import files
from outlast.run.dataset import Definition

if TYPE_CHECKING:
    from outlast.sdk.datasets import Dataset as NativeDataset

Self = TypeVar("Self", bound="AbstractDataset")


class AbstractDataset:
    """A definition of data, and once it is registered its name and version."""

    File = FileDatasetFactory
    Tabular = TabularDatasetFactory

    _definition: Definition
    _row: Dict[str, Any]
    _workspace: Any

    def __init__(self) -> None:
        raise UserErrorException(
            f"{type(self).__name__} is made by Dataset.Tabular.from_… or Dataset.File.from_files"
        )

    @classmethod
    def _of(
        cls, definition: Any, row: Optional[Mapping[str, Any]] = None, workspace: Any = None
    ) -> Any:
        made = object.__new__(cls)
        with named():
            made._definition = Definition.from_dict(definition)
        made._row, made._workspace = dict(row or {}), workspace
        return made

    @staticmethod
    def _of_native(native: NativeDataset, workspace: Any) -> Any:
        kind = "TabularDataset" if native.kind == "tabular" else "FileDataset"
        return load("azureml.data", kind)._of(native.definition, native.row, workspace)

    def __repr__(self) -> str:
        facts = {"id": self.id, "name": self.name, "version": self.version}
        told = ", ".join(f"{key}={value!r}" for key, value in facts.items() if value)
        return f"{type(self).__name__}({told})"

    def __getitem__(self, key: Any) -> Any:
        return Expression(["column", str(key)])

    def _then(self: Self, do: str, **fields: Any) -> Self:
        with named():
            made: Self = type(self)._of(self._definition.then(do, **fields), None, self._workspace)
            return made

    def _native(self, workspace: Any = None) -> NativeDataset:
        here = workspace or self._workspace
        client = here._client() if here is not None else reach.workspace()
        from outlast.sdk.datasets import Dataset

        return Dataset(self._definition, self._row, client)

    # --- what it is ---

    @property
    def id(self) -> str:
        """A UUID of what is read and how."""
        return self._definition.id

    @property
    def name(self) -> Optional[str]:
        return self._row.get("name") or None

    @property
    def version(self) -> Optional[int]:
        """Its version, None before it is registered."""
        return self._row.get("version") or None

    @property
    def description(self) -> Optional[str]:
        return self._row.get("description") or None

    @property
    def tags(self) -> Dict[str, Optional[str]]:
        return dict(self._row.get("tags") or {})

    @property
    def data_changed_time(self) -> Optional[datetime]:
        """When a local file of it changed last; None when none is local."""
        import os

        with named():
            paths = [one.path for one in files.found(self._definition) if one.is_local]
        if not paths:
            return None
        return datetime.fromtimestamp(max(os.path.getmtime(path) for path in paths), timezone.utc)

    @property
    def partition_keys(self) -> List[str]:
        """The names in its partition format."""
        from outlast.data.table import partition_names

        return partition_names(self._definition.options.get("partition_format", ""))

    def get_partition_key_values(
        self, partition_keys: Optional[Sequence[str]] = None
    ) -> List[Dict[str, Any]]:
        """Which values there are, as its files' paths tell."""
        from outlast.data.table import partition

        form = self._definition.options.get("partition_format", "")
        wanted = list(partition_keys or self.partition_keys)
        found: List[Dict[str, Any]] = []
        with named():
            for one in files.found(self._definition) if form else ():
                values = partition(form, one.path)
                chosen = {key: values[key] for key in wanted if key in values}
                if chosen not in found:
                    found.append(chosen)
        return found

    # --- the registry ---

    def register(
        self: Self, workspace: Any, name: str, description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None, create_new_version: bool = False,
    ) -> Self:  # fmt: skip
        """Register it under a name; returns the registered one.

        A name that is taken by another definition needs `create_new_version`, else
        UserErrorException.
        """
        texts = {str(k): None if v is None else str(v) for k, v in (tags or {}).items()}
        with named():
            made = self._native(workspace).register(
                name, description=description or "", tags=texts, new_version=create_new_version,
                workspace=workspace._client(),
            )  # fmt: skip
        return type(self)._of(made.definition, made.row, workspace)  # type: ignore[no-any-return]

    def unregister_all_versions(self) -> None:
        """Delete every version of its name; the data stay."""
        client = self._workspace._client()
        from outlast.sdk import datasets

        with named():
            datasets.forget(self.name or "", workspace=client)
        self._row = {}

    def update(
        self: Self, description: Optional[str] = None, tags: Optional[Mapping[str, Any]] = None
    ) -> Self:
        """Have this description, and these tags and no others; None leaves what is."""
        gone = [name for name in self.tags if name not in (tags or {})] if tags is not None else []
        return self._change(tags, gone, description)

    def add_tags(self: Self, tags: Optional[Mapping[str, Any]] = None) -> Self:
        """Set tags."""
        return self._change(tags, [], None)

    def remove_tags(self: Self, tags: Optional[Sequence[str]] = None) -> Self:
        """Remove tags by name."""
        return self._change(None, list(tags or ()), None)

    def _change(self: Self, tags: Any, removed: List[str], description: Optional[str]) -> Self:
        texts = {str(k): None if v is None else str(v) for k, v in (tags or {}).items()}
        with named():
            native = self._native()
            native.change(tags=texts, removed_tags=removed, description=description)
        self._row = native.row
        return self

    @staticmethod
    def get_by_name(workspace: Any, name: str, version: Any = "latest", **kwargs: Any) -> Any:
        """The dataset of this name, by default its newest version.

        Raises UserErrorException without one.
        """
        client = workspace._client()
        from outlast.sdk import datasets

        with named():
            found = datasets.get(name, version, workspace=client)
        return AbstractDataset._of_native(found, workspace)

    @staticmethod
    def get_by_id(workspace: Any, id: str, **kwargs: Any) -> Any:
        """The registered dataset with this id, or the input of this run that has it.

        Raises UserErrorException without one.
        """
        own = own_input(id, workspace)
        if own is not None:
            return own
        client = workspace._client()
        from outlast.sdk import datasets

        with named():
            found = datasets.get_by_id(id, workspace=client)
        return AbstractDataset._of_native(found, workspace)

    @staticmethod
    def get_all(workspace: Any) -> Dict[str, Any]:
        """The newest version of every dataset, by name."""
        client = workspace._client()
        from outlast.sdk import datasets

        with named():
            found = [*datasets.list(workspace=client)]
        return {one.name: AbstractDataset._of_native(one, workspace) for one in found}

    # --- as an input ---

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """As an input of a run, under this name."""
        return DatasetConsumptionConfig(name, self, DIRECT)

    def _as_input(self, mode: str, path_on_compute: Optional[str]) -> DatasetConsumptionConfig:
        return DatasetConsumptionConfig(named_by(self), self, mode, path_on_compute)


class Expression:
    """A test of columns, as `dataset["age"] > 30`; several with `&`, `|` and `~`."""

    def __init__(self, test: List[Any]) -> None:
        self._test = test

    def _with(self, word: str, other: Any) -> Expression:
        return Expression([word, self._test, _plain(other)])

    def __gt__(self, other: Any) -> Expression:
        return self._with(">", other)

    def __ge__(self, other: Any) -> Expression:
        return self._with(">=", other)

    def __lt__(self, other: Any) -> Expression:
        return self._with("<", other)

    def __le__(self, other: Any) -> Expression:
        return self._with("<=", other)

    def __eq__(self, other: object) -> Any:
        return self._with("==", other)

    def __ne__(self, other: object) -> Any:
        return self._with("!=", other)

    def __and__(self, other: Any) -> Expression:
        return self._with("and", other)

    def __or__(self, other: Any) -> Expression:
        return self._with("or", other)

    def __invert__(self) -> Expression:
        return Expression(["not", self._test])

    def __bool__(self) -> bool:
        raise UserErrorException("join tests of a dataset by & and |, not by `and` and `or`")

    __hash__ = object.__hash__

    def is_null(self) -> Expression:
        """Is there no value?"""
        return Expression(["is_null", self._test])

    def starts_with(self, text: str) -> Expression:
        """Does it begin with this text?"""
        return self._with("starts_with", text)

    def ends_with(self, text: str) -> Expression:
        """Does it end with this text?"""
        return self._with("ends_with", text)

    def contains(self, text: str) -> Expression:
        """Is this text in it?"""
        return self._with("contains", text)


def _plain(value: Any) -> Any:
    if isinstance(value, Expression):
        return value._test
    return value.isoformat() if isinstance(value, datetime) else value
