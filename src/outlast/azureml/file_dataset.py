"""`azureml.data.FileDataset`: files, chosen, fetched, mounted or given to runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from types import TracebackType
from typing import Any, List, Optional, Tuple, Type

from outlast.azureml.abstract_dataset import AbstractDataset
from outlast.azureml.dataset_input import DOWNLOAD, HDFS, MOUNT, DatasetConsumptionConfig
from outlast.azureml.dataset_types import named
from outlast.azureml.exceptions import UserErrorException
from outlast.data import bring, content, files
from outlast.errors import NotFound


class FileDataset(AbstractDataset):
    """Files, wherever they lie."""

    def to_path(self) -> List[str]:
        """The files as paths from the folder that they share, as "/digits/0.png"."""
        return ["/" + one.name for one in self._found()]

    def _found(self) -> List[files.Found]:
        with named():
            return files.found(self._definition)

    def download(
        self, target_path: Optional[str] = None, overwrite: bool = False,
        ignore_not_found: bool = False,
    ) -> List[str]:  # fmt: skip
        """Copy the files to a folder (default: a new temporary one); returns their paths.

        Raises UserErrorException for one that exists, unless `overwrite`.
        """
        folder = os.path.abspath(target_path or tempfile.mkdtemp(prefix="dataset-"))
        with named():
            try:
                found = files.found(self._definition)
            except NotFound:
                if not ignore_not_found:
                    raise
                found = []
            return content.download(found, folder, is_overwriting=overwrite)

    def mount(self, mount_point: Optional[str] = None, **kwargs: Any) -> DatasetContextManager:
        """A context in which the files are in a folder that isn't to be written to."""
        return DatasetContextManager(self, mount_point)

    def as_mount(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """As an input that is mounted: a path among the script's arguments."""
        return self._as_input(MOUNT, path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """As an input that is copied: a path among the script's arguments."""
        return self._as_input(DOWNLOAD, path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """As mounted: there is no Spark cluster."""
        return self._as_input(HDFS, None)

    def take(self, count: int) -> FileDataset:
        """The first files."""
        return self._then("take", count=count)

    def skip(self, count: int) -> FileDataset:
        """All but the first files."""
        return self._then("skip", count=count)

    def take_sample(self, probability: float, seed: Optional[int] = None) -> FileDataset:
        """Each file with this probability; without a seed, 0 is the seed."""
        return self._then("sample", probability=probability, seed=seed)

    def random_split(
        self, percentage: float, seed: Optional[int] = None
    ) -> Tuple[FileDataset, FileDataset]:
        """Two datasets, the first with about this share of the files; no file is in both."""
        return (
            self._then("split", fraction=percentage, seed=seed, is_rest=False),
            self._then("split", fraction=percentage, seed=seed, is_rest=True),
        )

    def filter(self, expression: Any) -> FileDataset:
        """Raises UserErrorException: files have no columns; use a glob, take or skip."""
        raise UserErrorException("FileDataset.filter: files have no columns; name them by a glob")


class DatasetContextManager:
    """Files in a folder, until it is left: `with dataset.mount() as context: …`."""

    def __init__(self, dataset: FileDataset, mount_point: Optional[str]) -> None:
        self._dataset = dataset
        self._is_own = mount_point is None
        self.mount_point = mount_point or tempfile.mkdtemp(prefix="mount-")

    def __enter__(self) -> DatasetContextManager:
        self.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:  # fmt: skip
        self.stop()

    def start(self) -> None:
        """Lay the files out. Raises UserErrorException for a folder that isn't empty."""
        os.makedirs(self.mount_point, exist_ok=True)
        if os.listdir(self.mount_point):
            raise UserErrorException(f"mount_point = {self.mount_point!r}: it isn't empty")
        with named():
            bring.laid_out(self._dataset._found(), self.mount_point, is_link=True)

    def stop(self) -> None:
        """Take them away again; the data stay."""
        if os.path.isdir(self.mount_point):
            bring.set_writable(self.mount_point, True)
            shutil.rmtree(self.mount_point)
        if not self._is_own:
            os.makedirs(self.mount_point)
