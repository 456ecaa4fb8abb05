"""The runs: one by its id, pages of them, what a reference means; and their end in `delete`.

A row is what a list shows, as a dict of plain JSON values (see ARCHITECTURE.md). A page is one
query, two at its seam: runs that have no value for what it is sorted by come after those that do.
It never reads a folder: what changes a run's state is ingest.py.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, Table
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import check_name
from outlast.run.spec import KINDS, RunSpec
from outlast.run.state import STATUSES, TERMINAL, RunState
from outlast.store import series, summary, where
from outlast.store.database import Database
from outlast.store.schema import (
    cursors,
    deletions,
    logged,
    manifest_files,
    manifests,
    oddities,
    registrations,
    run_needs,
    run_values,
    runs,
)

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
CANDIDATES = 5  # runs that an ambiguous reference lists
LISTED_APART = ("session", "tunnel")  # left out unless `kind` asks for them
ALL_KINDS = "all"
SORTS = ("created", "started", "ended", "duration", "name", "status", "experiment")
PURGED_AT_ONCE = 20_000  # rows, so that other writers wait some 50 ms at most

_COLUMNS = [
    runs.c[name]
    for name in (
        "key", "id", "name", "experiment", "kind", "status", "stage", "cause", "message", "parent",
        "created_ns", "queued_ns", "started_ns", "ended_ns", "attempt", "version", "summary",
    )
]  # fmt: skip


class Query(NamedTuple):
    """Which runs, in which order. `sort` is a name of SORTS, metrics.NAME, tags.NAME or
    params.NAME; with a leading "-" the greatest come first."""

    limit: int = DEFAULT_LIMIT
    cursor: str = ""
    experiment: str = ""
    status: Sequence[str] = ()
    kind: str = ""
    parent: str = ""
    since_ns: int = 0
    where: str = ""
    sort: str = "-created"


class Page(NamedTuple):
    rows: list[dict[str, Any]]
    next: str | None  # the cursor of the page after it


class Full(NamedTuple):
    """All that the index holds of one run, but for its points."""

    row: dict[str, Any]
    spec: dict[str, Any]
    state: dict[str, Any]
    properties: dict[str, str]
    children: list[str]


# --- one run ---


def key_of(connection: Connection, run_id: str) -> int:
    """The number that the run's other rows carry. Raises NotFound."""
    key = connection.execute(sa.select(runs.c.key).where(runs.c.id == run_id)).scalar()
    if key is None:
        raise _unknown(run_id)
    return int(key)


