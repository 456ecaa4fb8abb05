"""Models: versions by name, their files, tags and aliases, and where each of them came from.

A version is whole or not there: number, files and lineage are written in one transaction, and the
contents must be in artifacts/blobs before. Numbers count 1, 2, 3, … without gaps; that of a deleted
version is never given again. Files never change; tags, description and aliases may. Nothing here
opens a file, least of all a pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Invalid, NotFound
from outlast.ids import LATEST, check_alias, check_model_name
from outlast.run.manifest import Entry, Manifest
from outlast.store import audit, numbered
from outlast.store.database import insert_or_nothing
from outlast.store.numbered import Labels, Shelf, Tags, as_json, check_texts
from outlast.store.schema import model_aliases, model_files, model_versions, models
from outlast.store.statement import execute_many

MAX_FILES = 10_000
CONTENTS_AT_ONCE = 500
SHELF = Shelf(models, model_versions, "model", "models")


class File(NamedTuple):
    """One file of a version."""

    path: str  # beginning with the last part of what was registered
    size_bytes: int
    sha256: str


class Lineage(NamedTuple):
    """Which run made it; all empty for files that came from elsewhere."""

    run: str = ""
    attempt: int = 0
    manifest: str = ""
    path: str = ""  # among the run's stored files


class New(NamedTuple):
    """What becomes a version."""

    name: str
    files: Sequence[File]
    by: str
    tags: Mapping[str, str | None] = {}
    properties: Mapping[str, str] = {}
    description: str = ""
    lineage: Lineage = Lineage()
    intent: str | None = None  # the same intent makes one version, however often it is told


class Version(NamedTuple):
    """A version that is there."""

    name: str
    version: int
    description: str
    tags: Tags
    properties: Mapping[str, str]
    created_ns: int
    created_by: str
    lineage: Lineage
    digest: str
    files: int
    size_bytes: int
    aliases: tuple[str, ...]


def check(new: New) -> New:
    """Raises Invalid naming the field."""
    check_model_name(new.name)
    check_texts(new.tags, new.description, new.properties)
    if not new.files:
        raise Invalid.field("files", [], "a model has at least one file")
    if len(new.files) > MAX_FILES:
        raise Invalid.field("files", len(new.files), f"register at most {MAX_FILES} files")
    taken = {file.path for file in new.files}
    for file in new.files:
        _check_path(file.path)
        parts = file.path.split("/")
        if any("/".join(parts[:depth]) in taken for depth in range(1, len(parts))):
            raise Invalid.field("files", file.path, "another file has the name of its folder")
    if len(taken) < len(new.files):
        raise Invalid.field("files", "", "each path may be named once")
    return new


def _check_path(path: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in path):
        raise Invalid.field("files", path, "a model's files need names in UTF-8")
    parts = path.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or "\0" in path:
        raise Invalid.field("files", path, "give relative paths without empty parts, '.' or '..'")


# --- making and removing ---


def register(connection: Connection, new: New, now_ns: int) -> Version:
    """Give the files the model's next number; with an intent that is known, return what it made.

    The contents must be stored before. Raises Invalid, or Conflict for an intent that has made
    a version of another model.
    """
    check(new)
    known = numbered.made_by(connection, SHELF, new.intent, new.name)
    if known is not None:
        return _version(known, ())
    number = numbered.next_number(connection, SHELF, new.name)
    files = sorted(new.files)
    entries = tuple(Entry(*file, 0, "", "") for file in files)
    manifest = Manifest("", 0, entries)
    connection.execute(
        model_versions.insert().values(
            name=new.name, version=number, description=new.description,
            tags=as_json(new.tags), properties=as_json(new.properties), created_ns=now_ns,
            created_by=new.by, **new.lineage._asdict(), digest=manifest.digest(),
            files=len(files), size_bytes=manifest.size_bytes, intent=new.intent, deleted_ns=0,
        )
    )  # fmt: skip
    execute_many(connection, _ADD_FILE, [(new.name, number, *file) for file in files])
    audit.note(
        connection, t_ns=now_ns, who=new.by, action="register model",
        target=f"{new.name}:{number}",
        details={"run": new.lineage.run, "digest": manifest.digest()},
    )  # fmt: skip
    return get(connection, new.name, str(number))


_ADD_FILE = (
    "INSERT INTO model_files (name, version, path, size_bytes, sha256) VALUES (?, ?, ?, ?, ?)"
)


def delete(connection: Connection, name: str, reference: str, now_ns: int) -> None:
    """Take a version away: its number stays used, its aliases go. Raises NotFound."""
    number = get(connection, name, reference).version
    numbered.bury(connection, SHELF, name, number, now_ns)
    for table in (model_files, model_aliases):
        doomed = table.delete().where(table.c.name == name, table.c.version == number)
        connection.execute(doomed)


def note_manifest(connection: Connection, manifest: Manifest) -> None:
    """Complete the lineage of what was registered before the run's outputs were stored."""
    connection.execute(
        model_versions.update()
        .where(
            model_versions.c.run == manifest.run_id,
            model_versions.c.attempt == manifest.attempt,
            model_versions.c.manifest == "",
        )
        .values(manifest=manifest.digest())
    )


