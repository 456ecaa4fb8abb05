"""Pages of runs: filtered, sorted, and continued from a cursor.

A page is one query, two at its seam: runs that have no value for what it is sorted by come after
those that do. A cursor holds the last run's value and key, so that a run which is made meanwhile
neither hides nor repeats another. What a condition may say is in where.py.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select
from sqlalchemy.engine import Connection

from outlast.errors import Invalid
from outlast.ids import check_name
from outlast.run.spec import KINDS
from outlast.run.state import STATUSES
from outlast.store import where
from outlast.store.runs import COLUMNS, LISTED_APART, as_row
from outlast.store.schema import run_values, runs

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
ALL_KINDS = "all"
SORTS = ("created", "started", "ended", "duration", "name", "status", "experiment")


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
    return Page([as_row(one) for one in shown], _cursor(query, shown[-1]) if more else None)


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
    query = sa.select(*COLUMNS, order.column.label("sorted_by"))
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
    query = sa.select(*COLUMNS, sa.null().label("sorted_by")).where(order.absent)
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
