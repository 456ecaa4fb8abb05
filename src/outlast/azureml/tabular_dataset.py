"""`azureml.data.TabularDataset`: a table, read by pandas when it is asked for."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timedelta, timezone
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from outlast.azureml.abstract_dataset import AbstractDataset, Expression
from outlast.azureml.data_path import place_of
from outlast.azureml.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from outlast.azureml.dataset_types import named
from outlast.azureml.exceptions import DatasetTimestampMissingError, UserErrorException
from outlast.azureml.names import load
from outlast.data.extras import extra
from outlast.run.dataset import with_stamps

Columns = Union[str, Sequence[str]]


class TabularDataset(AbstractDataset):
    """A table in files."""

    def to_pandas_dataframe(
        self, on_error: str = "null", out_of_range_datetime: str = "null"
    ) -> Any:
        """All of it as a DataFrame. Raises UserErrorException where it can't be read."""
        from outlast.data import table

        with named():
            return table.frame(self._definition)

    def to_dask_dataframe(
        self, sample_size: int = 10000, dtypes: Optional[Mapping[str, Any]] = None,
        on_error: str = "null", out_of_range_datetime: str = "null",
    ) -> Any:  # fmt: skip
        """The same as a dask DataFrame."""
        with named():
            dask = extra("dask.dataframe", "to_dask_dataframe")
        return dask.from_pandas(self.to_pandas_dataframe(), npartitions=1)

    def to_spark_dataframe(self) -> Any:
        """The same as a Spark DataFrame, of the session that this process has."""
        with named():
            sql = extra("pyspark.sql", "to_spark_dataframe")
        return sql.SparkSession.builder.getOrCreate().createDataFrame(self.to_pandas_dataframe())

    # --- rows and columns ---

    def take(self, count: int) -> TabularDataset:
        """The first rows."""
        return self._then("take", count=count)

    def skip(self, count: int) -> TabularDataset:
        """All but the first rows."""
        return self._then("skip", count=count)

    def take_sample(self, probability: float, seed: Optional[int] = None) -> TabularDataset:
        """Each row with this probability; without a seed, 0 is the seed."""
        return self._then("sample", probability=probability, seed=seed)

    def random_split(
        self, percentage: float, seed: Optional[int] = None
    ) -> Tuple[TabularDataset, TabularDataset]:
        """Two datasets, the first with about this share of the rows; no row is in both."""
        return (
            self._then("split", fraction=percentage, seed=seed, is_rest=False),
            self._then("split", fraction=percentage, seed=seed, is_rest=True),
        )

    def keep_columns(self, columns: Columns, validate: bool = False) -> TabularDataset:
        """Only these columns; with `validate`, what isn't there raises at once."""
        made = self._then("keep", columns=_names(columns))
        if validate:
            made.take(1).to_pandas_dataframe()
        return made

    def drop_columns(self, columns: Columns) -> TabularDataset:
        """All but these columns."""
        return self._then("drop", columns=_names(columns))

    def filter(self, expression: Any) -> TabularDataset:
        """Only the rows for which this holds, as `dataset["age"] > 30`."""
        if not isinstance(expression, Expression):
            raise UserErrorException('expression: give a test of columns, as dataset["age"] > 30')
        return self._then("where", test=expression._test)

    # --- time ---

    @property
    def timestamp_columns(self) -> Tuple[Optional[str], Optional[str]]:
        """The columns that say of when a row is: (timestamp, partition_timestamp)."""
        return with_stamps(self._definition)

    def with_timestamp_columns(
        self, timestamp: Optional[str] = None, partition_timestamp: Optional[str] = None,
        validate: bool = False, **kwargs: Any,
    ) -> TabularDataset:  # fmt: skip
        """Say which columns tell of when a row is. Older names of the two are taken as well."""
        timestamp = timestamp or kwargs.pop("fine_grain_timestamp", None)
        partition = partition_timestamp or kwargs.pop("coarse_grain_timestamp", None)
        if kwargs:
            raise UserErrorException(f"with_timestamp_columns: unknown {next(iter(kwargs))!r}")
        made = self._then("stamps", timestamp=timestamp, partition=partition)
        if validate:
            table, pandas = made.take(1000).to_pandas_dataframe(), extra("pandas", "a table")
            for name in filter(None, (timestamp, partition)):
                if name not in table or not pandas.api.types.is_datetime64_any_dtype(table[name]):
                    raise UserErrorException(f"column {name!r} holds no dates")
        return made

    def time_before(
        self, end_time: Any, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """Only rows of before this time."""
        return self._of_time(None, end_time, include_boundary)

    def time_after(
        self, start_time: Any, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """Only rows of after this time."""
        return self._of_time(start_time, None, include_boundary)

    def time_between(
        self, start_time: Any, end_time: Any, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """Only rows of between these times."""
        return self._of_time(start_time, end_time, include_boundary)

    def time_recent(
        self, time_delta: timedelta, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """Only rows of the last `time_delta`."""
        return self._of_time(datetime.now(timezone.utc) - time_delta, None, include_boundary)

    def _of_time(self, after: Any, before: Any, is_boundary: bool) -> TabularDataset:
        if not any(self.timestamp_columns):
            raise DatasetTimestampMissingError("name the column first: with_timestamp_columns(…)")
        return self._then(
            "time", after=_moment(after), before=_moment(before), is_boundary=is_boundary
        )

    # --- into files ---

    def to_csv_files(self, separator: str = ",") -> Any:
        """The same as files of text, in a new folder of this machine: a FileDataset."""
        folder = tempfile.mkdtemp(prefix="dataset-")
        path = os.path.join(folder, "part-00000.csv")
        self.to_pandas_dataframe().to_csv(path, index=False, sep=separator)
        return FileDatasetFactory.from_files(folder)

    def to_parquet_files(self) -> Any:
        """The same as Parquet, in a new folder of this machine: a FileDataset."""
        folder = tempfile.mkdtemp(prefix="dataset-")
        self._write_parquet(self.to_pandas_dataframe(), os.path.join(folder, "part-00000.parquet"))
        return FileDatasetFactory.from_files(folder)

    def _write_parquet(self, table: Any, path: str) -> None:
        with named():
            extra("pyarrow", "writing Parquet")
        table.to_parquet(path, index=False)

    def partition_by(
        self, partition_keys: Sequence[str], target: Any, name: Optional[str] = None,
        show_progress: bool = True, partition_as_file_dataset: bool = False,
    ) -> Any:  # fmt: skip
        """Write it to a datastore, a folder for each value of the keys; returns that dataset."""
        datastore, path = place_of(target)
        table = self.to_pandas_dataframe()
        keys = _names(partition_keys)
        missing = [key for key in keys if key not in table.columns]
        if missing:
            raise UserErrorException(f"partition_keys: there is no column {missing[0]!r}")
        below = "/".join(part for part in (path.strip("/"), self.id) if part)
        with tempfile.TemporaryDirectory() as folder:
            for values, part in table.groupby(keys if len(keys) > 1 else keys[0]):
                parts = values if isinstance(values, tuple) else (values,)
                place = os.path.join(folder, *(_as_name(value) for value in parts))
                os.makedirs(place)
                file = os.path.join(place, "part-00000.parquet")
                self._write_parquet(part.drop(columns=keys), file)
            datastore.upload(folder, below, True, show_progress)
        form = "/" + "/".join("{" + key + "}" for key in keys) + "/part-00000.parquet"
        places = (datastore, below)
        made = (
            FileDatasetFactory.from_files(places, partition_format=form)
            if partition_as_file_dataset
            else TabularDatasetFactory.from_parquet_files(places, partition_format=form)
        )
        if name:
            return made.register(datastore.workspace, name, create_new_version=True)
        return made

    # --- facts ---

    def get_profile(self, workspace: Any = None) -> Any:
        """Count, mean, quantiles and the like of each column: a DataFrame."""
        return self.to_pandas_dataframe().describe(include="all")

    def download(
        self, stream_column: str, target_path: Optional[str] = None, overwrite: bool = False,
        ignore_not_found: bool = True,
    ) -> List[str]:  # fmt: skip
        """Copy the files that a column names; returns their paths."""
        table = self.to_pandas_dataframe()
        if stream_column not in table.columns:
            raise UserErrorException(f"stream_column: there is no column {stream_column!r}")
        named = [str(path) for path in table[stream_column].dropna()]
        wanted = FileDatasetFactory.from_files(named, validate=False)
        made: List[str] = wanted.download(target_path, overwrite, ignore_not_found)
        return made

    def mount(self, stream_column: str, mount_point: Optional[str] = None) -> Any:
        """A context in which the files that a column names are in a folder."""
        named = [str(path) for path in self.to_pandas_dataframe()[stream_column].dropna()]
        files = load("azureml.data", "FileDataset")
        return files.mount(FileDatasetFactory.from_files(named), mount_point)


def _names(columns: Columns) -> List[str]:
    return [columns] if isinstance(columns, str) else [str(name) for name in columns]


def _moment(time: Any) -> Optional[str]:
    if time is None or isinstance(time, str):
        return time
    if not hasattr(time, "isoformat"):
        raise UserErrorException(f"time = {time!r}: give a datetime")
    return str(time.isoformat())


def _as_name(value: Any) -> str:
    return "".join(char if char.isalnum() or char in "-_. " else "_" for char in str(value)) or "_"