# --- asking ---


def get(connection: Connection, name: str, reference: str = LATEST) -> Version:
    """The version that a number, an alias or "latest" names. Raises NotFound."""
    number = _number(connection, name, reference)
    found = numbered.row(connection, SHELF, name, number)
    return _version(found, _aliases(connection, name).get((name, number), ()))


def _number(connection: Connection, name: str, reference: str) -> int:
    newest, number = numbered.newest(connection, SHELF, name), numbered.number_of(reference)
    if reference == LATEST or number is not None:
        return newest if number is None else number
    query = sa.select(model_aliases.c.version).where(
        model_aliases.c.name == name, model_aliases.c.alias == reference
    )
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFound(
            f"model {name!r} has no alias {reference!r}", hint=f"outlast models ls {name}"
        )
    return int(found)


def versions(
    connection: Connection, name: str, *, before: int = 0, limit: int = 100
) -> list[Version]:
    """The versions of a model, newest first; `before` is the last one of the page before."""
    found = numbered.rows(connection, SHELF, name, before=before, limit=limit)
    aliases = _aliases(connection, name)
    return [_version(row, aliases.get((name, row.version), ())) for row in found]


def newest_of_each(
    connection: Connection, *, after: str = "", limit: int = 100
) -> list[tuple[int, Version]]:
    """Every model in the order of names: how many versions it has, and the newest of them."""
    rows = numbered.newest_of_each(connection, SHELF, after=after, limit=limit)
    aliases = _aliases(connection, *(row.name for row in rows))
    return [(row.n, _version(row, aliases.get((row.name, row.version), ()))) for row in rows]


def of_run(connection: Connection, run_id: str) -> list[Version]:
    """What a run has brought into the registry, oldest first."""
    query = (
        sa.select(model_versions)
        .where(model_versions.c.run == run_id, model_versions.c.deleted_ns == 0)
        .order_by(model_versions.c.created_ns, model_versions.c.name, model_versions.c.version)
    )
    rows = connection.execute(query).all()
    aliases = _aliases(connection, *(row.name for row in rows))
    return [_version(row, aliases.get((row.name, row.version), ())) for row in rows]


def files_of(connection: Connection, name: str, number: int) -> list[File]:
    """The files of a version, by path."""
    query = (
        sa.select(*(model_files.c[field] for field in File._fields))
        .where(model_files.c.name == name, model_files.c.version == number)
        .order_by(model_files.c.path)
    )
    return [File(*row) for row in connection.execute(query)]


def contents(connection: Connection) -> Iterator[str]:
    """Every content (sha256, hex) that some version has; one may come more than once."""
    query = sa.select(model_files.c.sha256).execution_options(yield_per=CONTENTS_AT_ONCE)
    yield from connection.execute(query).scalars()


# --- changing what may change ---


def change(connection: Connection, name: str, reference: str, labels: Labels) -> Version:
    """Set or remove tags, or set the description. Raises NotFound, Invalid."""
    number = get(connection, name, reference).version
    numbered.relabel(connection, SHELF, name, number, labels)
    return get(connection, name, str(number))


def set_alias(connection: Connection, name: str, alias: str, reference: str) -> Version:
    """Let the alias name this version, and no other of the model. Raises NotFound, Invalid."""
    check_alias(alias)
    found = get(connection, name, reference)
    is_it = sa.and_(model_aliases.c.name == name, model_aliases.c.alias == alias)
    row = {"name": name, "alias": alias, "version": found.version}
    connection.execute(insert_or_nothing(model_aliases, connection).values(row))
    connection.execute(model_aliases.update().where(is_it).values(version=found.version))
    return get(connection, name, str(found.version))


def drop_alias(connection: Connection, name: str, alias: str) -> None:
    """Raises NotFound when the model has no such alias."""
    is_it = sa.and_(model_aliases.c.name == name, model_aliases.c.alias == alias)
    if connection.execute(model_aliases.delete().where(is_it)).rowcount == 0:
        raise NotFound(f"model {name!r} has no alias {alias!r}", hint=f"outlast models ls {name}")


# --- rows ---


def _aliases(connection: Connection, *names: str) -> dict[tuple[str, int], tuple[str, ...]]:
    columns = model_aliases.c
    query = sa.select(columns.name, columns.version, columns.alias)
    query = query.where(columns.name.in_(names)).order_by(columns.alias)
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for name, number, alias in connection.execute(query):
        found[name, number] = (*found.get((name, number), ()), alias)
    return found


def _version(row: Any, aliases: tuple[str, ...]) -> Version:
    return Version(
        row.name,
        row.version,
        row.description,
        msgspec.json.decode(row.tags),
        msgspec.json.decode(row.properties),
        row.created_ns,
        row.created_by,
        Lineage(row.run, row.attempt, row.manifest, row.path),
        row.digest,
        row.files,
        row.size_bytes,
        aliases,
    )
