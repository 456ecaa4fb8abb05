"""`azureml.data.OutputFileDatasetConfig` and its kin: folders that a run fills for others.

Among the arguments of a script it becomes `${{outputs.NAME}}`, a folder that is there. When the run
ends well its files go to the datastore, and are registered if that was asked for, before the run
is Completed; a run that fails delivers nothing.
"""

from __future__ import annotations

import copy
import os
import uuid
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, TypeVar

from outlast.azureml.data_path import DataReference, place_of
from outlast.azureml.dataset_factory import column_types
from outlast.azureml.dataset_input import DIRECT, DatasetConsumptionConfig
from outlast.azureml.dataset_types import PromoteHeadersBehavior, header_word
from outlast.azureml.exceptions import UserErrorException, of, translated
from outlast.errors import Invalid
from outlast.run.dataset import Delivery, input_name

MOUNT, UPLOAD, LINK = "mount", "upload", "link"
Self = TypeVar("Self", bound="OutputDatasetConfig")


class UploadOptions:
    """How files are uploaded."""

    def __init__(self, overwrite: bool = False, source_globs: Any = None) -> None:
        self.overwrite = overwrite
        globs = [source_globs] if isinstance(source_globs, str) else source_globs
        self.source_globs: List[str] = list(globs or ())


class MountOptions:
    """How a folder is mounted: kept, and of no consequence here."""

    def __init__(self, disable_metadata_cache: bool = False) -> None:
        self.disable_metadata_cache = disable_metadata_cache


class RegistrationConfiguration(NamedTuple):
    """As what an output is registered."""

    name: str
    description: Optional[str] = None
    tags: Optional[Mapping[str, Any]] = None


class OutputDatasetConfig:
    """An output of a run, by name and mode."""

    def __init__(self, mode: str, name: Optional[str] = None, **kwargs: Any) -> None:
        """Raises UserErrorException for a name that can't be a variable."""
        try:
            self._name = input_name(name or f"output_{uuid.uuid4().hex[:8]}")
        except Invalid as error:
            raise of(error) from None
        self.mode = mode
        self.arg_val = f"DatasetOutputConfig:{self._name}"
        self._registration: Optional[RegistrationConfiguration] = None
        self._upload = UploadOptions(overwrite=True)
        self._mount = MountOptions()
        self._form: Dict[str, Any] = {}  # of a table

    def __str__(self) -> str:
        return self.arg_val

    @property
    def name(self) -> str:
        return self._name

    def register_on_complete(
        self: Self, name: str, description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None,
    ) -> Self:  # fmt: skip
        """The same, registered as the next version of a dataset when the run ends well."""
        if not name:
            raise UserErrorException("name: give the dataset's name")
        made = copy.copy(self)
        made._registration = RegistrationConfiguration(name, description, tags)
        return made

    def as_input(self, name: Optional[str] = None) -> DatasetConsumptionConfig:
        """What the run put out, as the input of another that comes after it."""
        return DatasetConsumptionConfig(name or self.name, self, DIRECT)

    def _step(self: Self, do: str, **fields: Any) -> Self:
        made = copy.copy(self)
        steps = [*self._form.get("steps", ()), {"do": do, **fields}]
        made._form = {**self._form, "steps": steps}
        return made


class TransformationMixin:
    """Files that are to be read as a table."""

    def read_delimited_files(
        self, include_path: bool = False, separator: str = ",",
        header: Any = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
        partition_format: Optional[str] = None, path_glob: Optional[str] = None,
        set_column_types: Optional[Mapping[str, Any]] = None,
    ) -> OutputTabularDatasetConfig:  # fmt: skip
        """The same as a table in files of text."""
        options = {"separator": separator, "header": header_word(header)}
        return self._table("delimited", options, include_path, partition_format, set_column_types)

    def read_parquet_files(
        self, include_path: bool = False, partition_format: Optional[str] = None,
        path_glob: Optional[str] = None, set_column_types: Optional[Mapping[str, Any]] = None,
    ) -> OutputTabularDatasetConfig:  # fmt: skip
        """The same as a table in Parquet files."""
        return self._table("parquet", {}, include_path, partition_format, set_column_types)

    def _table(
        self, form: str, options: Dict[str, Any], include_path: bool,
        partition_format: Optional[str], set_column_types: Optional[Mapping[str, Any]],
    ) -> OutputTabularDatasetConfig:  # fmt: skip
        told: Dict[str, Any] = {**options, "include_path": include_path}
        if partition_format:
            told["partition_format"] = partition_format
        if set_column_types:
            told["column_types"] = column_types(set_column_types)
        made = OutputTabularDatasetConfig(output=self)
        made._form = {"kind": "tabular", "format": form, "options": told}
        return made


