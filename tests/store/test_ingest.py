"""From folders into rows: once, in order, whole, whatever the folder holds."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Corrupt, Invalid, NotFound, Unreachable
from outlast.journal.line import pack
from outlast.run import events as ev
from outlast.run.folder import RunFolder
from outlast.run.manifest import Entry, made
from outlast.run.spec import RunSpec
from outlast.run.state import (
    CANCEL_REQUESTED,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    STARTING,
    Commit,
    Enqueue,
    Finish,
    Release,
    Stop,
    replay,
)
from outlast.store import manifests, reading, runs, schema, series
from outlast.store.database import Database
from outlast.store.ingest import Ingest, Ingested
from tests.store.folders import T_NS, Written, point


@pytest.fixture
def ingest(database: Database) -> Ingest:
    return Ingest(database)


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


# --- the story ---


def test_a_new_run_gets_its_row(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(
        tmp_path,
        experiment="digits",
        name="first",
        tags={"team": "vision", "best": None},
        parameters={"lr": 0.1, "deep": {"a": 1}},
        properties={"data": "v1"},
        after=["other"],
        created_by="me",
    )
    written.decide(ev.Created(T_NS), ev.Queued(T_NS + 1))
    found = ingest.run(written.folder)
    assert found.before is None
    assert found.state.status == QUEUED
    assert found.instructions == (Enqueue(1),)
    assert found.moved == ("decisions",)
    assert found.is_changed
    assert not found.more
    shown = row(database)
    assert (shown["id"], shown["name"], shown["experiment"]) == ("run1", "first", "digits")
    assert shown["command"] == "python train.py"
    assert shown["tags"] == {"team": "vision", "best": None}
    assert (shown["created_ns"], shown["queued_ns"]) == (T_NS, T_NS + 1)
    with database.read() as connection:
        full = runs.full(connection, "run1")
        assert full.properties == {"data": "v1"}
        assert full.spec["parameters"] == {"lr": 0.1, "deep": {"a": 1}}
        assert runs.spec_of(connection, "run1") == written.spec
        assert runs.state_of(connection, "run1") == (found.version, found.state)
        assert runs.dependents(connection, "other") == ["run1"]


def test_a_run_is_followed_to_its_end(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.start()
    assert ingest.run(written.folder).state.status == RUNNING
    written.end()
    found = ingest.run(written.folder)
    assert found.state.status == COMPLETED
    assert found.instructions == (Release(), Finish(COMPLETED))
    shown = row(database)
    assert shown["exit_code"] == 0
    assert shown["ended_ns"] - shown["started_ns"] == 1_000_000_000
    with database.read() as connection:
        duration = sa.select(schema.runs.c.duration_ns)
        assert connection.execute(duration).scalar_one() == 1_000_000_000


def test_nothing_new_changes_nothing(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.start()
    written.log_metric("loss", 3, 2, 1)
    first = ingest.run(written.folder)
    before = snapshot(database)
    again = ingest.run(written.folder)
    assert again.instructions == ()
    assert again.moved == ()
    assert not again.is_changed
    assert again.version == first.version
    assert snapshot(database) == before


def test_a_torn_line_waits_for_its_rest(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    line = pack(point("loss", 1.5, 0))
    written.write("logged.1", line[:20])
    assert not ingest.run(written.folder).more
    written.write("logged.1", line[20:])
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [1.5]


def test_metric_points_move_no_version_but_tags_do(ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    version = ingest.run(written.folder).version
    written.log_metric("loss", 1)
    assert ingest.run(written.folder).version == version
    written.log({"k": "tag", "n": "team", "v": "a", "t": 1})
    assert ingest.run(written.folder).version == version + 1
    written.decide(ev.Created(T_NS), ev.Queued(T_NS))
    assert ingest.run(written.folder).version == version + 2


def test_a_decision_comes_after_the_events_that_it_had_seen(ingest: Ingest, tmp_path: Path) -> None:
    """The supervisor's end came first; the server's cancel had seen only the start."""
    written = Written(tmp_path)
    written.start()
    seen = written.size("events")
    written.end()
    written.decide(ev.CancelRequested(T_NS + 9, "me", "why not"), seen=seen)
    found = ingest.run(written.folder)
    assert found.state.cancel_by == "me"
    assert Stop("cancel") in found.instructions
    later = Written(tmp_path, "run2")
    later.start()
    later.end()
    seen = later.size("events")
    later.decide(ev.CancelRequested(T_NS + 9, "me", "too late"), seen=seen)
    found = ingest.run(later.folder)
    assert found.state.cancel_by == ""
    assert Stop("cancel") not in found.instructions


def test_a_decision_that_comes_late_is_put_where_it_belongs(
    database: Database, tmp_path: Path
) -> None:
    """However the journals are cut into calls, the state is that of one reading of the whole."""
    written = Written(tmp_path)
    written.start()
    seen = written.size("events")
    piecewise = Ingest(database)
    piecewise.run(written.folder)
    written.tell(ev.Exited(T_NS + 10, 1, 0))
    piecewise.run(written.folder)
    written.decide(ev.CancelRequested(T_NS + 9, "me"), seen=seen)
    found = piecewise.run(written.folder)
    assert found.instructions == (Stop("cancel"),)
    assert found.state.status == CANCEL_REQUESTED
    with database.write() as connection:
        for table in schema.metadata.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(table.delete())
    assert Ingest(database).run(written.folder).state == found.state


def test_random_cuts_give_the_state_of_one_reading(database: Database, tmp_path: Path) -> None:
    story: list[tuple[str, ev.Event]] = [
        ("decisions", ev.Created(T_NS)),
        ("decisions", ev.Queued(T_NS + 1)),
        ("decisions", ev.Dispatched(T_NS + 2, 1, "local")),
        ("decisions", ev.Launched(T_NS + 3, 1)),
        ("events", ev.Supervised(T_NS + 4, 1, "command", 10, 20, "boot", "host", "1")),
        ("events", ev.Started(T_NS + 5, 1, 11, 21, "boot", "/", 0)),
        ("decisions", ev.Silent(T_NS + 6, 1, T_NS, T_NS + 60)),
        ("events", ev.Warned(T_NS + 7, 1, "hot", "it is hot")),
        ("decisions", ev.CancelRequested(T_NS + 8, "me")),
        ("events", ev.Stopping(T_NS + 9, 1, "cancel", "TERM", (), 0)),
        ("events", ev.Exited(T_NS + 10, 1, None, 15)),
        ("events", ev.TreeEnded(T_NS + 11, 1)),
        ("events", ev.Ended(T_NS + 12, 1, "canceled", "canceled", "canceled")),
    ]
    for seed in range(8):
        chance = random.Random(seed)
        written = Written(tmp_path, f"run{seed}")
        ingest = Ingest(database)
        size = 0
        instructions: list[Any] = []
        for journal, event in story:
            if journal == "events":
                size = written.tell(event)
            else:
                written.decide(event, seen=size)
            if chance.random() < 0.4:
                instructions += ingest.run(written.folder).instructions
        found = ingest.run(written.folder)
        instructions += found.instructions
        assert found.state == replay(written.spec, [event for _, event in story])
        assert instructions == [Enqueue(1), Stop("cancel"), Release(), Finish("Canceled")]


def test_an_event_that_cannot_follow_is_noted_and_passed(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.decide(ev.Created(T_NS), ev.Dispatched(T_NS, 1, "local"), ev.Queued(T_NS + 1))
    found = ingest.run(written.folder)
    assert found.state.status == QUEUED
    assert [code for code, _ in row(database)["warnings"]] == ["invalid_transition"]
    with database.read() as connection:
        odd = runs.oddities_of(connection, "run1")
    assert [(one["journal"], one["code"]) for one in odd] == [("decisions", "invalid_transition")]
    assert "dispatched can't follow NotStarted" in odd[0]["message"]
    before = snapshot(database)
    ingest.run(written.folder)
    assert snapshot(database) == before


def test_kinds_of_a_newer_writer_are_passed_over(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.start()
    written.write("events", pack({"k": "levitated", "t_ns": 1, "s": "x"}))
    written.log({"k": "hologram", "n": 5, "s": "x"}, point("loss", 1.0, 0))
    assert ingest.run(written.folder).state.status == RUNNING
    assert row(database)["warnings"] == []
    assert values(database, "run1", "loss") == [1.0]


# --- what a script logs ---


def test_points_tags_properties_and_values_arrive(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.log(
        point("loss", 2.0, 0),
        point("loss", 1, 1),
        point("done", True, 0),
        {**point("loss", None, 2), "x": "nan"},
        {**point("grad", None, 0), "x": "inf"},
        point("phase", "warm-up", 0),
        {"k": "list", "n": "classes", "v": [1, 2, 3], "t": 5},
        {"k": "row", "n": "r", "v": {"a": 1}, "t": 6},
        {"k": "table", "n": "t", "v": {"a": [1, 2]}, "t": 7},
        {"k": "image", "n": "matrix", "path": "matrix.png", "s": 3, "t": 8},
        {"k": "tag", "n": "team", "v": "a", "t": 9},
        {"k": "tag", "n": "team", "v": "b\u0000c", "t": 9},
        {"k": "tag", "n": "quick", "v": None, "t": 9},
        {"k": "prop", "n": "data", "v": "v1", "t": 9},
        {"k": "hello", "pid": 1},
    )
    ingest.run(written.folder)
    shown = row(database)
    assert shown["tags"] == {"team": "b\0c", "quick": None}
    assert shown["metrics"]["loss"] == {"last": "nan", "min": 1.0, "max": 2.0, "n": 3, "step": 2}
    assert shown["metrics"]["grad"]["last"] == "inf"
    assert shown["metrics"]["done"]["last"] == 1.0
    loss = values(database, "run1", "loss")
    assert loss[:2] == [2.0, 1.0]
    assert math.isnan(loss[2])
    with database.read() as connection:
        logged = runs.values_of(connection, "run1")
        assert runs.full(connection, "run1").properties == {"data": "v1"}
    assert [(one["number"], one["kind"], one["name"], one["value"]) for one in logged] == [
        (1, "list", "classes", [1, 2, 3]),
        (2, "row", "r", {"a": 1}),
        (3, "table", "t", {"a": [1, 2]}),
        (4, "image", "matrix", {"path": "matrix.png"}),
        (5, "string", "phase", "warm-up"),
    ]
    assert shown["warnings"] == []


def test_a_property_is_set_once(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.log({"k": "prop", "n": "data", "v": "v1"}, {"k": "prop", "n": "data", "v": "v1"})
    ingest.run(written.folder)
    assert row(database)["warnings"] == []
    written.log({"k": "prop", "n": "data", "v": "v2"})
    ingest.run(written.folder)
    with database.read() as connection:
        assert runs.full(connection, "run1").properties == {"data": "v1"}
    assert row(database)["warnings"] == [
        ["property_kept", "property data stays 'v1': it is set once"]
    ]


def test_lost_records_are_counted(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.log({"k": "gap", "count": 3, "reason": "disk full", "t": 1})
    ingest.run(written.folder)
    written.log({"k": "gap", "count": 4, "reason": "disk full", "t": 1}, writer="2")
    ingest.run(written.folder)
    assert row(database)["warnings"] == [
        ["records_lost", "the script could not write 7 records (disk full)"]
    ]


def test_several_writers_are_all_read(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    for rank in range(40):
        written.log(*(point(f"rank{rank}", i, i) for i in range(20)), writer=str(rank))
    drained(ingest, written.folder)
    metrics = row(database)["metrics"]
    assert {name: metric["n"] for name, metric in metrics.items()} == {
        f"rank{rank}": 20 for rank in range(40)
    }


def test_a_call_reads_a_bounded_piece_and_says_that_there_is_more(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    for first in range(0, 120_000, 10_000):
        written.log(*(point("loss", i, i) for i in range(first, first + 10_000)))
    calls = 1
    while ingest.run(written.folder).more:
        calls += 1
    assert calls > 1
    assert values(database, "run1", "loss") == [float(i) for i in range(120_000)]


def test_hundreds_of_names_are_stored_and_the_first_are_listed(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.log(*(point(f"m{i}", i, 0) for i in range(1200)))
    drained(ingest, written.folder)
    assert len(row(database)["metrics"]) == 200
    with database.read() as connection:
        found = runs.page(connection, runs.Query(where="metrics.m1199 = 1199"))
        assert [one["id"] for one in found.rows] == ["run1"]


# --- damage ---


def test_a_damaged_record_is_left_out_and_said(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    lines = [pack(point("loss", i, i)) for i in range(3)]
    lines[1] = lines[1].replace(b'"v":1', b'"v":7')
    written.write("logged.1", b"".join(lines))
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [0.0, 2.0]
    assert [code for code, _ in row(database)["warnings"]] == ["corrupt"]
    with database.read() as connection:
        (odd,) = runs.oddities_of(connection, "run1")
    assert odd["offset"] == len(lines[0])
    written.write("logged.1", lines[1])
    ingest.run(written.folder)
    assert len(row(database)["warnings"]) == 1


@pytest.mark.parametrize(
    "record",
    [
        {"k": "m", "n": "loss", "v": [1], "s": 0, "t": 0},
        {"k": "m", "n": "loss", "v": None, "s": 0, "t": 0},
        {"k": "m", "n": "loss", "v": 1, "s": 2**70, "t": 0},
        {"k": "m", "n": "loss", "v": 1, "s": 0, "t": 2**70},
        {"k": "m", "n": "loss", "v": 1, "s": "x", "t": 0},
        {"k": "m", "n": "loss", "v": 1, "t": 0},
        {"k": "m", "n": "a\u0000b", "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": "", "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": 5, "v": 1, "s": 0, "t": 0},
        {"k": "m", "n": "x" * 300, "v": 1, "s": 0, "t": 0},
        {"k": "tag", "n": "a", "v": 5},
        {"k": "tag", "n": "\u202e", "v": "x"},
        {"k": "prop", "n": "a", "v": None},
        {"k": "list", "n": "", "v": []},
    ],
)
def test_a_record_that_is_not_what_its_kind_says_stops_nothing(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    written = Written(tmp_path)
    written.log(point("good", 1, 0), record, point("good", 2, 1))
    Ingest(opened).run(written.folder)
    assert values(opened, "run1", "good") == [1.0, 2.0]
    assert [code for code, _ in row(opened)["warnings"]] == ["unreadable"]
    opened.close()


@pytest.mark.parametrize(
    "record",
    [
        {"k": "exited"},
        {"k": "ended", "t_ns": "x", "attempt": "y", "outcome": 5, "cause": {}, "message": []},
        {"k": "warned", "t_ns": 1, "attempt": 1, "code": "a\u0000", "message": "b\u0000"},
        {"k": "leftovers", "t_ns": 1, "attempt": 1, "processes": [1], "deadline_ns": "x",
         "idle_deadline_ns": []},
        {"k": 5},
        {"x": 1},
        {"k": "started", "t_ns": 10**30, "attempt": 1, "pid": -1, "start_ticks": 0, "boot_id": "",
         "folder": "", "output_offset": 0},
    ],
)  # fmt: skip
def test_a_hostile_event_stops_nothing(
    database: Database, record: dict[str, Any], tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.start()
    ingest = Ingest(database)
    ingest.run(written.folder)
    written.write("events", pack(record))
    ingest.run(written.folder)
    written.log(point("loss", 1, 0))
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [1.0]


def test_a_link_is_not_a_journal(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(pack(point("stolen", 1, 0)))
    Path(written.folder.file("logged.x")).symlink_to(secret)
    os.mkfifo(written.folder.file("logged.y"))
    found = ingest.run(written.folder)
    assert found.moved == ()
    assert row(database)["metrics"] == {}


def test_a_journal_that_lost_its_end_is_read_on(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    """After a power cut the index may know more than the disk of the folder kept."""
    written = Written(tmp_path)
    kept = written.log_metric("loss", 1, 2)
    written.log_metric("loss", 3, 4, first_step=2)
    ingest.run(written.folder)
    os.truncate(written.folder.file("logged.1"), kept)
    ingest.run(written.folder)
    assert [code for code, _ in row(database)["warnings"]] == ["shrunk"]
    written.log_metric("loss", 5, first_step=4)
    ingest.run(written.folder)
    assert values(database, "run1", "loss") == [1, 2, 3, 4, 5]


def test_a_folder_without_a_spec_holds_no_run(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        ingest.run(RunFolder(str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="holds no run"):
        ingest.run(RunFolder(str(tmp_path / "empty")))
    (tmp_path / "empty" / "spec.json").write_bytes(b"{")
    with pytest.raises(Corrupt):
        ingest.run(RunFolder(str(tmp_path / "empty")))
    (tmp_path / "empty" / "spec.json").write_bytes(b'{"id": "other"}')
    with pytest.raises(Invalid, match="other"):
        ingest.run(RunFolder(str(tmp_path / "empty")))


def test_one_wrong_folder_does_not_hold_up_the_others(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    first, second = Written(tmp_path, "a"), Written(tmp_path, "b")
    found = ingest.run_many([first.folder, RunFolder(str(tmp_path / "none")), second.folder])
    assert isinstance(found[1], NotFound)
    assert [one.run_id for one in found if isinstance(one, Ingested)] == ["a", "b"]


def test_a_folder_that_cannot_be_stored_does_not_hold_up_the_others(
    database: Database, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that the database refuses: here a name that is none."""
    folders = [Written(tmp_path, run_id).folder for run_id in ("a", "b", "c")]
    load = reading.load_spec

    def load_odd(folder: RunFolder) -> RunSpec:
        spec = load(folder)
        odd: Any = {"no": "name"}
        return spec._replace(name=odd) if folder.run_id == "b" else spec

    monkeypatch.setattr(reading, "load_spec", load_odd)
    found = ingest.run_many(folders)
    assert isinstance(found[1], Corrupt)
    assert [one.run_id for one in found if isinstance(one, Ingested)] == ["a", "c"]


