"""From folders into rows: once, in order, whole, whatever the folder holds."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from outlast.journal.line import pack
from outlast.run import events as ev
from outlast.run.state import (
    CANCEL_REQUESTED,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    STARTING,
    Enqueue,
    Finish,
    Release,
    Stop,
    replay,
)
from outlast.store import pages, runs, schema
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from tests.store.folders import T_NS, Written, point
from tests.store.stored import drained, row, snapshot, values

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
    assert found.before is None
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
    assert again.before == again.state
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
        found = pages.page(connection, pages.Query(where="metrics.m1199 = 1199"))
        assert [one["id"] for one in found.rows] == ["run1"]


def test_a_failed_run_keeps_its_cause(database: Database, ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.start()
    written.end(code=3)
    assert ingest.run(written.folder).state.status == FAILED
    shown = row(database)
    assert (shown["cause"], shown["exit_code"]) == ("exit_code", 3)


def test_starting_is_seen_before_the_supervisor_speaks(ingest: Ingest, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.decide(
        ev.Created(T_NS), ev.Queued(T_NS), ev.Dispatched(T_NS, 1, "local"),
        ev.Launched(T_NS, 1, 5, 6, "boot"),
    )  # fmt: skip
    assert ingest.run(written.folder).state.status == STARTING


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
