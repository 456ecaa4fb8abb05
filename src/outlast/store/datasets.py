"""The registry of datasets: versions by name, each a definition of data that stay where they are.

What a version says of its data never changes; tags and description may. The data may change
outside: `digest` tells what they were when they were registered. Nothing here opens an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import LATEST, check_dataset_name
from outlast.run.dataset import Definition
from outlast.store import audit, numbered
from outlast.store.numbered import Labels, Shelf, Tags, as_json, check_texts
from outlast.store.schema import dataset_versions, datasets

SHELF = Shelf(datasets, dataset_versions, "dataset", "datasets")
_DIGEST_CHARS = 64


class New(NamedTuple):
    """What becomes a version."""

    name: str
    definition: Definition
    by: str
    description: str = ""
    tags: Mapping[str, str | None] = {}
    digest: str = ""
    files: int = 0
    size_bytes: int = 0
    run: str = ""
    is_new_version: bool = True  # else there must be none of this name, or the same definition
    intent: str | None = None  # the same intent makes one version, however often it is told


class Version(NamedTuple):
    """A version that is there."""

    name: str
    version: int
    id: str
    kind: str
    definition: dict[str, Any]
    description: str
    tags: Tags
    digest: str
    files: int
    size_bytes: int
    run: str
    created_ns: int
    created_by: str


def register(connection: Connection, new: New, now_ns: int) -> Version:
    """Give the definition the next number of its name.

    Without `is_new_version`, the newest version when it has the same definition, and Conflict when
    it has another. Raises Invalid.
    """
    check_dataset_name(new.name)
    check_texts(new.tags, new.description)
    if new.digest and (
        len(new.digest) != _DIGEST_CHARS or set(new.digest) - set("0123456789abcdef")
    ):
        raise Invalid.field("digest", new.digest, "give a sha256 in hex")
    known = numbered.made_by(connection, SHELF, new.intent, new.name)
    if known is not None:
        return _version(known)
    if not new.is_new_version:
        same = _same(connection, new)
        if same is not None:
            return same
    number = numbered.next_number(connection, SHELF, new.name)
    connection.execute(
        dataset_versions.insert().values(
            name=new.name, version=number, id=new.definition.id, kind=new.definition.kind,
            definition=new.definition.text(), description=new.description, tags=as_json(new.tags),
            digest=new.digest, files=new.files, size_bytes=new.size_bytes, run=new.run,
            created_ns=now_ns, created_by=new.by, intent=new.intent, deleted_ns=0,
        )
    )  # fmt: skip
    audit.note(
        connection, t_ns=now_ns, who=new.by, action="register dataset",
        target=f"{new.name}:{number}", details={"digest": new.digest, "run": new.run},
    )  # fmt: skip
    return get(connection, new.name, str(number))


def _same(connection: Connection, new: New) -> Version | None:
    try:
        newest = get(connection, new.name)
    except NotFound:
        return None
    if newest.id == new.definition.id:
        return newest
    raise Conflict(
        f"there is a dataset {new.name!r} with another definition",
        hint="register it as a new version, or under another name",
    )


def get(connection: Connection, name: str, reference: str = LATEST) -> Version:
    """The version that a number or "latest" names. Raises NotFound."""
    return _version(numbered.named(connection, SHELF, name, reference))


def of_id(connection: Connection, id: str) -> Version:
    """The newest version with this definition. Raises NotFound."""
    columns = dataset_versions.c
    query = (
        sa.select(dataset_versions)
        .where(columns.id == id, columns.deleted_ns == 0)
        .order_by(columns.created_ns.desc(), columns.version.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(f"there is no registered dataset of id {id!r}", hint="outlast datasets ls")
    return _version(found)


def versions(
    connection: Connection, name: str, *, before: int = 0, limit: int = 100
) -> list[Version]:
    """The versions of a dataset, newest first; `before` is the last one of the page before."""
    rows = numbered.rows(connection, SHELF, name, before=before, limit=limit)
    return [_version(row) for row in rows]


def newest_of_each(
    connection: Connection, *, after: str = "", limit: int = 100
) -> list[tuple[int, Version]]:
    """Every dataset in the order of names: how many versions it has, and the newest of them."""
    rows = numbered.newest_of_each(connection, SHELF, after=after, limit=limit)
    return [(row.n, _version(row)) for row in rows]


def change(connection: Connection, name: str, reference: str, labels: Labels) -> Version:
    """Set or remove tags, or set the description. Raises NotFound, Invalid."""
    number = get(connection, name, reference).version
    numbered.relabel(connection, SHELF, name, number, labels)
    return get(connection, name, str(number))


def delete(connection: Connection, name: str, reference: str, now_ns: int) -> None:
    """Take a version away; its number stays used, its data stay where they are."""
    number = get(connection, name, reference).version
    numbered.bury(connection, SHELF, name, number, now_ns)


def _version(row: Any) -> Version:
    values = {field: getattr(row, field) for field in Version._fields}
    for field in ("definition", "tags"):
        values[field] = msgspec.json.decode(values[field])
    return Version(**values)