# --- exactly once ---


def test_two_ingesters_store_once(database_url: str, tmp_path: Path) -> None:
    """Two servers on one database by mistake: each point once, each instruction at one of them."""
    written = Written(tmp_path)
    databases = [Database.open(database_url) for _ in range(2)]
    instructions: list[Any] = []
    written.start()
    ended = threading.Event()

    def follow(database: Database) -> None:
        ingest = Ingest(database)
        while True:
            is_last = ended.is_set()
            try:
                instructions.extend(ingest.run(written.folder).instructions)
            except Unreachable:
                continue
            if is_last:
                return

    threads = [threading.Thread(target=follow, args=[one]) for one in databases]
    for thread in threads:
        thread.start()
    for first in range(0, 3000, 100):
        written.log(*(point("loss", i, i) for i in range(first, first + 100)))
    written.end()
    ended.set()
    for thread in threads:
        thread.join()
    assert values(databases[0], "run1", "loss") == [float(i) for i in range(3000)]
    assert sorted(map(str, instructions)) == sorted(
        map(str, [Enqueue(1), Release(), Finish(COMPLETED)])
    )
    for one in databases:
        one.close()


def ingest_and_be_killed(url: str, folder: str, left: int) -> None:
    """In a process of its own: kill -9 before the statement (or the commit) number `left`."""
    opened = Database.open(url)
    statements = itertools.count(1)

    def count_down(*_: object) -> None:
        if next(statements) == left:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count_down)
    sa.event.listen(sa.Engine, "commit", count_down)
    Ingest(opened).run(RunFolder(folder))


