"""`Dataset.File` and `Dataset.Tabular`: datasets of paths, URLs, datastores and DataFrames.

With `validate` (the default) what lies on this machine is looked for at once, and what isn't there
raises DatasetValidationError; a URL is asked for when it is read.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from typing import Any, Dict, Mapping, NoReturn, Optional

from outlast.azureml.data_path import definition_of, place_of
from outlast.azureml.dataset_types import DatasetValidationError, header_word, text_of
from outlast.azureml.exceptions import UserErrorException, translated
from outlast.azureml.names import load
from outlast.data import files
from outlast.data.extras import extra
from outlast.errors import Invalid, NotFound
from outlast.run.dataset import Definition, is_url


class DataType:
    """The type of a column, for `set_column_types`."""

    def __init__(self, kind: str, **facts: Any) -> None:
        self._facts = {"type": kind, **facts}

    def __repr__(self) -> str:
        return f"DataType({self._facts['type']})"

    @staticmethod
    def to_string() -> DataType:
        """Text."""
        return DataType("string")

    @staticmethod
    def to_long() -> DataType:
        """Whole numbers."""
        return DataType("long")

    @staticmethod
    def to_float(decimal_mark: str = ".") -> DataType:
        """Numbers."""
        return DataType("float", decimal_mark=decimal_mark)

    @staticmethod
    def to_bool() -> DataType:
        """True or false."""
        return DataType("bool")

    @staticmethod
    def to_datetime(formats: Any = None) -> DataType:
        """Dates, in one of the formats as strptime takes them."""
        given = [formats] if isinstance(formats, str) else list(formats or ())
        return DataType("datetime", formats=given)

    @staticmethod
    def to_stream(workspace: Any, escaped: bool = False) -> DataType:
        """A path or URL, kept as text."""
        return DataType("stream")


class FileDatasetFactory:
    """Datasets of files."""

    @staticmethod
    def from_files(
        path: Any, validate: bool = True, partition_format: Optional[str] = None,
        is_file: bool = False,
    ) -> Any:  # fmt: skip
        """The files that `path` names: a path, glob, URL, datastore.path(…), or a list of them."""
        options = {"partition_format": partition_format} if partition_format else {}
        definition = definition_of(path, "file", options=options)
        return _made("FileDataset", definition, validate)

    @staticmethod
    def upload_directory(
        src_dir: str, target: Any, pattern: Optional[str] = None, overwrite: bool = False,
        show_progress: bool = True,
    ) -> Any:  # fmt: skip
        """Put the files of a folder into a datastore; returns them as a dataset."""
        datastore, path = place_of(target)
        if pattern:
            found = files.found(definition_of(os.path.join(src_dir, "**", pattern), "file"))
            datastore.upload_files(
                [one.path for one in found], src_dir, path, overwrite, show_progress
            )
        else:
            datastore.upload(src_dir, path, overwrite, show_progress)
        return FileDatasetFactory.from_files((datastore, path))


class TabularDatasetFactory:
    """Datasets of tables."""

    @staticmethod
    def from_delimited_files(
        path: Any, validate: bool = True, include_path: bool = False,
        infer_column_types: bool = True, set_column_types: Optional[Mapping[str, Any]] = None,
        separator: str = ",", header: Any = True, partition_format: Optional[str] = None,
        support_multi_line: bool = False, empty_as_string: bool = False, encoding: Any = "utf8",
    ) -> Any:  # fmt: skip
        """A table in files of text; quoted fields may hold separators and new lines."""
        options: Dict[str, Any] = {
            "separator": separator, "header": header_word(header), "encoding": text_of(encoding),
            "infer_column_types": bool(infer_column_types),
            "empty_as_string": bool(empty_as_string),
        }  # fmt: skip
        return _table("delimited", path, validate, include_path, set_column_types,
                      partition_format, options)  # fmt: skip

    @staticmethod
    def from_parquet_files(
        path: Any, validate: bool = True, include_path: bool = False,
        set_column_types: Optional[Mapping[str, Any]] = None,
        partition_format: Optional[str] = None,
    ) -> Any:  # fmt: skip
        """A table in Parquet files."""
        return _table("parquet", path, validate, include_path, set_column_types, partition_format)

    @staticmethod
    def from_json_lines_files(
        path: Any, validate: bool = True, include_path: bool = False,
        set_column_types: Optional[Mapping[str, Any]] = None,
        partition_format: Optional[str] = None, invalid_lines: str = "error",
        encoding: Any = "utf8",
    ) -> Any:  # fmt: skip
        """A table in files with a JSON object a line."""
        if invalid_lines not in ("error", "drop"):
            raise UserErrorException(f"invalid_lines = {invalid_lines!r}: use error or drop")
        options = {"invalid_lines": invalid_lines, "encoding": text_of(encoding)}
        return _table("json_lines", path, validate, include_path, set_column_types,
                      partition_format, options)  # fmt: skip

    @staticmethod
    def from_sql_query(
        query: Any, validate: bool = True, set_column_types: Optional[Mapping[str, Any]] = None,
        query_timeout: int = 30,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise UserErrorException(
            "from_sql_query: Outlast has no database datastores. Read it with pandas.read_sql, and "
            "keep it by Dataset.Tabular.register_pandas_dataframe"
        )

    @staticmethod
    def register_pandas_dataframe(
        dataframe: Any, target: Any, name: str, description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None, show_progress: bool = True,
        row_group_size: Optional[int] = None, make_target_path_unique: bool = True,
    ) -> Any:  # fmt: skip
        """Write a DataFrame as Parquet into a datastore and register that; returns the dataset."""
        with translated():
            pandas = extra("pandas", "a DataFrame")
            extra("pyarrow", "writing Parquet")
        if not isinstance(dataframe, pandas.DataFrame):
            raise UserErrorException(f"dataframe = {type(dataframe).__name__}: give a DataFrame")
        datastore, path = place_of(target)
        unique = str(uuid.uuid4()) if make_target_path_unique else ""
        below = "/".join(part for part in (path.strip("/"), unique) if part)
        rows = {"row_group_size": row_group_size} if row_group_size else {}
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "part-00000.parquet")
            dataframe.to_parquet(file, index=False, **rows)
            datastore.upload_files([file], folder, below, True, show_progress)
        file = "/".join(part for part in (below, "part-00000.parquet") if part)
        made = TabularDatasetFactory.from_parquet_files((datastore, file))
        return made.register(datastore.workspace, name, description, tags, create_new_version=True)

    @staticmethod
    def register_dask_dataframe(
        dataframe: Any, target: Any, name: str, description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None, show_progress: bool = True,
    ) -> Any:  # fmt: skip
        """As register_pandas_dataframe, of what the dask DataFrame computes."""
        return TabularDatasetFactory.register_pandas_dataframe(
            dataframe.compute(), target, name, description, tags, show_progress
        )

    @staticmethod
    def register_spark_dataframe(
        dataframe: Any, target: Any, name: str, description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None, show_progress: bool = True,
    ) -> Any:  # fmt: skip
        """As register_pandas_dataframe, of what the Spark DataFrame collects."""
        return TabularDatasetFactory.register_pandas_dataframe(
            dataframe.toPandas(), target, name, description, tags, show_progress
        )


def _table(
    form: str, path: Any, validate: bool, include_path: bool,
    set_column_types: Optional[Mapping[str, Any]], partition_format: Optional[str],
    options: Optional[Mapping[str, Any]] = None,
) -> Any:  # fmt: skip
    told = {**(options or {}), "include_path": bool(include_path)}
    if set_column_types:
        told["column_types"] = column_types(set_column_types)
    if partition_format:
        told["partition_format"] = partition_format
    definition = definition_of(path, "tabular", format=form, options=told)
    return _made("TabularDataset", definition, validate)


def column_types(given: Mapping[str, Any]) -> Dict[str, Any]:
    """As a definition keeps them. Raises UserErrorException for what is no DataType."""
    for name, kind in given.items():
        if not isinstance(kind, DataType):
            raise UserErrorException(
                f"set_column_types[{name!r}] = {kind!r}: give a DataType, as DataType.to_string()"
            )
    return {str(name): dict(kind._facts) for name, kind in given.items()}


def _made(kind: str, definition: Definition, validate: bool) -> Any:
    if validate and not any(is_url(one.root or one.path) for one in definition.sources):
        try:
            files.found(definition)
        except (NotFound, Invalid) as error:
            raise DatasetValidationError(error.message, exception=error) from error
    return load("azureml.data", kind)._of(definition)
