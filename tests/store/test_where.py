"""The language of --where: what it means, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.errors import Invalid
from outlast.store import pages
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from outlast.store.where import All, Any_, Compare, Not, parse, to_sql
from tests.store.folders import T_NS, Written


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("metrics.loss < 0.1", Compare("metrics.loss", "<", 0.1)),
        ("metrics.val/loss-2<.5", Compare("metrics.val/loss-2", "<", 0.5)),
        ('metrics."val loss" >= -1e-3', Compare("metrics.val loss", ">=", -0.001)),
        ("status = failed", Compare("status", "=", "Failed")),
        ("status in (Failed, canceled)", Compare("status", "in", ("Failed", "Canceled"))),
        ("tags.a not in (1, 'x')", Compare("tags.a", "not in", (1.0, "x"))),
        ("tags.best", Compare("tags.best", "has")),
        ('name ~ "a\\"b"', Compare("name", "~", 'a"b')),
        ("id = 0123abcdef", Compare("id", "=", "0123abcdef")),
        ("id = 12e5", Compare("id", "=", "12e5")),
        ("params.lr == 1e-3", Compare("params.lr", "=", 0.001)),
        ("not name = a", Not(Compare("name", "=", "a"))),
        (
            "name=a or name=b and name=c",
            Any_(
                (
                    Compare("name", "=", "a"),
                    All((Compare("name", "=", "b"), Compare("name", "=", "c"))),
                )
            ),
        ),
        (
            "(name=a OR name=b) AND attempt > 1",
            All(
                (
                    Any_((Compare("name", "=", "a"), Compare("name", "=", "b"))),
                    Compare("attempt", ">", 1.0),
                )
            ),
        ),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("loss < 1", 1, "metrics.NAME"),
        ("stats = x", 1, "did you mean 'status'?"),
        ("metrics.loss < abc", 16, "a number"),
        ("metrics.loss ~ 1", 16, "a text field"),
        ("status = Foo", 10, "NotResponding"),
        ("(name = a", 10, "closing bracket"),
        ("name", 5, "one of ="),
        ("name ~", 7, "a number, a text in quotes, or a word"),
        ('name = "x', 8, "a value"),
        ("name = a name", 10, "and, or, or the end"),
        ("name = a or", 12, "a field"),
        ("status in Failed", 11, "( and values"),
        ("status in (Failed", 18, "a comma or )"),
        ("created > yesterday", 11, '"2026-11-21"'),
        ("", 1, "a field"),
    ],
)
def test_a_mistake_is_shown_at_its_column(text: str, column: int, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert f"at column {column} " in str(caught.value)
    assert expected in str(caught.value)
    assert "--where" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text", ["name = '\0'", "name = '\ud800'", "a" * 5000, "(" * 100 + "name=a"]
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


@given(
    st.text(st.sampled_from("namestagsmetrics.lo <>=~!()\"'\\,0123456789andornotin"), max_size=60)
)
def test_any_text_is_a_condition_or_invalid(text: str) -> None:
    try:
        condition = parse(text)
    except Invalid:
        return
    assert str(to_sql(condition, 1))


RUNS: dict[str, dict[str, Any]] = {
    "a": {"tags": {"team": "vision", "fold": "3"}, "parameters": {"lr": 0.1, "amp": True}},
    "b": {"tags": {"team": "text"}, "parameters": {"lr": 0.01, "name": "50%_off"}},
    "c": {"name": "Third", "experiment": "other"},
}


@pytest.fixture
def three(database: Database, tmp_path: Path) -> Database:
    """Runs a (Completed, loss 0.5), b (Failed, loss nan), c (Running)."""
    ingest = Ingest(database)
    for name, spec in RUNS.items():
        written = Written(tmp_path, name, **spec)
        written.start()
        if name == "a":
            written.log_metric("loss", 2.0, 0.5)
        if name == "b":
            written.log({"k": "m", "n": "loss", "v": None, "x": "nan", "s": 0, "t": T_NS})
        if name != "c":
            written.end(code=int(name == "b"))
        ingest.run(written.folder)
    return database


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("metrics.loss < 1", "a"),
        ("metrics.loss > 1", ""),
        ("metrics.loss != 7", "a"),
        ("metrics.loss", "ab"),
        ("not metrics.loss", "c"),
        ("not metrics.loss < 1", "bc"),
        ("tags.team = vision", "a"),
        ("tags.team != vision", "b"),
        ("tags.team ~ VIS", "a"),
        ("tags.fold = 3", "a"),
        ("tags.fold > 2.5", "a"),
        ('tags.fold = "3"', "a"),
        ("tags.team in (vision, text)", "ab"),
        ("tags.team not in (vision)", "b"),
        ("params.lr <= 0.01", "b"),
        ("params.amp = true", "a"),
        ('params.name ~ "%_"', "b"),
        ('params.name ~ "%%"', ""),
        ("status = completed", "a"),
        ("status in (Failed, Running)", "bc"),
        ("name ~ third", "c"),
        ("experiment = other", "c"),
        ("cause = exit_code", "b"),
        ("attempt >= 1", "abc"),
        ("ended < 2100-01-01", "ab"),
        ("duration_s = 1", "ab"),
        ("duration_s > 2", "c"),
        ("not duration_s > 2", "ab"),
        ('created > "2020-01-01T00:00:00+00:00"', "abc"),
        ("id = a or id = b and status = running", "a"),
        ('name = "\'; DROP TABLE runs; --"', ""),
    ],
)
def test_conditions_find_the_same_on_both_databases(
    three: Database, where: str, expected: str
) -> None:
    with three.read() as connection:
        found = pages.page(connection, pages.Query(where=where, sort="name")).rows
    assert sorted(one["id"] for one in found) == list(expected)
