"""`DatasetConsumptionConfig`, and the datasets of the run that this process belongs to.

Among the arguments of a script it becomes `${{inputs.NAME}}`, which is a path when the run starts,
or the dataset's id where the job reads by itself.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, Optional

from outlast.azureml.exceptions import UserErrorException, of
from outlast.azureml.names import load
from outlast.data.bring import Brought, brought
from outlast.errors import Invalid
from outlast.run.dataset import Input, input_name
from outlast.run.folder import RunFolder

DIRECT, MOUNT, DOWNLOAD, HDFS = "direct", "mount", "download", "hdfs"


class DatasetConsumptionConfig:
    """A dataset as an input of a run, by name and mode."""

    def __init__(
        self, name: str, dataset: Any, mode: str = DIRECT, path_on_compute: Optional[str] = None
    ) -> None:
        """Raises UserErrorException for a name that can't be a variable, and another mode."""
        try:
            self._name = input_name(name)
        except Invalid as error:
            raise of(error) from None
        if mode not in (DIRECT, MOUNT, DOWNLOAD, HDFS):
            raise UserErrorException(f"mode = {mode!r}: use direct, mount, download or hdfs")
        self.dataset = dataset
        self.mode = mode
        self.path_on_compute = path_on_compute
        self.arg_val = f"DatasetConsumptionConfig:{name}"

    def __repr__(self) -> str:
        return f"DatasetConsumptionConfig({self.name!r}, {self.dataset!r}, {self.mode!r})"

    def __str__(self) -> str:
        return self.arg_val

    @property
    def name(self) -> str:
        return self._name

    def as_mount(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """The same, mounted. Raises UserErrorException for a table."""
        return self._as(MOUNT, path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """The same, as a copy. Raises UserErrorException for a table."""
        return self._as(DOWNLOAD, path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """The same as mounted: there is no Spark cluster."""
        return self._as(HDFS, None)

    def _as(self, mode: str, path_on_compute: Optional[str]) -> DatasetConsumptionConfig:
        if getattr(getattr(self.dataset, "_definition", None), "kind", "file") == "tabular":
            raise UserErrorException(
                f"{self.name}: a TabularDataset is read by the job itself; leave as_{mode}() out"
            )
        return DatasetConsumptionConfig(self.name, self.dataset, mode, path_on_compute)

    def _input(self) -> Dict[str, Any]:
        """As the run's spec keeps it."""
        if not hasattr(self.dataset, "_definition"):
            raise UserErrorException(f"{self.name}: {self.dataset!r} is no dataset yet")
        dataset = self.dataset
        mode = MOUNT if self.mode == HDFS else self.mode
        given = Input(
            dataset._definition, mode, dataset.name or "", dataset.version or 0,
            str(dataset._row.get("digest", "")), self.path_on_compute or "",
        )  # fmt: skip
        return given.to_dict()


def named_by(dataset: Any) -> str:
    """A name for an input that was given none: the same for the same data."""
    digest = hashlib.sha256(dataset._definition.text().encode()).hexdigest()
    return f"input_{digest[:8]}"


class InputDatasets(Dict[str, Any]):
    """The inputs of a run by name: paths, and datasets where the job reads by itself."""

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()
        self.workspace = workspace

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            known = ", ".join(self) or "none"
            raise KeyError(f"input dataset {name!r} isn't one of this run's: {known}")
        return super().__getitem__(name)


class OutputDatasets(Dict[str, Any]):
    """The folders of a run that are delivered, by name."""

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()
        self.workspace = workspace


def inputs_of(folder: RunFolder, workspace: Any = None) -> InputDatasets:
    """What the run's inputs are, as its script gets them."""
    found = InputDatasets(workspace)
    for name, one in brought(folder).items():
        found[name] = one.path or dataset_of(one, workspace)
    return found


def dataset_of(one: Brought, workspace: Any = None) -> Any:
    """An input of the run as a dataset."""
    kind = "TabularDataset" if one.definition["kind"] == "tabular" else "FileDataset"
    row = {"name": one.dataset, "version": one.version} if one.dataset else {}
    return load("azureml.data", kind)._of(one.definition, row, workspace)


def own_input(id: str, workspace: Any) -> Any:
    """The input of this process's run that has this id, None without one."""
    inherited = os.environ.get("OUTLAST_RUN", "")
    if inherited and os.path.isdir(inherited):
        for one in brought(RunFolder(inherited)).values():
            if id == one.id:
                return dataset_of(one, workspace)
    return None
