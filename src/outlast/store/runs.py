"""The runs: one by its id, what a reference means, and what is changed of one by hand.

A row is what a list shows, as a dict of plain JSON values (see ARCHITECTURE.md). It never reads a
folder: what changes a run's state is ingest.py. Lists are in pages.py, a run's end in deletion.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import check_name
from outlast.run.spec import RunSpec
from outlast.run.state import TERMINAL, RunState
from outlast.store import summary
from outlast.store.schema import logged, oddities, run_needs, runs

CANDIDATES = 5  # runs that an ambiguous reference lists
LISTED_APART = ("session", "tunnel")  # left out unless `kind` asks for them

COLUMNS = [
    runs.c[name]
    for name in (
        "key", "id", "name", "experiment", "kind", "status", "stage", "cause", "message", "parent",
        "created_ns", "queued_ns", "started_ns", "ended_ns", "attempt", "version", "summary",
    )
]  # fmt: skip


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
        raise unknown(run_id)
    return int(key)


def row(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run's row. Raises NotFound."""
    found = connection.execute(sa.select(*COLUMNS).where(runs.c.id == run_id)).first()
    if found is None:
        raise unknown(run_id)
    return as_row(found)


def full(connection: Connection, run_id: str) -> Full:
    """The run's row, spec, state, properties and the ids of its children. Raises NotFound."""
    query = sa.select(*COLUMNS, runs.c.spec, runs.c.state).where(runs.c.id == run_id)
    found = connection.execute(query).first()
    if found is None:
        raise unknown(run_id)
    children = sa.select(runs.c.id).where(runs.c.parent == run_id).order_by(runs.c.key)
    return Full(
        row=as_row(found),
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
        raise unknown(run_id)
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
        raise unknown(run_id)
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


def unknown(reference: str) -> NotFound:
    return NotFound(f"there is no run {reference!r}", hint="outlast ls", reference=reference)


def as_row(found: Any) -> dict[str, Any]:
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
    raise unknown(reference)


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
        raise unknown(run_id)
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
