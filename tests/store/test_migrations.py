"""From each older schema to the newest: rows stay, and a kill half-way changes nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outlast.store import pages, schema
from outlast.store.database import Database, metadata, revision
from outlast.store.migrations import upgrade
from outlast.store.pages import Query
from tests.store.dying import ROOT

VECTORS = Path(__file__).parent.parent / "vectors" / "store"


def make_0001(url: str) -> None:
    """The database that the first schema's own statements made, with three runs."""
    dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
    ddl = (VECTORS / f"0001.{dialect}.sql").read_text()
    rows = (VECTORS / "0001.rows.sql").read_text()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for text in f"{ddl};{rows}".split(";\n"):
            if text.strip():
                connection.exec_driver_sql(text.replace("%", "%%"))
    engine.dispose()


def described(database: Database) -> dict[str, Any]:
    """Every table by its columns, keys and indexes."""
    with database.read() as connection:
        found = sa.inspect(connection)
        tables = {
            name: {
                "columns": sorted(
                    (column["name"], str(column["type"]), column["nullable"])
                    for column in found.get_columns(name)
                ),
                "key": found.get_pk_constraint(name)["constrained_columns"],
                "indexes": sorted(
                    (index["name"], index["column_names"], bool(index["unique"]))
                    for index in found.get_indexes(name)
                ),
            }
            for name in found.get_table_names()
        }
        if database.is_sqlite:
            listed = connection.exec_driver_sql("PRAGMA table_list").all()
            for _, name, _, _, without_rowid, is_strict in listed:
                if name in tables:
                    tables[name]["form"] = [without_rowid, is_strict]
        else:
            storage = "SELECT attrelid::regclass::text, attstorage FROM pg_attribute"
            for name, kept in connection.exec_driver_sql(f"{storage} WHERE attname = 'data'"):
                if name in tables:
                    tables[name]["form"] = kept
        return tables


def test_the_migrations_make_what_the_schema_says(database_url: str, tmp_path: Path) -> None:
    make_0001(database_url)
    migrated = Database.open(database_url)
    found = described(migrated)
    with migrated.write() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert found == described(migrated)
    assert set(found) == set(metadata.tables)
    migrated.close()


def test_from_nothing_the_migrations_make_the_same(database_url: str) -> None:
    database = Database.open(database_url)
    expected = described(database)
    with database.write() as connection:
        metadata.drop_all(connection)
        upgrade(connection)
    found = described(database)
    del expected["alembic_version"], found["alembic_version"]  # alembic makes its own
    assert found == expected
    database.close()


def test_runs_of_the_first_schema_are_still_there(database_url: str) -> None:
    make_0001(database_url)
    opened = Database.open(database_url)
    with opened.read() as connection:
        assert revision(connection) == schema.HEAD
        rows = pages.page(connection, Query(sort="duration")).rows
        assert [row["id"] for row in rows] == ["short", "long", "going"]
        durations = dict(
            connection.execute(sa.select(schema.runs.c.id, schema.runs.c.duration_ns)).all()
        )
        assert durations == {"short": 1_000_000_000, "long": 5_000_000_000, "going": None}
        assert rows[0]["metrics"]["loss"]["last"] == 0.5
        found = pages.page(connection, Query(where="metrics.loss < 1")).rows
        assert [row["id"] for row in found] == ["short"]
    opened.close()


def test_opening_again_migrates_nothing(database_url: str) -> None:
    make_0001(database_url)
    Database.open(database_url).close()
    opened = Database.open(database_url)
    with opened.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.runs)).scalar() == 3
    opened.close()


# Opens each database that it is told in a process of its own, which is killed at a statement.
KILLED = """
import os, sys
import outlast.store.migrations
from outlast.store.database import Database
from tests.store.dying import die_at

for line in sys.stdin:
    url, left = line.split()
    pid = os.fork()
    if pid == 0:
        die_at(int(left))
        Database.open(url).close()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_statement_it_is_the_old_schema_or_the_new(tmp_path: Path) -> None:
    statements = 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as opener:
        assert opener.stdin is not None
        assert opener.stdout is not None
        while statements < 60:
            statements += 1
            path = tmp_path / f"{statements}.db"
            make_0001(f"sqlite:///{path}")
            print(f"sqlite:///{path}", statements, file=opener.stdin, flush=True)
            exit_code = int(opener.stdout.readline())
            plain = sqlite3.connect(path)
            version = plain.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            columns = [row[1] for row in plain.execute("PRAGMA table_info(runs)")]
            has_column = "duration_ns" in columns
            plain.close()
            if exit_code == 0:
                break  # there is no further statement
            assert exit_code == -signal.SIGKILL
            assert (version, has_column) in (("0001", False), (schema.HEAD, True))
            opened = Database.open(f"sqlite:///{path}")
            with opened.read() as connection:
                assert len(pages.page(connection, Query()).rows) == 3
            opened.close()
    assert statements > 5
    assert (version, has_column) == (schema.HEAD, True)


def test_two_servers_that_open_an_old_database_at_once(database_url: str) -> None:
    make_0001(database_url)
    code = "import sys; from outlast.store.database import Database; Database.open(sys.argv[1])"
    both = [
        subprocess.Popen([sys.executable, "-c", code, database_url], env=dict(os.environ))
        for _ in range(2)
    ]
    assert [process.wait() for process in both] == [0, 0]


def test_two_servers_that_make_a_database_at_once(database_url: str) -> None:
    code = "import sys; from outlast.store.database import Database; Database.open(sys.argv[1])"
    both = [subprocess.Popen([sys.executable, "-c", code, database_url]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
