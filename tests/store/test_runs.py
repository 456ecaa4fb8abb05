"""Pages, references and deletion, on both databases."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outlast.errors import Conflict, Invalid, NotFound
from outlast.store import deletion, pages, runs, schema
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from outlast.store.pages import Query
from tests.store.dying import ROOT
from tests.store.folders import T_NS, Written, point


def make(database: Database, home: Path, run_id: str, **spec: Any) -> Written:
    """A run in the index, created in the order of the calls."""
    written = Written(home, run_id, **{"created_ns": next(_times_ns), **spec})
    Ingest(database).run(written.folder)
    return written


_times_ns = itertools.count(T_NS + 1)


def ids(database: Database, **query: Any) -> list[str]:
    """The ids of every page, in order."""
    found: list[str] = []
    cursor: str | None = ""
    with database.read() as connection:
        while cursor is not None:
            page = pages.page(connection, Query(cursor=cursor, **query))
            assert len(page.rows) <= query.get("limit", pages.DEFAULT_LIMIT)
            assert page.rows or not found
            found += [row["id"] for row in page.rows]
            cursor = page.next
    return found


@pytest.fixture(scope="module")
def filled(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """To be read only: r0 to r8; loss is equal in pairs, and r7 and r8 have none (r7: nan)."""
    tmp_path = tmp_path_factory.mktemp("filled")
    database = Database.open(module_database or f"sqlite:///{tmp_path}/outlast.db")
    ingest = Ingest(database)
    for number in range(9):
        written = make(
            database, tmp_path, f"r{number}",
            experiment="even" if number % 2 == 0 else "odd",
            tags={"letter": "dcba"[number]} if number < 4 else {},
        )  # fmt: skip
        if number < 7:
            written.log_metric("loss", 9.0, number // 2 - 1.5)
        elif number == 7:
            written.log({**point("loss", None, 0), "x": "nan"})
        if number in (2, 5):
            written.start()
            written.end()
        ingest.run(written.folder)
    yield database
    database.close()


ALL = [f"r{number}" for number in range(9)]


@pytest.mark.each_database
@pytest.mark.parametrize("limit", [1, 2, 4, 50])
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-created", ["r8", "r7", "r6", "r4", "r3", "r1", "r0", "r5", "r2"]),
        ("metrics.loss", [*ALL[:7], "r8", "r7"]),
        ("-metrics.loss", [*reversed(ALL[:7]), "r8", "r7"]),
        ("tags.letter", ["r3", "r2", "r1", "r0", "r8", "r7", "r6", "r5", "r4"]),
        ("duration", ["r2", "r5", "r8", "r7", "r6", "r4", "r3", "r1", "r0"]),
        ("metrics.none", list(reversed(ALL))),
        ("experiment", ["r0", "r2", "r4", "r6", "r8", "r1", "r3", "r5", "r7"]),
        ("-status", ["r8", "r7", "r6", "r4", "r3", "r1", "r0", "r5", "r2"]),
    ],
)
def test_pages_hold_every_run_once_in_order(
    filled: Database, limit: int, sort: str, expected: list[str]
) -> None:
    assert ids(filled, sort=sort, limit=limit) == expected


def test_infinite_values_are_sorted_and_paged(database: Database, tmp_path: Path) -> None:
    for name, word in (("a", "inf"), ("b", "-inf"), ("c", "inf")):
        written = make(database, tmp_path, name)
        written.log({**point("loss", None, 0), "x": word})
        Ingest(database).run(written.folder)
    assert ids(database, sort="metrics.loss", limit=1) == ["b", "a", "c"]


@pytest.mark.each_database
def test_filters_are_combined(filled: Database) -> None:
    assert ids(filled, experiment="odd", sort="metrics.loss") == ["r1", "r3", "r5", "r7"]
    assert ids(filled, status=["Completed"], sort="-metrics.loss", limit=1) == ["r5", "r2"]
    assert ids(filled, kind="interactive") == []
    assert ids(filled, where="metrics.loss < 0 and tags.letter", limit=2) == [
        "r3",
        "r1",
        "r0",
        "r2",
    ]
    assert ids(filled, experiment="none") == []
    with filled.read() as connection:
        last = runs.row(connection, "r8")["created_ns"]
    assert ids(filled, since_ns=last) == ["r8"]


def test_sessions_and_tunnels_are_listed_only_when_asked_for(
    database: Database, tmp_path: Path
) -> None:
    for name, kind in (("a", "command"), ("b", "session"), ("c", "tunnel")):
        make(database, tmp_path, name, kind=kind)
    assert ids(database) == ["a"]
    assert ids(database, kind="session") == ["b"]
    assert ids(database, kind="all") == ["c", "b", "a"]
    with database.read() as connection:
        assert runs.resolve(connection, "@last") == "a"
        assert runs.resolve(connection, "b") == "b"
        assert [found["runs"] for found in runs.experiments(connection)] == [1]


def test_a_run_that_comes_in_between_moves_no_page(database: Database, tmp_path: Path) -> None:
    for name in "abcd":
        make(database, tmp_path, name)
    with database.read() as connection:
        first = pages.page(connection, Query(limit=2))
    make(database, tmp_path, "e")
    with database.read() as connection:
        second = pages.page(connection, Query(limit=2, cursor=first.next or ""))
    assert [row["id"] for row in (*first.rows, *second.rows)] == ["d", "c", "b", "a"]
    assert second.next is None


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Query(limit=0), "limit"),
        (Query(limit=5000), "limit"),
        (Query(sort="loss"), "sort"),
        (Query(sort="metrics.\0"), "sort"),
        (Query(status=["Done"]), "status"),
        (Query(kind="x"), "kind"),
        (Query(experiment="a\0"), "experiment"),
        (Query(cursor="nonsense"), "cursor"),
        (Query(cursor="WyItY3JlYXRlZCIsZmFsc2UsInRleHQiLDFd"), "cursor"),
        (Query(cursor="é"), "cursor"),
        (Query(where="x"), "where"),
    ],
)
def test_a_wrong_field_is_named(filled: Database, query: Query, field: str) -> None:
    with filled.read() as connection, pytest.raises(Invalid) as caught:
        pages.page(connection, query)
    assert str(caught.value).startswith(field)


@pytest.mark.each_database
def test_a_cursor_of_another_order_is_refused(filled: Database) -> None:
    with filled.read() as connection:
        cursor = pages.page(connection, Query(limit=1)).next or ""
        with pytest.raises(Invalid, match="sorted by -created"):
            pages.page(connection, Query(limit=1, cursor=cursor, sort="metrics.loss"))


# --- which run is meant ---


def test_references(database: Database, tmp_path: Path) -> None:
    make(database, tmp_path, "abc111", name="first")
    make(database, tmp_path, "abc222", name="twice")
    make(database, tmp_path, "xyz333", name="twice")
    make(database, tmp_path, "first9", name="abc111")
    with database.read() as connection:
        meant = {
            "abc111": "abc111",  # an id, though it is a name too
            "abc1": "abc111",
            "x": "xyz333",
            "first": "abc111",  # a name, though it is a beginning too
            "@last": "first9",
            "@-1": "first9",
            "@-2": "xyz333",
            "@-4": "abc111",
        }
        assert {one: runs.resolve(connection, one) for one in meant} == meant
        for missing in ("nope", "%", "abc_", "@-5", "x' OR '1'='1"):
            with pytest.raises(NotFound) as caught:
                runs.resolve(connection, missing)
            assert missing in str(caught.value)
        for wrong in ("", "@", "@first", "@-0", "@--1", "a\0b", "@-²"):
            with pytest.raises(Invalid):
                runs.resolve(connection, wrong)
        for several in ("abc", "twice"):
            with pytest.raises(Conflict, match="abc222") as ambiguous:
                runs.resolve(connection, several)
            assert ambiguous.value.facts["candidates"]


def test_unknown_runs_are_not_found(database: Database) -> None:
    with database.read() as connection:
        for read in (runs.row, runs.full, runs.state_of, runs.spec_of, runs.values_of):
            with pytest.raises(NotFound, match="no run 'x'"):
                read(connection, "x")
        assert runs.experiments(connection) == []
        assert runs.dependents(connection, "x") == []


@pytest.mark.each_database
def test_experiments_are_counted(filled: Database) -> None:
    with filled.read() as connection:
        found = runs.experiments(connection)
    assert [(one["name"], one["runs"], one["over"]) for one in found] == [
        ("even", 5, 1),
        ("odd", 4, 1),
    ]


# --- changes ---


def test_tags_and_name_are_set_and_removed(database: Database, tmp_path: Path) -> None:
    make(database, tmp_path, "a", tags={"old": "1", "kept": "2"})
    with database.write() as connection:
        before = runs.row(connection, "a")["version"]
        row = runs.update(
            connection, "a", tags={"new": "x", "kept": "3"}, removed_tags=["old"], name="named"
        )
    assert row["tags"] == {"kept": "3", "new": "x"}
    assert row["version"] == before + 1
    assert ids(database, where="tags.new = x and tags.kept = 3 and name = named") == ["a"]
    assert ids(database, where="tags.old") == []


def test_a_property_is_set_once_also_later(database: Database, tmp_path: Path) -> None:
    make(database, tmp_path, "a", properties={"old": "1"})
    for _ in range(2):  # the same value again is no change
        with database.write() as connection:
            runs.update(connection, "a", properties={"author": "me", "old": "1"})
    with pytest.raises(Conflict, match="'author'"), database.write() as connection:
        runs.update(connection, "a", tags={"new": "x"}, properties={"author": "you"})
    with database.read() as connection:
        found = runs.full(connection, "a")
    assert (found.properties, found.row["tags"]) == ({"old": "1", "author": "me"}, {})


def test_a_wrong_tag_changes_nothing(database: Database, tmp_path: Path) -> None:
    make(database, tmp_path, "a")
    with pytest.raises(Invalid), database.write() as connection:
        runs.update(connection, "a", tags={"good": "1", "bad\0": "2"}, name="x")
    with database.read() as connection:
        row = runs.row(connection, "a")
    assert (row["tags"], row["name"]) == ({}, "")


# --- deletion ---


def left_rows(database: Database) -> set[str]:
    with database.read() as connection:
        return {
            table.name
            for table in schema.metadata.sorted_tables
            if connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
        } - {"alembic_version"}


def test_a_deleted_run_leaves_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "PURGED_AT_ONCE", 3)
    written = make(database, tmp_path, "a", after=["b"], parameters={"lr": 1}, tags={"x": "y"})
    written.start()
    written.log_metric("loss", *range(20_000))
    written.log(*({"k": "list", "n": "l", "v": [i]} for i in range(10)))
    written.write("logged.1", b"damage\n")
    written.end()
    ingest = Ingest(database)
    while ingest.run(written.folder).more:
        pass
    deletion.delete(database, "a")
    assert left_rows(database) == set()
    with pytest.raises(NotFound):
        deletion.delete(database, "a")


def test_a_run_that_is_not_over_stays(database: Database, tmp_path: Path) -> None:
    make(database, tmp_path, "a").start()
    with pytest.raises(Conflict, match="only a run that is over") as caught:
        deletion.delete(database, "a")
    assert caught.value.hint == "outlast cancel a"
    assert ids(database) == ["a"]


def test_a_run_of_the_same_id_shares_nothing_with_the_deleted_one(
    database: Database, tmp_path: Path
) -> None:
    written = make(database, tmp_path, "a")
    written.start()
    written.end()
    written.log_metric("loss", 1)
    Ingest(database).run(written.folder)
    with database.read() as connection:
        key = runs.key_of(connection, "a")
    deletion.delete(database, "a")
    Path(written.folder.path).rename(tmp_path / "gone")
    make(database, tmp_path, "a")
    with database.read() as connection:
        assert runs.key_of(connection, "a") > key
        assert runs.row(connection, "a")["metrics"] == {}


KILLED = """
import sys
from outlast.store import deletion
from outlast.store.database import Database
from tests.store.dying import die_at

deletion.PURGED_AT_ONCE = 2
database = Database.open(sys.argv[1])
die_at(int(sys.argv[2]))
deletion.delete(database, "a")
"""


@pytest.mark.slow
@pytest.mark.parametrize("statement", [3, 9, 14, 22, 26])
def test_a_killed_deletion_goes_on(tmp_path: Path, statement: int) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    opened = Database.open(url)
    written = make(opened, tmp_path, "a")
    written.start()
    written.end()
    written.log_metric("loss", 1, 2)
    written.log(*({"k": "list", "n": "l", "v": [i]} for i in range(5)))
    Ingest(opened).run(written.folder)
    command = [sys.executable, "-c", KILLED, url, str(statement)]
    ended = subprocess.run(command, check=False, cwd=ROOT)
    assert ended.returncode in (0, -9)
    if ids(opened) == []:
        deletion.purge(opened)
    else:
        deletion.delete(opened, "a")
    assert left_rows(opened) == set()
    opened.close()
