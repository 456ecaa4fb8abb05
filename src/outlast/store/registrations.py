"""What runs have asked to be registered as models, each known by the place of its record.

`add` belongs into the transaction that stores the journal's offset: a record read twice is one row.
Whoever carries one out (scheduler/registering) settles it in the transaction of the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.store.numbered import as_json
from outlast.store.runs import key_of
from outlast.store.schema import registrations, runs
from outlast.store.statement import execute_many

WAITING, DONE, FAILED = "waiting", "done", "failed"
MESSAGE_CHARS = 500
MAX_OF_RUN = 1_000  # wishes of one run: a script in a loop must not fill the registry


class Asked(NamedTuple):
    """A record that asks for a registration."""

    journal: str
    offset: int  # of its end
    name: str
    path: str
    attempt: int
    tags: dict[str, str | None]
    properties: dict[str, str]
    description: str
    t_ns: int


class Registration(NamedTuple):
    """The same, and what became of it."""

    asked: Asked
    status: str
    version: int
    message: str


_ADD = (
    'INSERT INTO registrations (run, journal, "offset", name, path, attempt, tags, properties,'
    " description, t_ns, status, version, message)"
    f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{WAITING}', 0, '') ON CONFLICT DO NOTHING"
)


def add(connection: Connection, key: int, asked: Sequence[Asked]) -> int:
    """Keep what a run's journals ask for; `key` is the run's. Returns how many were too many."""
    if not asked:
        return 0
    counted = sa.select(sa.func.count()).where(registrations.c.run == key)
    room = max(0, MAX_OF_RUN - int(connection.execute(counted).scalar_one()))
    left_out = asked[room:]
    asked = asked[:room]
    rows = [
        (key, one.journal, one.offset, one.name, one.path, one.attempt, as_json(one.tags),
         as_json(one.properties), one.description, one.t_ns)
        for one in asked
    ]  # fmt: skip
    execute_many(connection, _ADD, rows)
    return len(left_out)


def of_run(connection: Connection, run_id: str, status: str = "") -> list[Registration]:
    """What a run has asked for, in the order in which it was asked. Raises NotFound."""
    columns = registrations.c
    query = sa.select(registrations).where(columns.run == key_of(connection, run_id))
    if status:
        query = query.where(columns.status == status)
    query = query.order_by(columns.t_ns, columns.journal, columns.offset)
    return [_registration(row) for row in connection.execute(query)]


def runs_waiting(connection: Connection) -> list[str]:
    """The runs of which something is still to be registered."""
    query = (
        sa.select(runs.c.id)
        .where(runs.c.key.in_(sa.select(registrations.c.run).where(_is(WAITING))))
        .order_by(runs.c.key)
    )
    return list(connection.execute(query).scalars())


def is_waiting(connection: Connection, run_id: str, asked: Asked) -> bool:
    """Is it still to be carried out? Raises NotFound when the run was deleted."""
    return connection.execute(_row(connection, run_id, asked)).scalar() == WAITING


def settle(
    connection: Connection, run_id: str, asked: Asked, *, version: int = 0, message: str = ""
) -> None:
    """It was registered as `version`, or failed because of `message`; what is settled stays so."""
    connection.execute(
        registrations.update()
        .where(
            registrations.c.run == key_of(connection, run_id),
            registrations.c.journal == asked.journal,
            registrations.c.offset == asked.offset,
            _is(WAITING),
        )
        .values(
            status=FAILED if message else DONE, version=version, message=message[:MESSAGE_CHARS]
        )
    )


def _row(connection: Connection, run_id: str, asked: Asked) -> sa.Select[str]:
    return sa.select(registrations.c.status).where(
        registrations.c.run == key_of(connection, run_id),
        registrations.c.journal == asked.journal,
        registrations.c.offset == asked.offset,
    )


def _is(status: str) -> sa.ColumnElement[bool]:
    return registrations.c.status == status


def _registration(row: Any) -> Registration:
    asked = Asked(
        row.journal,
        row.offset,
        row.name,
        row.path,
        row.attempt,
        msgspec.json.decode(row.tags),
        msgspec.json.decode(row.properties),
        row.description,
        row.t_ns,
    )
    return Registration(asked, row.status, row.version, row.message)
