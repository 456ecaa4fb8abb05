"""Models from Python: register files or a run's outputs, find versions, fetch them checked.

Files are hashed here, sent by content and only where the server lacks them, and go on where a
broken connection left off. What is fetched is checked against its sha256. No file is ever
unpickled or otherwise interpreted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import LATEST, check_alias, check_model_name
from outlast.sdk import numbered
from outlast.sdk.workspace import Workspace
from outlast.transport.connection import Connection, in_path

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle

PIECE_BYTES = 4 << 20
SHAS_AT_ONCE = 1000
Progress = Callable[[int], None]


class Model:
    """One version of a model; its files never change."""

    def __init__(self, connection: Connection, row: Mapping[str, Any]) -> None:
        self._connection = connection
        self.row = dict(row)
        self.name = str(row["name"])
        self.version = int(row["version"])
        self._path = numbered.path("models", self.name, self.version)

    def __repr__(self) -> str:
        return f"Model({self.name}:{self.version})"

    @property
    def tags(self) -> dict[str, str | None]:
        return dict(self.row["tags"])

    @property
    def properties(self) -> dict[str, str]:
        return dict(self.row["properties"])

    @property
    def description(self) -> str:
        return str(self.row["description"])

    @property
    def aliases(self) -> tuple[str, ...]:
        return tuple(self.row["aliases"])

    @property
    def created_ns(self) -> int:
        return int(self.row["created_ns"])

    @property
    def run_id(self) -> str:
        """The run that made it, "" for files from elsewhere; that run may be deleted by now."""
        return str(self.row["run"])

    @property
    def size_bytes(self) -> int:
        return int(self.row["size_bytes"])

    @property
    def files(self) -> Sequence[dict[str, Any]]:
        """Its files: path, size_bytes, sha256."""
        found: Sequence[dict[str, Any]] = self._connection.get(self._path)["files"]
        return found

    def download(
        self, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Fetch all files to the folder `target`, each checked; returns where the model lies.

        That is the file or folder as it was registered, below `target`. Goes on where an earlier
        call broke off. Raises Conflict for a file that exists with another content, unless
        `overwrite`.
        """
        from outlast.artifacts.download import download

        files = self.files
        download(files, self._open, Path(target), overwrite=overwrite, progress=progress)
        return Path(target, files[0]["path"].split("/")[0])

    def _open(self, path: str, offset: int) -> Iterator[bytes]:
        where = "/".join(in_path(part) for part in path.split("/"))
        return self._connection.download(f"{self._path}/files/{where}", offset)

    def change(
        self,
        *,
        tags: Mapping[str, str | None] | None = None,
        removed_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> None:
        """Set or remove tags, or set the description."""
        self.row = numbered.change(self._connection, self._path, tags, removed_tags, description)

    def alias(self, alias: str) -> None:
        """Let `alias`, as "production", name this version and no other of the model."""
        path = f"/api/models/{in_path(self.name)}/aliases/{in_path(check_alias(alias))}"
        self.row = self._connection.put(path, {"version": str(self.version)})

    def delete(self) -> None:
        """Delete this version for good; its number is never given again."""
        self._connection.delete(self._path)


def register(
    name: str,
    path: str | Path,
    *,
    run: str | RunHandle | None = None,
    tags: Mapping[str, str | None] | None = None,
    properties: Mapping[str, str] | None = None,
    description: str = "",
    progress: Progress | None = None,
    workspace: Workspace | None = None,
) -> Model:
    """Register the next version of model `name` and return it; it is stored then.

    `path` is a file or folder here or, with `run`, among that run's stored outputs. `progress` is
    told the bytes each time some are stored. Raises Invalid, NotFound, Conflict (a file changed
    while it was sent), Unreachable, DiskFull; no version was made then.
    """
    connection = (workspace or Workspace()).connection
    asked: dict[str, Any] = {
        "name": check_model_name(name),
        "tags": dict(tags or {}),
        "properties": dict(properties or {}),
        "description": description,
        "request": secrets.token_hex(16),  # its answer may be lost: then it is asked again
    }
    if run is None:
        files = _hashed(Path(path))
        _send(connection, files, progress or (lambda _done: None))
        asked["files"] = [[file.path, file.size_bytes, file.sha256] for file in files]
    else:
        ref = run if isinstance(run, str) else run.id
        asked["run"] = connection.get("/api/resolve", ref=ref)["id"]
        asked["path"] = os.path.normpath(path)
    return Model(connection, connection.post("/api/models", asked, repeat=True))


def get(name: str, version: str | int = LATEST, *, workspace: Workspace | None = None) -> Model:
    """The version that a number, an alias or "latest" names. Raises NotFound."""
    connection = (workspace or Workspace()).connection
    found = connection.get(numbered.path("models", name, version))
    return Model(connection, found["model"])


def download(
    name: str,
    target: str | Path,
    version: str | int = LATEST,
    *,
    overwrite: bool = False,
    workspace: Workspace | None = None,
) -> Path:
    """Fetch a version to the folder `target`; see Model.download."""
    return get(name, version, workspace=workspace).download(target, overwrite=overwrite)


def versions(name: str, *, workspace: Workspace | None = None) -> Iterator[Model]:
    """Every version of a model, newest first. Raises NotFound when there is none."""
    connection = (workspace or Workspace()).connection
    for row in numbered.rows(connection, "models", name):
        yield Model(connection, row)


def drop_alias(name: str, alias: str, *, workspace: Workspace | None = None) -> None:
    """Take an alias away; the version stays. Raises NotFound."""
    connection = (workspace or Workspace()).connection
    connection.delete(f"/api/models/{in_path(name)}/aliases/{in_path(alias)}")


def list(*, run: str | None = None, workspace: Workspace | None = None) -> Iterator[Model]:
    """The newest version of every model, by name; with `run` (an id), what that run has made."""
    connection = (workspace or Workspace()).connection
    for row in numbered.newest(connection, "models", run=run):
        yield Model(connection, row)


# --- sending ---


class _File(NamedTuple):
    path: str
    source: Path
    size_bytes: int
    sha256: str


def _hashed(path: Path) -> Sequence[_File]:
    """Every file of what is to be registered; names begin with the last part of its path."""
    from outlast.artifacts.copying import hashed  # 5 ms that only sending pays

    path = Path(os.path.abspath(path))
    if path.is_file():
        sources = [path]
    elif path.is_dir():
        sources = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        raise NotFound(f"path = {str(path)!r}: there is no such file or folder")
    if not sources:
        raise Invalid.field("path", str(path), "the folder holds no file")
    files = []
    for source in sources:
        with source.open("rb") as file:
            found = hashed(file.fileno())
        name = source.relative_to(path.parent).as_posix()
        files.append(_File(name, source, found.size_bytes, found.sha256))
    return files


def _send(connection: Connection, files: Sequence[_File], tell: Progress) -> None:
    """Each content that the server lacks, once."""
    for start in range(0, len(files), SHAS_AT_ONCE):
        part = files[start : start + SHAS_AT_ONCE]
        asked = {"sha256s": [file.sha256 for file in part]}
        missing = set(connection.post("/api/blobs/missing", asked, repeat=True)["missing"])
        for file in part:
            if file.sha256 in missing:
                missing.discard(file.sha256)
                _send_one(connection, file, tell)
            else:
                tell(file.size_bytes)


def _send_one(connection: Connection, file: _File, tell: Progress) -> None:
    with file.source.open("rb") as source:
        fd = source.fileno()
        # An empty piece at the very end asks how far an earlier try had come.
        at, told, is_second = file.size_bytes, 0, False
        while True:
            data = os.pread(fd, min(PIECE_BYTES, file.size_bytes - at), at)
            if not data and at < file.size_bytes:
                raise _changed(file)
            try:
                there = connection.put(
                    f"/api/blobs/{file.sha256}", data, at=at, size=file.size_bytes
                )
            except Conflict as error:
                expected = error.facts.get("expected")
                if expected is None and is_second:
                    raise _changed(file) from None
                # What an earlier try had left may be damaged: once, all is sent again.
                is_second = is_second or expected is None
                at = 0 if expected is None else int(expected)
                continue
            at = int(there["size_bytes"])
            tell(at - told)
            told = at
            if there["is_stored"]:
                return


def _changed(file: _File) -> Conflict:
    return Conflict(
        f"{file.source} changed while it was sent", hint="register it again when it is complete"
    )