def row(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run's row. Raises NotFound."""
    found = connection.execute(sa.select(*_COLUMNS).where(runs.c.id == run_id)).first()
    if found is None:
        raise _unknown(run_id)
    return _as_row(found)


def full(connection: Connection, run_id: str) -> Full:
    """The run's row, spec, state, properties and the ids of its children. Raises NotFound."""
    query = sa.select(*_COLUMNS, runs.c.spec, runs.c.state).where(runs.c.id == run_id)
    found = connection.execute(query).first()
    if found is None:
        raise _unknown(run_id)
    children = sa.select(runs.c.id).where(runs.c.parent == run_id).order_by(runs.c.key)
    return Full(
        row=_as_row(found),
        spec=msgspec.json.decode(found.spec),
        state=msgspec.json.decode(found.state),
        properties=summary.decode(found.summary).properties,
        children=list(connection.execute(children).scalars()),
    )


def unfinished_below(connection: Connection, run_id: str) -> list[str]:
    """The ids of its children that are not over."""
    query = sa.select(runs.c.id).where(
        runs.c.parent == run_id, runs.c.status.not_in(sorted(TERMINAL))
    )
    return list(connection.execute(query).scalars())


def spec_of(connection: Connection, run_id: str) -> RunSpec:
    """Raises NotFound."""
    text = connection.execute(sa.select(runs.c.spec).where(runs.c.id == run_id)).scalar()
    if text is None:
        raise _unknown(run_id)
    return RunSpec.from_dict(msgspec.json.decode(text))


def snapshots(connection: Connection) -> Iterator[str]:
    """The digest of the snapshot of each run that works on one; some come more than once."""
    query = sa.select(runs.c.spec).where(runs.c.spec.like('%"digest"%'))
    for text in connection.execute(query.execution_options(yield_per=500)).scalars():
        source = msgspec.json.decode(text).get("source") or {}
        if source.get("digest"):
            yield str(source["digest"])


def state_of(connection: Connection, run_id: str) -> tuple[int, RunState]:
    """The run's version and state. Raises NotFound."""
    query = sa.select(runs.c.version, runs.c.state).where(runs.c.id == run_id)
    found = connection.execute(query).first()
    if found is None:
        raise _unknown(run_id)
    return found.version, RunState.from_dict(msgspec.json.decode(found.state))


def values_of(connection: Connection, run_id: str, *, limit: int = 10_000) -> list[dict[str, Any]]:
    """What was logged and isn't a number, in order of arrival. Raises NotFound."""
    query = (
        sa.select(logged)
        .where(logged.c.run == key_of(connection, run_id))
        .order_by(logged.c.number)
        .limit(limit)
    )
    return [
        {
            "number": found.number,
            "kind": found.kind,
            "name": found.name,
            "step": found.step,
            "value": msgspec.json.decode(found.value),
            "t_ns": found.t_ns,
        }
        for found in connection.execute(query)
    ]


def oddities_of(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """What was read and can't be true: journal, offset, code, message. Raises NotFound."""
    query = (
        sa.select(oddities.c.journal, oddities.c.offset, oddities.c.code, oddities.c.message)
        .where(oddities.c.run == key_of(connection, run_id))
        .order_by(oddities.c.journal, oddities.c.offset)
    )
    return [dict(found) for found in connection.execute(query).mappings()]


def dependents(connection: Connection, run_id: str) -> list[str]:
    """The runs that start only after this one is Completed."""
    query = sa.select(runs.c.id).join(run_needs, run_needs.c.run == runs.c.key)
    return list(connection.execute(query.where(run_needs.c.needed == run_id)).scalars())


def experiments(connection: Connection) -> list[dict[str, Any]]:
    """Each experiment with how many runs it has, how many are over, and when the last began."""
    is_over = sa.case((runs.c.status.in_(sorted(TERMINAL)), 1), else_=0)
    query = (
        sa.select(
            runs.c.experiment.label("name"),
            sa.func.count().label("runs"),
            sa.func.sum(is_over).label("over"),
            sa.func.max(runs.c.created_ns).label("last_ns"),
        )
        .where(runs.c.kind.not_in(LISTED_APART))
        .group_by(runs.c.experiment)
        .order_by(runs.c.experiment)
    )
    return [dict(found) for found in connection.execute(query).mappings()]


def _unknown(reference: str) -> NotFound:
    return NotFound(f"there is no run {reference!r}", hint="outlast ls", reference=reference)


def _as_row(found: Any) -> dict[str, Any]:
    known: dict[str, Any] = msgspec.json.decode(found.summary)
    return {
        "id": found.id,
        "name": found.name,
        "experiment": found.experiment,
        "kind": found.kind,
        "status": found.status,
        "stage": found.stage,
        "cause": found.cause,
        "message": found.message,
        "warnings": [*known["warnings"], *known["noticed"]],
        "created_ns": found.created_ns,
        "queued_ns": found.queued_ns,
        "started_ns": found.started_ns,
        "ended_ns": found.ended_ns,
        "attempt": found.attempt,
        "command": known["command"],
        "tags": known["tags"],
        "metrics": known["metrics"],
        "exit_code": known["exit_code"],
        "created_by": known["created_by"],
        "parent": found.parent,
        "version": found.version,
    }


# --- which run is meant ---


def resolve(connection: Connection, reference: str) -> str:
    """The id that `reference` means: an id, a name, a prefix of an id, @last, or @-2 (the last
    but one).

    Raises NotFound, or Conflict when several runs fit; its message lists them.
    """
    if not reference or "\0" in reference or len(reference) > 255:
        raise Invalid.field("run", reference, "give an id, its beginning, a name, @last or @-2")
    if reference.startswith("@"):
        return _recent(connection, reference)
    exact = connection.execute(sa.select(runs.c.id).where(runs.c.id == reference)).scalar()
    if exact is not None:
        return str(exact)
    after = reference[:-1] + chr(ord(reference[-1]) + 1)
    is_prefix = sa.and_(runs.c.id >= reference, runs.c.id < after)
    for condition in (runs.c.name == reference, is_prefix):
        query = sa.select(runs.c.id, runs.c.name, runs.c.status).where(condition)
        newest = query.order_by(runs.c.created_ns.desc()).limit(CANDIDATES + 1)
        found = connection.execute(newest).all()
        if len(found) == 1:
            return str(found[0].id)
        if found:
            raise _ambiguous(reference, found)
    raise _unknown(reference)


def _recent(connection: Connection, reference: str) -> str:
    back = 1 if reference == "@last" else 0
    if reference.startswith("@-") and reference[2:].isascii() and reference[2:].isdigit():
        back = int(reference[2:9])
    if back < 1:
        raise Invalid.field("run", reference, "give @last, @-1 (the same) or @-2, @-3, …")
    is_work = runs.c.kind.not_in(LISTED_APART)
    newest = sa.select(runs.c.id).where(is_work)
    newest = newest.order_by(runs.c.created_ns.desc(), runs.c.key.desc())
    found = connection.execute(newest.offset(back - 1).limit(1)).scalar()
    if found is None:
        counted = sa.select(sa.func.count()).select_from(runs).where(is_work)
        count = connection.execute(counted).scalar_one()
        raise NotFound(f"{reference}: this workspace has {count} runs", hint="outlast ls")
    return str(found)


def _ambiguous(reference: str, found: Sequence[Any]) -> Conflict:
    shown = [f"{one.id} ({one.name or 'no name'}, {one.status})" for one in found[:CANDIDATES]]
    more = ", and more" if len(found) > CANDIDATES else ""
    return Conflict(
        f"{reference!r} fits several runs: {', '.join(shown)}{more}",
        hint="give more of the id",
        candidates=[one.id for one in found[:CANDIDATES]],
    )


# --- pages ---


class _Order(NamedTuple):
    """What a page is sorted by: a column of runs, or the narrow rows of one name."""

    column: ColumnElement[Any]
    value_name: str  # "" for a column of runs
    is_descending: bool
    absent: ColumnElement[bool] | None  # the runs that have no value; None = every run has one


def page(connection: Connection, query: Query) -> Page:
    """One page of the runs that fit. Raises Invalid naming the field that is wrong."""
    if not 1 <= query.limit <= MAX_LIMIT:
        raise Invalid.field("limit", query.limit, f"give 1 to {MAX_LIMIT}")
    conditions = _conditions(query)
    order = _order(query.sort)
    after = _read_cursor(query)
    found: list[Any] = []
    if after is None or not after.is_absent:
        present = _present(order, after).where(*conditions).limit(query.limit + 1)
        found = list(connection.execute(present))
    missing = query.limit + 1 - len(found)
    if missing and order.absent is not None:
        last = after if after is not None and after.is_absent else None
        absent = _absent(order, last).where(*conditions).limit(missing)
        found += connection.execute(absent)
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Page([_as_row(one) for one in shown], _cursor(query, shown[-1]) if more else None)


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if not query.kind:  # a list of runs is one of work; terminals have a list of their own
        conditions.append(runs.c.kind.not_in(LISTED_APART))
    for field in ("experiment", "kind", "parent"):
        if getattr(query, field) not in ("", ALL_KINDS):
            value = check_name(field, getattr(query, field))
            conditions.append(runs.c[field] == value)
    if query.kind not in ("", ALL_KINDS, *KINDS):
        raise Invalid.field("kind", query.kind, f"use one of: {', '.join(KINDS)}, {ALL_KINDS}")
    for status in query.status:
        if status not in STATUSES:
            raise Invalid.field("status", status, f"use one of: {', '.join(STATUSES)}")
    if query.status:
        conditions.append(runs.c.status.in_(list(query.status)))
    if query.since_ns:
        conditions.append(runs.c.created_ns >= min(query.since_ns, 2**63 - 1))
    if query.where.strip():
        conditions.append(where.to_sql(where.parse(query.where), time.time_ns()))
    return conditions


def _order(sort: str) -> _Order:
    name = sort.removeprefix("-")
    is_descending = sort.startswith("-")
    shelf, _, value = name.partition(".")
    if shelf in where.SHELVES and value:
        check_name("sort", name)
        named = sa.select(run_values.c.run).where(run_values.c.name == name)
        column: ColumnElement[Any] = run_values.c.number
        if shelf == "tags":
            column = run_values.c.text
        lacks = runs.c.key.not_in(named.where(column.is_not(None)))
        return _Order(column, name, is_descending, lacks)
    if name not in SORTS:
        raise Invalid.field(
            "sort", sort,
            f"use one of {', '.join(SORTS)}, metrics.NAME, tags.NAME, params.NAME;"
            " a leading - puts the greatest first",
        )  # fmt: skip
    if name == "duration":
        return _Order(runs.c.duration_ns, "", is_descending, runs.c.duration_ns.is_(None))
    is_time = name in ("created", "started", "ended")
    return _Order(runs.c[f"{name}_ns" if is_time else name], "", is_descending, None)


class _After(NamedTuple):
    """The last run of the page before."""

    value: Any
    key: int
    is_absent: bool


def _present(order: _Order, after: _After | None) -> Select[Any]:
    """The runs that have the value, in its order; the narrow rows lead when they hold it."""
    tie = run_values.c.run if order.value_name else runs.c.key
    query = sa.select(*_COLUMNS, order.column.label("sorted_by"))
    if order.value_name:
        query = query.select_from(run_values.join(runs, runs.c.key == run_values.c.run))
        query = query.where(run_values.c.name == order.value_name)
    if order.value_name or order.absent is not None:
        query = query.where(order.column.is_not(None))
    if after is not None:
        here, there = sa.tuple_(order.column, tie), sa.tuple_(after.value, after.key)
        query = query.where(here < there if order.is_descending else here > there)
    if order.is_descending:
        return query.order_by(order.column.desc(), tie.desc())
    return query.order_by(order.column, tie)


def _absent(order: _Order, after: _After | None) -> Select[Any]:
    """The runs that don't have it, the newest first."""
    assert order.absent is not None
    query = sa.select(*_COLUMNS, sa.null().label("sorted_by")).where(order.absent)
    if after is not None:
        query = query.where(runs.c.key < after.key)
    return query.order_by(runs.c.key.desc())


def _cursor(query: Query, last: Any) -> str:
    value = last.sorted_by
    number = value.hex() if isinstance(value, float) else value  # JSON has no infinity
    packed = msgspec.json.encode([query.sort, isinstance(value, float), number, last.key])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(query: Query) -> _After | None:
    if not query.cursor:
        return None
    try:
        packed = base64.urlsafe_b64decode(query.cursor + "=" * (-len(query.cursor) % 4))
        kind = tuple[str, bool, str | int | None, int]
        sort, is_float, value, key = msgspec.json.decode(packed, type=kind)
        found = float.fromhex(str(value)) if is_float else value
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Invalid.field("cursor", query.cursor, "give the `next` of the page before") from None
    if sort != query.sort:
        raise Invalid.field("cursor", query.cursor, f"it belongs to a list sorted by {sort}")
    if isinstance(found, str) is not _is_text_sort(sort) and found is not None:
        raise Invalid.field("cursor", query.cursor, "give the `next` of the page before")
    return _After(found, key, found is None)


def _is_text_sort(sort: str) -> bool:
    name = sort.removeprefix("-")
    return name in ("name", "status", "experiment") or name.startswith("tags.")


# --- changes that don't come from the folder ---


def update(
    connection: Connection,
    run_id: str,
    *,
    tags: Mapping[str, str | None] | None = None,
    removed_tags: Iterable[str] = (),
    properties: Mapping[str, str] | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Set tags (a null value is a tag without one), properties or the name; returns the row.

    Raises NotFound, Invalid for a name that isn't allowed, or Conflict for a property that has
    another value; nothing was changed then.
    """
    query = sa.select(runs.c.key, runs.c.name, runs.c.summary).where(runs.c.id == run_id)
    found = connection.execute(query.with_for_update()).first()
    if found is None:
        raise _unknown(run_id)
    if name:
        check_name("name", name)
    for tag, value in (tags or {}).items():
        check_name("tag", tag)
        if value:
            check_name(f"tags.{tag}", value, max_chars=10_000)
    known = summary.decode(found.summary)
    _set_once(known, run_id, properties or {})
    known.tags.update(tags or {})
    for tag in removed_tags:
        known.tags.pop(tag, None)
        summary.drop_value(connection, found.key, f"tags.{tag}")
    rows = [
        summary.value_row(found.key, f"tags.{tag}", value) for tag, value in (tags or {}).items()
    ]
    summary.store_values(connection, rows)
    connection.execute(
        runs.update()
        .where(runs.c.key == found.key)
        .values(
            name=found.name if name is None else name,
            summary=summary.encode(known),
            version=runs.c.version + 1,
            writes=runs.c.writes + 1,
        )
    )
    return row(connection, run_id)


def _set_once(known: summary.Summary, run_id: str, properties: Mapping[str, str]) -> None:
    for name, value in properties.items():
        check_name("property", name)
        if value:
            check_name(f"properties.{name}", value, max_chars=10_000)
        kept = known.properties.setdefault(name, value)
        if kept != value:
            raise Conflict(f"property {name!r} of run {run_id} is {kept!r:.80}: it is set once")


def delete(database: Database, run_id: str) -> None:
    """Take a run out of the index: at once out of the lists, then its rows piece by piece.

    Killed in between, the next `purge` goes on. The folder must be out of the way before, or the
    run will be read again. Raises NotFound, or Conflict when the run isn't over.
    """

    def hide(connection: Connection) -> None:
        query = sa.select(runs.c.key, runs.c.status).where(runs.c.id == run_id)
        found = connection.execute(query.with_for_update()).first()
        if found is None:
            raise _unknown(run_id)
        if found.status not in TERMINAL:
            raise Conflict(
                f"run {run_id} is {found.status}: only a run that is over can be deleted",
                hint=f"outlast cancel {run_id}",
            )
        connection.execute(deletions.insert().values(run=found.key, id=run_id))
        connection.execute(runs.delete().where(runs.c.key == found.key))

    database.transact(hide)
    purge(database)


def purge(database: Database) -> int:
    """Remove what deleted runs have left; returns how many runs there were. Safe at any time."""
    with database.read() as connection:
        gone = list(connection.execute(sa.select(deletions.c.run)).scalars())
    for key in gone:
        while database.transact(partial(_purge_some, key=key)):
            pass
    return len(gone)


def _purge_some(connection: Connection, key: int) -> bool:
    """Remove up to PURGED_AT_ONCE rows of a run; whether there may be more."""
    if series.purge(connection, key):
        return True
    for table in (manifest_files, logged):
        if _purge_rows(connection, table, key):
            return True
    for table in (run_values, run_needs, cursors, manifests, oddities, registrations):
        connection.execute(table.delete().where(table.c.run == key))
    connection.execute(deletions.delete().where(deletions.c.run == key))
    return False


def _purge_rows(connection: Connection, table: Table, key: int) -> bool:
    """By ranges of the primary key, so that no list of rows is held."""
    columns = [column for column in table.primary_key if column.name != "run"]
    of_run = sa.select(*columns).where(table.c.run == key).order_by(*columns)
    last = connection.execute(of_run.offset(PURGED_AT_ONCE - 1).limit(1)).first()
    doomed = table.delete().where(table.c.run == key)
    if last is not None:
        doomed = doomed.where(sa.tuple_(*columns) <= sa.tuple_(*last))
    connection.execute(doomed)
    return last is not None
