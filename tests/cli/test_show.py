"""How things look: columns that fit, texts that can't do anything to a terminal."""

from __future__ import annotations

import time
from typing import Any

import pytest

from outlast.cli import show

HOSTILE = "a\x1b]0;t\x07\x1b[31mb\x1b[2J\u202ec\nd\te\x00"


@pytest.fixture
def columns_80(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal of 80 columns, without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def test_a_table_lines_up_and_leaves_empty_columns_out() -> None:
    text = show.table(["ID", "EMPTY", "NAME"], [["1", "", "short"], ["22", "", "x y"]])
    assert text == "ID  NAME\n1   short\n22  x y"


@pytest.mark.usefixtures("columns_80")
def test_a_table_fits_the_terminal_by_cutting_its_longest_columns() -> None:
    text = show.table(["A", "B", "C"], [["a" * 10, "b" * 60, "c" * 40], ["x", "y", "z"]])
    lines = text.splitlines()
    assert max(map(len, lines)) == 80
    assert lines[1] == "a" * 10 + "  " + "b" * 32 + "…  " + "c" * 32 + "…"


@pytest.mark.usefixtures("columns_80")
def test_wide_characters_take_two_columns() -> None:
    text = show.table(["NAME", "X"], [["日本語", "1"], ["e\u0301", "2"], ["日" * 60, "3"]])
    rows = text.splitlines()
    assert rows[1].startswith("日本語" + " " * 70)
    assert [show.columns_of(row) for row in rows] == [80] * 4


def test_a_hostile_cell_stays_in_its_cell() -> None:
    text = show.table(["NAME", "X"], [[HOSTILE, "1"]])
    assert text == "NAME      X\nabc d e   1".replace("e   1", "e   1") or text.count("\n") == 1
    assert not set(text) & set("\x1b\x07\x00\u202e\t")


def test_nothing_is_cut_or_coloured_in_a_pipe() -> None:
    text = show.table(["A", "B"], [["a" * 300, "Failed"]], paint_column=1)
    assert "a" * 300 in text
    assert "\x1b" not in text


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert show.paint("x", "Failed") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert show.paint("x", "Failed") == "x"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"status": "Running"}, "Running"),
        ({"status": "Completed", "warnings": [["a", "b"]]}, "Completed!"),
        ({"status": "Failed", "cause": "exit_code", "exit_code": 7}, "Failed: exit 7"),
        ({"status": "Failed", "cause": "time_limit", "exit_code": 1}, "Failed: time limit"),
        ({"status": "Failed", "cause": "launch_failed"}, "Failed: launch"),
        ({"status": "Finalizing", "stage": "leftovers"}, "Finalizing: leftovers"),
        ({"status": "Canceled", "cause": "canceled"}, "Canceled"),
    ],
)
def test_a_status_says_its_cause_or_stage(row: dict[str, Any], text: str) -> None:
    assert show.status(row) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (61, "1 m"), (7300, "2 h"), (180_000, "2 d")]
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert show.age(time.time_ns() - int(seconds * 1e9)) == text


def test_metrics_in_a_list_are_short_and_safe() -> None:
    row = {"metrics": {"loss": {"last": 0.123456}, HOSTILE: {"last": "nan"}, "c": {"last": 1}}}
    assert show.metrics(row) == "loss=0.1235 abc d e=nan"


WHY = {
    "headline": "Not finished yet: 1 background process is still running.",
    "findings": [
        {
            "rule": "orphan_process", "severity": "warning", "since_ns": 1, "next_ns": 2,
            "claim": "The command ended at 14:03:21 with exit code 0, but a process that it "
                     "started is still running.",
            "evidence": [
                {"text": "process 4312 (python evaluate.py): 98 % CPU", "journal": ""},
                {"text": "Traceback:\n  line 1\x1b[2J", "journal": "output", "offset": 12},
            ],
            "next": "It is waited for until 14:08:21.", "command": "kill 4312",
        },
    ],
}  # fmt: skip


@pytest.mark.usefixtures("columns_80")
def test_an_explanation_reads_from_the_headline_to_what_changes_it() -> None:
    assert show.explanation(WHY) == (
        "Not finished yet: 1 background process is still running.\n"
        "\n"
        "! The command ended at 14:03:21 with exit code 0, but a process that it started\n"
        "  is still running.\n"
        "    process 4312 (python evaluate.py): 98 % CPU\n"
        "    Traceback:\n"
        "      line 1  [output @ 12]\n"
        "  next: It is waited for until 14:08:21.\n"
        "  try:  kill 4312"
    )


@pytest.mark.usefixtures("columns_80")
def test_a_claim_that_is_the_headline_is_not_said_twice() -> None:
    finding = {"severity": "info", "claim": "Completed in 3 s", "evidence": [{"text": "code 0"}]}
    text = show.explanation({"headline": "Completed in 3 s.", "findings": [finding]})
    assert text == "Completed in 3 s.\n    code 0"
