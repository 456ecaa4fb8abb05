"""`azureml.data.datapath` and `azureml.data.data_reference`: places in datastores.

A DataReference among the arguments of a script is an input of the run, or with as_upload a folder
that the run fills. Which files a path means, `outlast.data` tells.
"""

from __future__ import annotations

import os
import re
from typing import Any, List, Optional

from outlast.azureml.exceptions import UserErrorException, translated
from outlast.run.dataset import Definition, Source, is_url, of_paths

MODES = ("mount", "download", "upload", "direct")


class DataPath:
    """A place in a datastore, as something to choose for each submission."""

    def __init__(
        self, datastore: Any = None, path_on_datastore: Optional[str] = None,
        name: Optional[str] = None,
    ) -> None:  # fmt: skip
        self._datastore = datastore
        self._path = path_on_datastore
        self._name = name

    @property
    def datastore_name(self) -> Optional[str]:
        return self._datastore.name if self._datastore is not None else None

    @property
    def path_on_datastore(self) -> Optional[str]:
        return self._path

    def create_data_reference(
        self, data_reference_name: Optional[str] = None, datapath_compute_binding: Any = None
    ) -> DataReference:
        """The same as something that a run reads."""
        binding = datapath_compute_binding or DataPathComputeBinding()
        return binding.create_data_reference(data_reference_name, self)

    @staticmethod
    def create_from_data_reference(data_reference: DataReference) -> DataPath:
        """The place that a data reference is about."""
        return DataPath(data_reference.datastore, data_reference.path_on_datastore)


class DataPathComputeBinding:
    """How a run reads a DataPath."""

    def __init__(
        self, mode: str = "mount", path_on_compute: Optional[str] = None, overwrite: bool = False
    ) -> None:
        self.mode = _mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def create_data_reference(
        self, data_reference_name: Optional[str] = None, datapath: Optional[DataPath] = None
    ) -> DataReference:
        """The place as a run reads it."""
        if datapath is None:
            raise UserErrorException("datapath: give a DataPath")
        return DataReference(
            datapath._datastore, data_reference_name, datapath.path_on_datastore, self.mode,
            self.path_on_compute, self.overwrite,
        )  # fmt: skip

    @staticmethod
    def create_from_data_reference(data_reference: DataReference) -> DataPathComputeBinding:
        """How a data reference is read."""
        return DataPathComputeBinding(
            data_reference.mode, data_reference.path_on_compute, data_reference.overwrite
        )


class DataReference:
    """A place in a datastore as a run reads or fills it."""

    def __init__(
        self, datastore: Any, data_reference_name: Optional[str] = None,
        path_on_datastore: Optional[str] = None, mode: str = "mount",
        path_on_compute: Optional[str] = None, overwrite: bool = False,
    ) -> None:  # fmt: skip
        self.datastore = datastore
        self.path_on_datastore = path_on_datastore
        self.data_reference_name = data_reference_name or _named(datastore, path_on_datastore)
        self.mode = _mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.data_reference_name}"

    def __repr__(self) -> str:
        return f"DataReference({self.datastore.name!r}, {self.path_on_datastore!r}, {self.mode!r})"

    @staticmethod
    def create(
        data_reference_name: Optional[str] = None, datapath: Optional[DataPath] = None,
        datapath_compute_binding: Optional[DataPathComputeBinding] = None,
    ) -> DataReference:  # fmt: skip
        """Of a DataPath and how it is read."""
        binding = datapath_compute_binding or DataPathComputeBinding()
        return binding.create_data_reference(data_reference_name, datapath)

    def path(
        self, path: Optional[str] = None, data_reference_name: Optional[str] = None
    ) -> DataReference:
        """A place below this one."""
        parts = [part for part in (self.path_on_datastore, path) if part]
        name = data_reference_name or self.data_reference_name
        return DataReference(self.datastore, name, "/".join(parts) or None, self.mode)

    def as_mount(self) -> DataReference:
        """The same, mounted."""
        return self._as("mount", None, False)

    def as_download(
        self, path_on_compute: Optional[str] = None, overwrite: bool = False
    ) -> DataReference:
        """The same, as a copy."""
        return self._as("download", path_on_compute, overwrite)

    def as_upload(
        self, path_on_compute: Optional[str] = None, overwrite: bool = False
    ) -> DataReference:
        """The same, as a folder that the run fills."""
        return self._as("upload", path_on_compute, overwrite)

    def _as(self, mode: str, path_on_compute: Optional[str], overwrite: bool) -> DataReference:
        return DataReference(
            self.datastore, self.data_reference_name, self.path_on_datastore, mode,
            path_on_compute or self.path_on_compute, overwrite,
        )  # fmt: skip

    def to_config(self) -> DataReferenceConfiguration:
        """As a run configuration keeps it."""
        return DataReferenceConfiguration(
            self.datastore.name, self.mode, self.path_on_datastore, self.path_on_compute,
            self.overwrite,
        )  # fmt: skip

    def _source(self) -> Source:
        source: Source = self.datastore._source(self.path_on_datastore)
        return source


class DataReferenceConfiguration:
    """A data reference in a run configuration, by the name of its datastore."""

    def __init__(
        self, datastore_name: Optional[str] = None, mode: str = "mount",
        path_on_datastore: Optional[str] = None, path_on_compute: Optional[str] = None,
        overwrite: bool = False,
    ) -> None:  # fmt: skip
        self.data_store_name = datastore_name
        self.mode = _mode(mode)
        self.path_on_data_store = path_on_datastore
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite


def definition_of(path: Any, kind: str, **more: Any) -> Definition:
    """The definition of what a factory's `path` may be.

    A path, glob or URL; a DataReference or DataPath; (datastore, path); or a list of these.
    """
    given: List[Any] = [path] if _is_one(path) else list(path)
    with translated():
        return of_paths([_source(one) for one in given], kind, **more)


def place_of(target: Any) -> Any:
    """(datastore, path in it) of a target: a datastore, a place in one, or such a pair."""
    if isinstance(target, DataReference):
        return target.datastore, target.path_on_datastore or ""
    if isinstance(target, DataPath):
        return target._datastore, target.path_on_datastore or ""
    if isinstance(target, (tuple, list)) and len(target) == 2:
        return target[0], target[1] or ""
    if hasattr(target, "_source"):
        return target, ""
    raise UserErrorException(f"target = {target!r}: give a datastore, or (datastore, path)")


def _is_one(path: Any) -> bool:
    if isinstance(path, (list, tuple)):
        return len(path) == 2 and hasattr(path[0], "_source") and isinstance(path[1], str)
    return True


def _source(one: Any) -> Any:
    if isinstance(one, DataReference):
        return one._source()
    if isinstance(one, DataPath):
        return one._datastore._source(one.path_on_datastore)
    if isinstance(one, (tuple, list)) and _is_one(one):
        return one[0]._source(one[1])
    if isinstance(one, (str, os.PathLike)):
        text = os.fspath(one)
        return text if is_url(text) or text else "."
    if hasattr(one, "_source"):
        return one._source("")
    raise UserErrorException(
        f"path = {one!r}: give a path, a URL, datastore.path(…) or (datastore, path)"
    )


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise UserErrorException(f"mode = {mode!r}: use one of {', '.join(MODES)}")
    return mode


def _named(datastore: Any, path: Optional[str]) -> str:
    text = re.sub(r"\W+", "_", f"{getattr(datastore, 'name', 'data')}_{path or ''}").strip("_")
    return text if text[:1].isalpha() else f"data_{text}"
