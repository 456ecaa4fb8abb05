"""What differs between runs, and by how much."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.cli.commands.compare import comparison, differences, differing, program_name
from tests.cli.terminal import Piped


def facts(run_id: str, **changed: Any) -> dict[str, Any]:
    spec = {
        "command": ["python", "train.py"], "parameters": {"lr": 0.1}, "variables": {"KEY": None},
        "resources": {"cpus": 1.0}, "git": {"commit": "a" * 40, "is_dirty": False},
        "source": {"folder": "/x", "digest": None}, **changed.pop("spec", {}),
    }  # fmt: skip
    return {
        "id": run_id, "name": "", "experiment": "default", "status": "Completed", "tags": {},
        "command": "python train.py", "started_ns": 1, "ended_ns": 2_000_000_001,
        "series": {"loss": {"last": 0.5}}, "spec": spec, **changed,
    }  # fmt: skip


def test_only_what_differs_is_shown_asked_first_results_last() -> None:
    one = facts("one")
    two = facts(
        "two", spec={"parameters": {"lr": 0.2}, "git": {"commit": "a" * 40, "is_dirty": True}},
        series={"loss": {"last": 0.25}}, tags={"team": "a"},
    )  # fmt: skip
    assert differences([one, two]) == [
        ("param lr", [0.1, 0.2]),
        ("git", ["a" * 12, "a" * 12 + " + changes"]),
        ("tag team", [None, "a"]),
        ("metric loss", [0.5, 0.25]),
    ]


def test_two_runs_side_by_side_with_the_change() -> None:
    one, two = facts("one"), facts("two", series={"loss": {"last": 0.25}, "acc": {"last": 0.9}})
    assert comparison([one, two]) == (
        "             one  two   CHANGE\n"
        "metric loss  0.5  0.25  -50 %\n"
        "metric acc        0.9\n"
        "\n"
        "the same in all: experiment, command, folder, git, status, lasted, param lr, "
        "variable KEY, resource cpus"
    )


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [(1, 1.125, "+12.5 %"), (0, 3, "+3"), (0.001, 10, "x 1e+04"), ("nan", 1.0, ""),
     (2, -2, "-200 %")],
)  # fmt: skip
def test_a_change_is_told_so_that_it_says_something(before: Any, after: Any, change: str) -> None:
    runs = [facts("a", series={"m": {"last": before}}), facts("b", series={"m": {"last": after}})]
    assert comparison(runs).splitlines()[1].split("  ")[-1].strip() == (change or str(after)[:1])


def test_runs_that_do_not_differ_say_so() -> None:
    assert "don't differ" in comparison([facts("a"), facts("b")])
    assert len(differences([facts("a"), facts("b")], shows_all=True)) == 10


def test_the_verb_needs_two_runs_and_gives_json(cli: Piped) -> None:
    assert cli("compare", "@last").code == 2
    for text in ("1", "2"):
        assert cli("run", "--param", f"n={text}", "--", "true").code == 0
    answer = cli("compare", "--json", "@-2", "@last")
    assert '"param n"' in answer.out


@pytest.mark.parametrize(
    ("texts", "columns", "shown"),
    [
        (["short a", "short b"], 10, ["short a", "short b"]),
        (["python train.py --epochs 100 --lr 0.1", "python train.py --epochs 100 --lr 0.2"], 26,
         ["python train.py … --lr 0.1", "python train.py … --lr 0.2"]),
        (["/home/ann/projects/one", "/home/ann/projects/two"], 12, ["/home/…/one", "/home/…/two"]),
        (["cp /data/sets/large/a x", "cp /data/sets/large/b x"], 12, ["cp …/a x", "cp …/b x"]),
        (["python a.py", ""], 8, ["python a.py", ""]),
        (["the same long text"] * 2, 10, ["the same long text"] * 2),
    ],
)  # fmt: skip
def test_long_texts_are_cut_where_they_are_alike(
    texts: list[str], columns: int, shown: list[str]
) -> None:
    assert differing(texts, columns) == shown


@pytest.mark.parametrize(
    ("commands", "shown"),
    [
        (["/v/.venv/bin/python a.py", "/v/.venv/bin/python b.py"], ["python a.py", "python b.py"]),
        (["/v/bin/python a.py", "/w/bin/python a"], ["/v/bin/python a.py", "/w/bin/python a"]),
        (["'/my v/python' a.py", "'/my v/python' b.py"],
         ["'/my v/python' a.py", "'/my v/python' b.py"]),
        (["./a", "./b"], ["a", "b"]),
    ],
)  # fmt: skip
def test_a_program_is_named_without_its_folder_unless_that_differs(
    commands: list[str], shown: list[str]
) -> None:
    assert program_name(commands) == shown


def test_on_a_narrow_terminal_what_differs_in_the_commands_is_in_sight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    venv = "/tmp/some/where/deep/project/.venv/bin/python"
    one, two = (
        facts(run_id, spec={"command": [venv, "train.py", "--data", "/data/imagenet", "--lr", lr]})
        for run_id, lr in (("k7fb6ygkz7", "0.1"), ("k7fb6ygkz8", "0.25"))
    )
    line = comparison([one, two]).splitlines()[1]
    assert len(line) <= 80
    assert line.split("  ")[1:] == ["python train.py … --lr 0.1", "python train.py … --lr 0.25"]
