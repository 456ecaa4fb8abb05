"""Versions by name, numbered 1, 2, 3 …: what models and datasets have in common.

A `Shelf` names two tables: one row a name with the last number given out, and one row a version
with at least the columns `name`, `version`, `description`, `tags`, `intent` and `deleted_ns`.
Numbers are given out in the transaction that uses them, so none is given twice and none is left
out; a deleted version keeps its row and its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import LATEST, check_name
from outlast.store.database import insert_or_nothing

MAX_TAGS = 100
TEXT_CHARS = 10_000
MAX_LIMIT = 500

Tags = Mapping[str, str | None]


class Shelf(NamedTuple):
    """One kind of thing that has versions by name."""

    names: sa.Table
    versions: sa.Table
    noun: str  # "model"
    verb: str  # of the command line, as "models"


class Labels(NamedTuple):
    """What may be changed of a version."""

    tags: Mapping[str, str | None] = {}  # set beside those that it has
    removed_tags: Sequence[str] = ()
    description: str | None = None  # None leaves the one that it has


def next_number(connection: Connection, shelf: Shelf, name: str) -> int:
    """The row of the name is locked until the transaction ends: no number is given twice."""
    names = shelf.names
    connection.execute(insert_or_nothing(names, connection).values(name=name, last_version=0))
    counted = (
        names.update()
        .where(names.c.name == name)
        .values(last_version=names.c.last_version + 1)
        .returning(names.c.last_version)
    )
    return int(connection.execute(counted).scalar_one())


def made_by(connection: Connection, shelf: Shelf, intent: str | None, name: str) -> Any:
    """The row that this intent has made, None without one. Raises Conflict for another name's."""
    if intent is None:
        return None
    versions = shelf.versions
    found = connection.execute(sa.select(versions).where(versions.c.intent == intent)).first()
    if found is not None and found.name != name:
        raise Conflict(f"this request has registered {found.name}:{found.version} already")
    return found


def newest(connection: Connection, shelf: Shelf, name: str) -> int:
    """The greatest number that isn't deleted. Raises NotFound without one."""
    columns = shelf.versions.c
    query = sa.select(sa.func.max(columns.version)).where(
        columns.name == name, columns.deleted_ns == 0
    )
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFound(f"there is no {shelf.noun} {name!r}", hint=f"outlast {shelf.verb} ls")
    return int(found)


def number_of(reference: str) -> int | None:
    """The number that a reference is, None when it is another word."""
    is_number = reference.isascii() and reference.isdigit() and len(reference) < 18
    return int(reference) if is_number else None


def row(connection: Connection, shelf: Shelf, name: str, number: int) -> Any:
    """The row of a version. Raises NotFound, also for one that was deleted."""
    columns = shelf.versions.c
    query = sa.select(shelf.versions).where(columns.name == name, columns.version == number)
    found = connection.execute(query).first()
    if found is None or found.deleted_ns:
        what = f"version {number} of {shelf.noun} {name!r} was deleted"
        raise NotFound(
            what if found is not None else f"{shelf.noun} {name!r} has no version {number}",
            hint=f"outlast {shelf.verb} ls {name}",
        )
    return found


def named(connection: Connection, shelf: Shelf, name: str, reference: str = LATEST) -> Any:
    """The row that a number or "latest" names. Raises NotFound."""
    last, number = newest(connection, shelf, name), number_of(reference)
    if reference != LATEST and number is None:
        raise NotFound(
            f"{shelf.noun} {name!r} has no version {reference!r}",
            hint=f"outlast {shelf.verb} ls {name}",
        )
    return row(connection, shelf, name, last if number is None else number)


def rows(
    connection: Connection, shelf: Shelf, name: str, *, before: int = 0, limit: int = 100
) -> list[Any]:
    """The versions of a name, newest first; `before` is the last of the page before."""
    newest(connection, shelf, name)
    columns = shelf.versions.c
    query = (
        sa.select(shelf.versions)
        .where(columns.name == name, columns.deleted_ns == 0)
        .order_by(columns.version.desc())
        .limit(min(limit, MAX_LIMIT))
    )
    if before:
        query = query.where(columns.version < before)
    return list(connection.execute(query))


def newest_of_each(
    connection: Connection, shelf: Shelf, *, after: str = "", limit: int = 100
) -> list[Any]:
    """Every name in order: the row of its newest version, and `n`, how many there are."""
    columns = shelf.versions.c
    last = (
        sa.select(columns.name, sa.func.max(columns.version).label("v"), sa.func.count().label("n"))
        .where(columns.deleted_ns == 0, columns.name > after)
        .group_by(columns.name)
        .order_by(columns.name)
        .limit(min(limit, MAX_LIMIT))
        .subquery()
    )
    query = (
        sa.select(last.c.n, shelf.versions)
        .join(last, sa.and_(columns.name == last.c.name, columns.version == last.c.v))
        .order_by(columns.name)
    )
    return list(connection.execute(query))


def relabel(connection: Connection, shelf: Shelf, name: str, number: int, labels: Labels) -> None:
    """Set or remove tags, or set the description. Raises NotFound, Invalid."""
    locked = sa.select(shelf.names.c.name).where(shelf.names.c.name == name).with_for_update()
    connection.execute(locked)
    known = row(connection, shelf, name, number)
    gone = set(labels.removed_tags)
    kept = {t: v for t, v in msgspec.json.decode(known.tags).items() if t not in gone}
    kept.update(labels.tags)
    text = known.description if labels.description is None else labels.description
    check_texts(kept, text)
    columns = shelf.versions.c
    is_it = sa.and_(columns.name == name, columns.version == number)
    changed = shelf.versions.update().where(is_it).values(tags=as_json(kept), description=text)
    connection.execute(changed)


def bury(connection: Connection, shelf: Shelf, name: str, number: int, now_ns: int) -> None:
    """Take a version away: its number stays used. Raises NotFound."""
    row(connection, shelf, name, number)
    columns = shelf.versions.c
    is_it = sa.and_(columns.name == name, columns.version == number)
    connection.execute(shelf.versions.update().where(is_it).values(deleted_ns=now_ns))


def check_texts(tags: Tags, description: str, properties: Mapping[str, Any] | None = None) -> None:
    """Raises Invalid for tags, properties and a description that can't be kept."""
    for field, values in (("tags", tags), ("properties", properties or {})):
        if len(values) > MAX_TAGS:
            raise Invalid.field(field, len(values), f"use at most {MAX_TAGS}")
        for name, value in values.items():
            check_name(field, name)
            if value:
                check_name(f"{field}.{name}", value, max_chars=TEXT_CHARS)
    if len(description) > TEXT_CHARS or "\0" in description:
        raise Invalid.field("description", description, f"use at most {TEXT_CHARS} characters")


def as_json(value: Any) -> str:
    """A mapping as JSON text."""
    return msgspec.json.encode(dict(value)).decode()