@pytest.mark.slow
def test_killed_at_any_statement_it_stores_everything_or_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    for statement in range(1, 60):
        written = Written(tmp_path, f"run{statement}")
        written.start()
        written.log_metric("loss", 3, 2, 1)
        written.log({"k": "list", "n": "l", "v": [1]}, {"k": "tag", "n": "a", "v": "b"})
        child = multiprocessing.get_context("fork").Process(
            target=ingest_and_be_killed, args=(url, written.folder.path, statement)
        )
        child.start()
        child.join()
        opened = Database.open(url)
        rows = {name for name, found in snapshot(opened).items() if found}
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        assert rows == {"alembic_version"}
        opened.close()  # SQLite must not be open across a fork
    assert statement > 8
    assert values(opened, written.spec.id, "loss") == [3, 2, 1]
    opened.close()


def test_an_answer_that_was_lost_at_the_commit_is_not_stored_twice(
    postgres_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit worked, its answer didn't arrive: unknown is resolved by the offsets."""
    opened = Database.open(postgres_cluster.create_database(f"lost_{os.getpid()}"))
    written = Written(tmp_path)
    written.start()
    written.log_metric("loss", 3, 2, 1)
    lost = 0
    write = Database.write

    @contextmanager
    def write_and_lose(self: Database) -> Iterator[Connection]:
        nonlocal lost
        with write(self) as connection:
            yield connection
        lost += 1
        if lost == 1:
            raise Unreachable("the connection was lost", is_disconnect=True)

    monkeypatch.setattr(Database, "write", write_and_lose)
    found = Ingest(opened).run(written.folder)
    assert lost == 2
    assert found.state.status == RUNNING
    assert found.instructions == (Enqueue(1),)
    assert values(opened, "run1", "loss") == [3, 2, 1]
    opened.close()


def test_a_change_between_reading_and_writing_is_not_lost(
    database: Database, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path)
    ingest.run(written.folder)
    written.log({"k": "tag", "n": "a", "v": "from the script", "t": 1})
    gather = Ingest._gather
    changed: list[Any] = []

    def gather_then_change(self: Ingest, folders: Any) -> Any:
        gathered = gather(self, folders)
        if not changed:
            with database.write() as connection:
                changed.append(runs.update(connection, "run1", tags={"b": "from a person"}))
        return gathered

    monkeypatch.setattr(Ingest, "_gather", gather_then_change)
    ingest.run(written.folder)
    assert row(database)["tags"] == {"a": "from the script", "b": "from a person"}


def test_a_failed_run_keeps_its_cause(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.start()
    written.end(code=3)
    assert ingest.run(written.folder).state.status == FAILED
    shown = row(database)
    assert (shown["cause"], shown["exit_code"]) == ("exit_code", 3)


def test_unfinished_runs_are_found_again(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        written = Written(tmp_path, name)
        written.start()
        if name == "b":
            written.end()
        ingest.run(written.folder)
    with database.read() as connection:
        assert [found[0] for found in runs.iter_unfinished(connection)] == ["a", "c"]


def test_starting_is_seen_before_the_supervisor_speaks(ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.decide(
        ev.Created(T_NS), ev.Queued(T_NS), ev.Dispatched(T_NS, 1, "local"),
        ev.Launched(T_NS, 1, 5, 6, "boot"),
    )  # fmt: skip
    assert ingest.run(written.folder).state.status == STARTING


def test_an_index_made_anew_has_the_same_rows(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    """Deleting the database loses nothing that the folder holds, outputs included."""
    written = Written(tmp_path, tags={"a": "b"}, parameters={"lr": 1})
    written.start()
    written.log_metric("loss", 3, 2, 1)
    written.log({"k": "list", "n": "l", "v": [1]}, {"k": "tag", "n": "a", "v": "c"})
    entry = Entry("outputs/m.pt", 3, "a" * 64, 5, "outputs", "/work/outputs/m.pt")
    manifest = made("run1", 1, [entry], ["outputs/old"])
    Path(written.folder.file("manifest.json")).write_bytes(manifest.to_json())
    digest = manifest.digest()
    size = written.tell(
        ev.Exited(T_NS, 1, 0),
        ev.TreeEnded(T_NS, 1),
        ev.Ended(T_NS, 1, "completed", "", "", {}, digest),
    )
    assert Commit(digest) in ingest.run(written.folder).instructions
    with database.write() as connection:
        manifests.commit(connection, manifest, T_NS + 7)
    written.decide(ev.Committed(T_NS + 7, 1, digest, 1, 3), seen=size)
    assert ingest.run(written.folder).state.status == COMPLETED
    before = snapshot(database)
    with database.write() as connection:
        for table in schema.metadata.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(table.delete())
    assert ingest.run(written.folder).state.status == COMPLETED
    with database.read() as connection:
        assert manifests.load(connection, "run1") == manifest
    after = snapshot(database)
    changing = {"runs", "series"}  # keys and counters
    counts = {name: len(rows) for name, rows in before.items()}
    assert {name: len(rows) for name, rows in after.items()} == counts
    assert {name for name in before if name not in changing and counts[name]} >= {"manifest_files"}


def test_a_run_is_not_over_before_all_that_it_logged_is_in(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    run = Written(tmp_path)
    run.start()
    count = 150_000  # more than one call reads
    run.log_metric("loss", *map(float, range(count)))
    run.end()
    seen = [ingest.run(run.folder)]
    while seen[-1].more:
        assert not seen[-1].state.outcome
        seen.append(ingest.run(run.folder))
    assert len(seen) > 1
    assert seen[-1].state.outcome == "completed"
    assert len(values(database, "run1", "loss")) == count
