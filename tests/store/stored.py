"""What is stored, read back to compare."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from outlast.run.folder import RunFolder
from outlast.store import runs, schema, series
from outlast.store.database import Database
from outlast.store.ingest import Ingest, Ingested


def drained(ingest: Ingest, folder: RunFolder) -> Ingested:
    """Read until there is nothing more."""
    found = ingest.run(folder)
    while found.more:
        found = ingest.run(folder)
    return found


def values(database: Database, run_id: str, name: str) -> list[float]:
    with database.read() as connection:
        found = series.read(connection, runs.key_of(connection, run_id), name)
        return [float(value) for value in found.values]


def row(database: Database, run_id: str = "run1") -> dict[str, Any]:
    with database.read() as connection:
        return runs.row(connection, run_id)


def snapshot(database: Database) -> dict[str, list[Any]]:
    """Every row of every table, to compare."""
    with database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in schema.metadata.sorted_tables
        }
