"""Datastores from Python: named roots of data, and the files in them.

A root is a folder of this machine or a URL. What is put in or fetched goes from here, never through
the server; no path and no link leads out of a folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.data import content, files
from outlast.errors import Invalid, NotFound
from outlast.run.dataset import Definition, Delivery, Source, below, is_url
from outlast.sdk.workspace import Workspace
from outlast.transport.connection import in_path

DELIVERED = "dataset/{run-id}/{output-name}"


class Datastore:
    """One named root."""

    def __init__(self, row: Mapping[str, Any], workspace: Workspace) -> None:
        self.row = dict(row)
        self.name = str(row["name"])
        self.root = str(row["root"])
        self.workspace = workspace

    def __repr__(self) -> str:
        return f"Datastore({self.name}, {self.root})"

    @property
    def is_default(self) -> bool:
        return bool(self.row["is_default"])

    @property
    def facts(self) -> dict[str, str]:
        """What it stands for, as it was told when it was registered."""
        return dict(self.row["facts"])

    def path(self, path: str = "") -> Source:
        """A file, folder or glob in it, for a dataset. Raises Invalid for one that leads out."""
        plain = path.strip("/")
        plain = plain.removeprefix("./")
        if plain in ("", "."):
            return Source("", self.name, self.root)
        return Source(below("path", plain), self.name, self.root)

    def upload(
        self,
        paths: str | Path | Sequence[str | Path],
        target: str = "",
        *,
        overwrite: bool = False,
        relative_to: str | Path | None = None,
    ) -> Source:
        """Put files, or all files of a folder, into it below `target`; returns that place.

        Files keep their names below `relative_to` (default: the folder given, else their own).
        Raises NotFound, Invalid, Conflict (a file exists; nothing was put) or DiskFull.
        """
        given = [paths] if isinstance(paths, str | Path) else [*paths]
        found = [one for path in given for one in _files_of(Path(path), relative_to)]
        if not found:
            raise NotFound(f"paths = {[str(path) for path in given]}: there is no file")
        place = self.path(target)
        folder = self._folder(place)
        content.download(found, folder, is_overwriting=overwrite)
        return place

    def download(
        self, target: str | Path, prefix: str = "", *, overwrite: bool = False
    ) -> Sequence[str]:
        """Copy what lies below `prefix` to the folder `target`, keeping its path in the datastore.

        Files that exist stay as they are, unless `overwrite`. Returns the paths of what was copied.
        """
        place = self.path(prefix)
        found = [
            one._replace(name=f"{place.path}/{one.name}".lstrip("/") if not one.is_sole else prefix)
            for one in files.found(Definition("file", (place,)))
        ]
        folder = os.path.abspath(target)
        wanted = [
            one for one in found if overwrite or not os.path.exists(os.path.join(folder, one.name))
        ]
        return content.download(wanted, folder, is_overwriting=overwrite)

    def delivery(
        self,
        target: str = DELIVERED,
        *,
        register: str | Mapping[str, Any] = "",
        globs: Sequence[str] = (),
        overwrite: bool = True,
    ) -> Delivery:
        """A folder that a run fills, copied to `target` here when the run ends well.

        `{run-id}` and `{output-name}` stand for those. `globs` (default: all) are the files that
        are copied; `register` is the name of a dataset that becomes a version of what was.
        Without `overwrite` a file that is there already fails the run.
        """
        named = {"name": register} if isinstance(register, str) else register
        place = self.path(target)
        return Delivery(
            "",
            self.root,
            place.path,
            self.name,
            tuple(globs),
            overwrite,
            dict(named) if register else {},
        )

    def _folder(self, place: Source) -> str:
        if is_url(self.root):
            raise Invalid(
                f"datastore {self.name!r} is at {self.root}: put files there by its own tools",
                hint="or register a folder as a datastore",
            )
        root = os.path.realpath(self.root)
        folder = os.path.realpath(os.path.join(root, place.path))
        if folder != root and not folder.startswith(root.rstrip("/") + "/"):
            raise Invalid.field("target", place.path, "a link leads out of the datastore")
        os.makedirs(folder, exist_ok=True)
        return folder

    def set_as_default(self) -> None:
        """Let it be the workspace's default."""
        path = f"/api/datastores/{in_path(self.name)}"
        self.row = self.workspace.connection.patch(path, {"is_default": True})

    def unregister(self) -> None:
        """Forget it; its data stay. Raises Conflict for one that every workspace has."""
        self.workspace.connection.delete(f"/api/datastores/{in_path(self.name)}")


def _files_of(path: Path, relative_to: str | Path | None) -> Sequence[files.Found]:
    path = Path(os.path.abspath(path))
    if path.is_dir():
        found = files.found(Definition("file", (Source(str(path)),)))
        base = path
    elif path.is_file():
        found, base = [files.Found(path.name, str(path))], path.parent
    else:
        raise NotFound(f"path = {str(path)!r}: there is no such file or folder")
    if relative_to is None:
        return found
    base = Path(os.path.abspath(relative_to))
    try:
        return [one._replace(name=Path(one.path).relative_to(base).as_posix()) for one in found]
    except ValueError:
        raise Invalid.field("relative_to", str(base), f"{path} isn't below it") from None


def get(name: str = "", *, workspace: Workspace | None = None) -> Datastore:
    """One by name; "" is the default. Raises NotFound."""
    here = workspace or Workspace()
    if name:
        return Datastore(here.connection.get(f"/api/datastores/{in_path(name)}"), here)
    return next(one for one in list(workspace=here) if one.is_default)


def register(
    name: str,
    root: str | Path = "",
    *,
    facts: Mapping[str, str] | None = None,
    overwrite: bool = False,
    workspace: Workspace | None = None,
) -> Datastore:
    """Give a folder or URL a name; root "" is a folder of its own in the workspace.

    Raises Invalid, or Conflict for a name that another root has unless `overwrite`.
    """
    here = workspace or Workspace()
    text = os.fspath(root)
    if text and not is_url(text):
        text = os.path.abspath(os.path.expanduser(text))
        if not here.url and not os.path.isdir(text):
            raise NotFound(f"root = {text!r}: there is no such folder", hint=f"mkdir -p {text}")
    asked = {"name": name, "root": text, "facts": dict(facts or {}), "overwrite": overwrite}
    made = Datastore(here.connection.post("/api/datastores", asked), here)
    if not text and not here.url:
        os.makedirs(made.root, exist_ok=True)
    return made


def list(*, workspace: Workspace | None = None) -> Sequence[Datastore]:
    """Every datastore, by name."""
    here = workspace or Workspace()
    return [Datastore(row, here) for row in here.connection.get("/api/datastores")["datastores"]]