class OutputFileDatasetConfig(OutputDatasetConfig, TransformationMixin):
    """A folder of files that a run fills."""

    def __init__(
        self, name: Optional[str] = None, destination: Any = None, source: Optional[str] = None,
        partition_format: Optional[str] = None,
    ) -> None:  # fmt: skip
        """`destination` (default: dataset/{run-id}/{output-name} of the default datastore) is a
        datastore or (datastore, path); `source` the folder in the run (default: one that is made).
        """
        super().__init__(MOUNT, name)
        self.destination = destination
        self.source = source
        if partition_format:
            self._form = {"kind": "file", "options": {"partition_format": partition_format}}

    def as_upload(
        self, overwrite: bool = False, source_globs: Any = None
    ) -> OutputFileDatasetConfig:
        """The same, with which files are wanted, and whether one that is there gives way."""
        made = copy.copy(self)
        made.mode, made._upload = UPLOAD, UploadOptions(overwrite, source_globs)
        return made

    def as_mount(self, disable_metadata_cache: bool = False) -> OutputFileDatasetConfig:
        """The same, where a file that is there gives way."""
        made = copy.copy(self)
        made.mode, made._upload = MOUNT, UploadOptions(overwrite=True)
        made._mount = MountOptions(disable_metadata_cache)
        return made

    def _delivery(self, workspace: Any) -> Delivery:
        """As a submission takes it."""
        if self.destination is None:
            datastore, path = workspace.get_default_datastore(), None
        else:
            datastore, path = place_of(self.destination)
        source = self.source
        if source is not None and (os.path.isabs(source) or ".." in source.split("/")):
            raise UserErrorException(f"source = {source!r}: name a folder below the script's own")
        with translated():
            made: Delivery = datastore._native.delivery(
                *([path] if path else []), register=self._asked(),
                globs=self._upload.source_globs, overwrite=self._upload.overwrite,
            )  # fmt: skip
        return made._replace(folder=os.path.normpath(source)) if source else made

    def _asked(self) -> Dict[str, Any]:
        asked = self._registration
        if asked is None:
            return {}
        tags = {str(k): None if v is None else str(v) for k, v in (asked.tags or {}).items()}
        told = {"name": asked.name, "description": asked.description or "", "tags": tags}
        return {**told, **self._form}


class OutputTabularDatasetConfig(OutputDatasetConfig):
    """The files of an output as a table; what a run fills are the files."""

    def __init__(self, **kwargs: Any) -> None:
        output = kwargs.get("output")
        if not isinstance(output, OutputFileDatasetConfig):
            raise UserErrorException("make it by read_delimited_files or read_parquet_files")
        super().__init__(output.mode, output.name)
        self._output = output
        self._registration = output._registration

    def as_mount(self) -> OutputTabularDatasetConfig:
        """The same."""
        return self._with(self._output.as_mount())

    def as_upload(
        self, overwrite: bool = False, source_globs: Optional[Sequence[str]] = None
    ) -> OutputTabularDatasetConfig:
        """The same, with which files are wanted, and whether one that is there gives way."""
        return self._with(self._output.as_upload(overwrite, source_globs))

    def _with(self, output: OutputFileDatasetConfig) -> OutputTabularDatasetConfig:
        made = copy.copy(self)
        made._output, made.mode = output, output.mode
        return made

    def keep_columns(self, columns: Any) -> OutputTabularDatasetConfig:
        """Only these columns of it."""
        return self._step("keep", columns=[columns] if isinstance(columns, str) else [*columns])

    def drop_columns(self, columns: Any) -> OutputTabularDatasetConfig:
        """All but these columns of it."""
        return self._step("drop", columns=[columns] if isinstance(columns, str) else [*columns])

    def random_split(self, percentage: float, seed: Optional[int] = None) -> Any:
        """Two of it, the first with about this share of the rows."""
        return (
            self._step("split", fraction=percentage, seed=seed, is_rest=False),
            self._step("split", fraction=percentage, seed=seed, is_rest=True),
        )

    def _delivery(self, workspace: Any) -> Delivery:
        files = copy.copy(self._output)
        files._registration, files._form = self._registration, self._form
        return files._delivery(workspace)


class _LinkOutput(OutputDatasetConfig):
    def __init__(self, name: Optional[str] = None) -> None:
        super().__init__(LINK, name)

    def _delivery(self, workspace: Any) -> Delivery:
        raise UserErrorException(
            f"{type(self).__name__}: a run links no dataset by itself. Let the script register one "
            "(dataset.register), or fill a folder: OutputFileDatasetConfig"
        )


class LinkFileOutputDatasetConfig(_LinkOutput):
    """A dataset of files that a script makes by itself; refused when it is submitted."""


class LinkTabularOutputDatasetConfig(_LinkOutput):
    """A table that a script makes by itself; refused when it is submitted."""


def uploaded(reference: DataReference) -> OutputFileDatasetConfig:
    """A data reference that a run fills, as such an output."""
    place = (reference.datastore, reference.path_on_datastore or "")
    source = reference.path_on_compute
    made = OutputFileDatasetConfig(reference.data_reference_name, place, source)
    return made.as_upload(reference.overwrite)
