"""The end of a run in the index: off the lists at once, its rows piece by piece.

It removes no folder and no stored content.
"""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa
from sqlalchemy import Table
from sqlalchemy.engine import Connection

from outlast.errors import Conflict
from outlast.run.state import TERMINAL
from outlast.store import series
from outlast.store.database import Database
from outlast.store.runs import unknown
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

PURGED_AT_ONCE = 20_000  # rows, so that other writers wait some 50 ms at most


def delete(database: Database, run_id: str) -> None:
    """Take a run out of the index: at once out of the lists, then its rows piece by piece.

    Killed in between, the next `purge` goes on. The folder must be out of the way before, or the
    run will be read again. Raises NotFound, or Conflict when the run isn't over.
    """

    def hide(connection: Connection) -> None:
        query = sa.select(runs.c.key, runs.c.status).where(runs.c.id == run_id)
        found = connection.execute(query.with_for_update()).first()
        if found is None:
            raise unknown(run_id)
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
