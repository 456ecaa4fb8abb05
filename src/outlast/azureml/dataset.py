"""`azureml.core.Dataset`: the way in to datasets, and the older calls for tables.

`Dataset.Tabular.from_…`, `Dataset.File.from_files` and the registry are those of FileDataset and
TabularDataset; the calls that Azure ML had before them are the same by other names.
"""

from __future__ import annotations

import os
from typing import Any, List, NoReturn, Optional

from outlast.azureml.abstract_dataset import AbstractDataset
from outlast.azureml.data_path import definition_of
from outlast.azureml.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from outlast.azureml.dataset_types import (
    FileEncoding,
    PromoteHeadersBehavior,
    SkipLinesBehavior,
)
from outlast.azureml.exceptions import UserErrorException, translated
from outlast.data import files

_JSON, _PARQUET = (".json", ".jsonl", ".ndjson"), (".parquet", ".pq")
_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}


class Dataset(AbstractDataset):
    """Where datasets come from."""

    class Scenario:
        """What a model's datasets are for."""

        TRAINING = "training"
        VALIDATION = "validation"
        INFERENCING = "inferencing"

    def __init__(
        self, definition: Any = None, workspace: Any = None, name: Optional[str] = None,
        id: Optional[str] = None,
    ) -> None:  # fmt: skip
        """Refused: raises UserErrorException, which says how datasets are made."""
        super().__init__()

    @staticmethod
    def get(workspace: Any, name: Optional[str] = None, id: Optional[str] = None) -> Any:
        """By name or by id."""
        if (name is None) == (id is None):
            raise UserErrorException("give either name or id")
        if name is not None:
            return AbstractDataset.get_by_name(workspace, name)
        return AbstractDataset.get_by_id(workspace, str(id))

    @staticmethod
    def list(workspace: Any) -> List[Any]:
        """The newest version of every dataset."""
        return [*AbstractDataset.get_all(workspace).values()]

    @staticmethod
    def auto_read_files(
        path: Any, include_path: bool = False, partition_format: Optional[str] = None
    ) -> Any:
        """A table, of which the name of the first file tells the form."""
        with translated():
            first = files.found(definition_of(path, "file"))[0].name
        ending = os.path.splitext(first)[1].lower()
        if ending in _PARQUET:
            return Dataset.from_parquet_files(path, include_path, partition_format)
        if ending in _JSON:
            return Dataset.from_json_files(path, include_path=include_path)
        if ending not in _TEXT:
            raise UserErrorException(f"path: {first} doesn't tell its form; use Dataset.Tabular")
        return Dataset.from_delimited_files(
            path, _TEXT[ending], include_path=include_path, partition_format=partition_format
        )

    @staticmethod
    def from_delimited_files(
        path: Any, separator: str = ",",
        header: Any = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
        encoding: Any = FileEncoding.UTF8, quoting: bool = False, infer_column_types: bool = True,
        skip_rows: int = 0, skip_mode: Any = SkipLinesBehavior.NO_ROWS,
        comment: Optional[str] = None, include_path: bool = False, archive_options: Any = None,
        partition_format: Optional[str] = None,
    ) -> Any:  # fmt: skip
        """As Dataset.Tabular.from_delimited_files."""
        made = TabularDatasetFactory.from_delimited_files(
            path, separator=separator, header=header, encoding=encoding, include_path=include_path,
            infer_column_types=infer_column_types, partition_format=partition_format,
        )  # fmt: skip
        return made.skip(skip_rows) if skip_rows else made

    @staticmethod
    def from_parquet_files(
        path: Any, include_path: bool = False, partition_format: Optional[str] = None
    ) -> Any:
        """As Dataset.Tabular.from_parquet_files."""
        return TabularDatasetFactory.from_parquet_files(
            path, include_path=include_path, partition_format=partition_format
        )

    @staticmethod
    def from_json_files(
        path: Any, encoding: Any = FileEncoding.UTF8, flatten_nested_arrays: bool = False,
        include_path: bool = False, partition_format: Optional[str] = None,
    ) -> Any:  # fmt: skip
        """As Dataset.Tabular.from_json_lines_files."""
        return TabularDatasetFactory.from_json_lines_files(
            path, encoding=encoding, include_path=include_path, partition_format=partition_format
        )

    @staticmethod
    def from_binary_files(path: Any) -> Any:
        """As Dataset.File.from_files."""
        return FileDatasetFactory.from_files(path)

    @staticmethod
    def from_pandas_dataframe(dataframe: Any, path: Any = None, in_memory: bool = False) -> Any:
        """A table of a DataFrame, written as Parquet to the folder `path`."""
        if path is None:
            raise UserErrorException("path: give the folder where the table is to be kept")
        os.makedirs(path, exist_ok=True)
        file = os.path.join(os.fspath(path), "part-00000.parquet")
        dataframe.to_parquet(file, index=False)
        return TabularDatasetFactory.from_parquet_files(file)

    @staticmethod
    def from_excel_files(
        path: Any, sheet_name: Optional[str] = None, use_column_headers: bool = False,
        skip_rows: int = 0, include_path: bool = False, infer_column_types: bool = True,
        partition_format: Optional[str] = None,
    ) -> NoReturn:  # fmt: skip
        """Refused: raises UserErrorException, which says what is nearest."""
        raise UserErrorException(
            "from_excel_files: read it with pandas.read_excel, and keep it by "
            "Dataset.Tabular.register_pandas_dataframe"
        )

    @staticmethod
    def from_sql_query(data_source: Any, query: str) -> NoReturn:
        """Refused: raises UserErrorException, which says what is nearest."""
        TabularDatasetFactory.from_sql_query(query)
