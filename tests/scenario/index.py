"""What the index holds, in a form that two databases can be compared by.

Left out is what a run's folder doesn't tell: row numbers, how often a row was written, and when the
server stored what it had read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from outlast import config
from outlast.run.folder import RunFolder
from outlast.store import schema, series
from outlast.store.database import Database
from outlast.store.ingest import Ingest

_NOT_TOLD = {"key", "version", "writes", "committed_ns"}
_TABLES = (
    schema.run_values,
    schema.run_needs,
    schema.cursors,
    schema.logged,
    schema.manifests,
    schema.manifest_files,
    schema.oddities,
)


def rebuilt(home: Path, to: Path) -> dict[str, Any]:
    """The index that a fresh reading of all run folders gives."""
    database = Database.open(f"sqlite:///{to}")
    try:
        ingest = Ingest(database)
        for folder in sorted((home / "runs").iterdir()):
            while ingest.run(RunFolder(str(folder))).more:
                pass
        return _rows(database)
    finally:
        database.close()


def kept(home: Path) -> dict[str, Any]:
    """The index as the server left it."""
    database = Database.open(config.load({"home": str(home)}, {}).database)
    try:
        return _rows(database)
    finally:
        database.close()


def _rows(database: Database) -> dict[str, Any]:
    with database.read() as connection:
        found = connection.execute(sa.select(schema.runs)).mappings().all()
        ids = {row["key"]: row["id"] for row in found}
        index: dict[str, Any] = {row["id"]: {"runs": _plain(row)} for row in found}
        for table in _TABLES:
            for row in connection.execute(sa.select(table)).mappings():
                rows = index[ids[row["run"]]].setdefault(table.name, [])
                rows.append(_plain({name: row[name] for name in row if name != "run"}))
        for key, summaries in series.summaries(connection, list(ids)).items():
            index[ids[key]]["series"] = [repr(summary) for summary in summaries]
            index[ids[key]]["points"] = {
                summary.name: [
                    column.tobytes() for column in series.read(connection, key, summary.name)
                ]
                for summary in summaries
            }
    for rows in index.values():
        for name in rows.keys() - {"runs", "points"}:
            rows[name] = sorted(rows[name], key=repr)
    return index


def _plain(row: Any) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in ("summary", "state", "spec") else value
        for name, value in row.items()
        if name not in _NOT_TOLD
    }
