"""Datasets from Python: define, read and register them; give them to runs.

A dataset says where data lie and how they are read; the data stay where they are. Reading happens
here, in this process, and only then. A registered one keeps a digest of its contents, so that a run
that reads something else later says so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.data import content, files
from outlast.errors import Invalid, NotFound
from outlast.ids import LATEST, check_dataset_name
from outlast.run.dataset import Definition, Delivery, Input, Source, described, of_paths
from outlast.sdk import numbered
from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace

Paths = str | os.PathLike[str] | Source | Sequence[str | os.PathLike[str] | Source]


class Dataset:
    """A definition of data, and once it is registered its name and version."""

    def __init__(
        self,
        definition: Definition,
        row: Mapping[str, Any] | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self.definition = definition
        self.row = dict(row or {})
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"Dataset({self.reference or described(self.definition)})"

    @property
    def id(self) -> str:
        """A UUID of the definition."""
        return self.definition.id

    @property
    def kind(self) -> str:
        """file or tabular."""
        return self.definition.kind

    @property
    def name(self) -> str:
        """Its name in the registry, "" before it is registered."""
        return str(self.row.get("name", ""))

    @property
    def version(self) -> int:
        """Its version, 0 before it is registered."""
        return int(self.row.get("version", 0))

    @property
    def reference(self) -> str:
        """As "name:version", "" before it is registered."""
        return f"{self.name}:{self.version}" if self.name else ""

    @property
    def tags(self) -> dict[str, str | None]:
        return dict(self.row.get("tags", {}))

    @property
    def description(self) -> str:
        return str(self.row.get("description", ""))

    # --- reading ---

    @property
    def files(self) -> Sequence[files.Found]:
        """Its files now. Raises NotFound where one isn't there."""
        return files.found(self.definition)

    def facts(self) -> content.Facts:
        """Digest, number and size of its files now; reads what changed since it was last asked."""
        with content.Hashes(str((self._workspace or Workspace()).home)) as hashes:
            return content.facts(self.files, hashes)

    def has_changed(self) -> bool:
        """Do its files hold something else than when it was registered? False if unregistered."""
        known = self.row.get("digest", "")
        return bool(known) and known != self.facts().digest

    def download(self, folder: str | Path, *, overwrite: bool = False) -> Sequence[str]:
        """Copy its files below `folder`; returns their paths.

        Raises Conflict for a file that exists unless `overwrite`; nothing was copied then.
        """
        target = os.path.abspath(folder)
        return content.download(self.files, target, is_overwriting=overwrite)

    def to_pandas(self) -> Any:
        """A table as a DataFrame. Raises Invalid for files, or without pandas."""
        from outlast.data import table

        if self.kind != "tabular":
            raise Invalid("kind = 'file': only a tabular dataset is a table; see datasets.tabular")
        return table.frame(self.definition)

    # --- the registry ---

    def register(
        self,
        name: str,
        *,
        description: str = "",
        tags: Mapping[str, str | None] | None = None,
        new_version: bool = True,
        workspace: Workspace | None = None,
    ) -> Dataset:
        """Register it as the next version of `name`, with a digest of its contents; returns that.

        Without `new_version` a name that is taken must have the same definition, else Conflict.
        Raises NotFound when its files aren't there; nothing was registered then.
        """
        here = workspace or self._workspace or Workspace()
        facts = Dataset(self.definition, None, here).facts()
        asked = {
            "name": check_dataset_name(name),
            "definition": self.definition.to_dict(),
            "description": description,
            "tags": dict(tags or {}),
            "new_version": new_version,
            "request": secrets.token_hex(16),  # its answer may be lost: then it is asked again
            **facts._asdict(),
        }
        row = here.connection.post("/api/datasets", asked, repeat=True)
        return Dataset(self.definition, row, here)

    def change(
        self,
        *,
        tags: Mapping[str, str | None] | None = None,
        removed_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> None:
        """Set or remove tags, or set the description. Raises Invalid before it is registered."""
        path = self._path()
        self.row = numbered.change(self._connection(), path, tags, removed_tags, description)

    def delete(self) -> None:
        """Delete this version for good; its number is never given again, its data stay."""
        path = self._path()  # first: nothing is asked of a server for one that isn't registered
        self._connection().delete(path)

    def _connection(self) -> Any:
        return (self._workspace or Workspace()).connection

    def _path(self) -> str:
        if not self.name:
            raise Invalid("this dataset isn't registered", hint="dataset.register(name)")
        return numbered.path("datasets", self.name, self.version)

    # --- as the input of a run ---

    def as_input(self, mode: str = "", path: str = "") -> Input:
        """How a run reads it: mount (files, the default), download, or direct (tables)."""
        chosen = mode or ("direct" if self.kind == "tabular" else "mount")
        digest = str(self.row.get("digest", ""))
        return Input(self.definition, chosen, self.name, self.version, digest, path)


def file(paths: Paths) -> Dataset:
    """Files: local paths, folders, globs (`**` too) or URLs, or places of datastores.

    Nothing is opened. Raises Invalid for an address that can't be.
    """
    return Dataset(of_paths(_plain(paths)))


def tabular(paths: Paths, *, format: str = "delimited", **options: Any) -> Dataset:
    """A table in files: delimited, parquet or json_lines.

    `options` are those of docs/datasets.md, as separator and encoding. Nothing is opened.
    """
    return Dataset(of_paths(_plain(paths), "tabular", format=format, options=options))


def _plain(paths: Any) -> Any:
    """What may be given as the input of a run too: datasets can't be sources of another."""
    if isinstance(paths, Dataset):
        raise Invalid("paths: this is a dataset already")
    return paths


def given(name: str, value: Any) -> dict[str, Any]:
    """An input of a run, of whatever may be given as one. Raises Invalid, naming it."""
    if isinstance(value, Definition):
        value = Dataset(value)
    if isinstance(value, Dataset | RunHandle):
        value = value.as_input()
    if isinstance(value, str | os.PathLike | Source):
        value = file(value).as_input()
    if isinstance(value, Input):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    raise Invalid.field(
        f"inputs.{name}", value, "give a Dataset, a path, glob or URL, or run.as_input(path)"
    )


def delivered(run_id: str, name: str, value: Any) -> dict[str, Any]:
    """A delivery of a run, with its names filled in. Raises Invalid for what is none."""
    if not isinstance(value, Delivery):
        raise Invalid.field(f"deliveries.{name}", value, "give datastore.delivery(path)")
    target = value.target.replace("{run-id}", run_id).replace("{output-name}", name)
    return value._replace(folder=value.folder or f"delivered/{name}", target=target).to_dict()


def get(name: str, version: str | int = LATEST, *, workspace: Workspace | None = None) -> Dataset:
    """The version that a number or "latest" names. Raises NotFound."""
    here = workspace or Workspace()
    return of_row(here.connection.get(numbered.path("datasets", name, version)), here)


def get_by_id(id: str, *, workspace: Workspace | None = None) -> Dataset:
    """The newest registered version with this id. Raises NotFound."""
    here = workspace or Workspace()
    return of_row(here.connection.get("/api/datasets", id=id)["datasets"][0], here)


def of_row(row: Mapping[str, Any], workspace: Workspace) -> Dataset:
    """A dataset as the registry tells it."""
    return Dataset(Definition.from_dict(row["definition"]), row, workspace)


def versions(name: str, *, workspace: Workspace | None = None) -> Iterator[Dataset]:
    """Every version of a dataset, newest first. Raises NotFound when there is none."""
    here = workspace or Workspace()
    for row in numbered.rows(here.connection, "datasets", name):
        yield of_row(row, here)


def list(*, workspace: Workspace | None = None) -> Iterator[Dataset]:
    """The newest version of every dataset, by name."""
    here = workspace or Workspace()
    for row in numbered.newest(here.connection, "datasets"):
        yield of_row(row, here)


def forget(name: str, *, workspace: Workspace | None = None) -> int:
    """Delete every version of a dataset; returns how many. Raises NotFound."""
    found = [*versions(name, workspace=workspace)]
    if not found:
        raise NotFound(f"there is no dataset {name!r}")
    for one in found:
        one.delete()
    return len(found)
