"""Errors in a job's output."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from outlast.run import events as ev
from outlast.supervisor import logged_errors
from outlast.supervisor.logged_errors import LoggedErrors
from tests.supervisor.conftest import Run

TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "a.py", line 1, in <module>\n'
    "    1 / 0\n"
    "ZeroDivisionError: division by zero\n"
)


def find(tmp_path: Path, text: str | bytes, start: int = 0) -> LoggedErrors:
    path = tmp_path / "output"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return logged_errors.find(str(path), start)


def test_a_traceback_is_found_and_its_exception_named(tmp_path: Path) -> None:
    found = find(tmp_path, "hello\n" + TRACEBACK + "going on\n")
    assert found == LoggedErrors(1, 6, 6, "ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    "line",
    [
        "ERROR:root:it broke", "2026-11-21 10:00:00,123 ERROR train: it broke", "[ERROR] it broke",
        "| CRITICAL | it broke", "E1121 ERROR: it broke",
    ],
)  # fmt: skip
def test_levels_of_log_lines_count(tmp_path: Path, line: str) -> None:
    assert find(tmp_path, f"fine\n{line}\nfine").found == 1


@pytest.mark.parametrize(
    "line",
    ["errors: 0", "NUM_ERRORS=0", "MSE_ERROR 0.1", "TERRORS", "x" * 300 + " ERROR", "Error rate"],
)
def test_words_that_only_look_like_it_dont(tmp_path: Path, line: str) -> None:
    assert find(tmp_path, f"{line}\n").found == 0


def test_a_logged_exception_is_one_error(tmp_path: Path) -> None:
    found = find(tmp_path, "ERROR:root:registering failed\n" + TRACEBACK)
    assert (found.found, found.last_line) == (1, "ZeroDivisionError: division by zero")


def test_offsets_are_the_outputs(tmp_path: Path) -> None:
    text = "ERROR one\n" + "fill\n" * 1_000_000 + "ERROR two\n" + "fill\n" * 10
    found = find(tmp_path, text, start=0)
    assert (found.found, found.first_offset) == (2, 0)
    assert text.encode()[found.last_offset :].startswith(b"ERROR two")
    assert find(tmp_path, text, start=5).first_offset == found.last_offset


def test_no_edge_of_a_window_hides_an_error(tmp_path: Path) -> None:
    window = 1 << 20
    for shift in range(-40, 5):
        filler = b"y" * 99 + b"\n"
        text = (filler * (window // 100 + 1))[: window + shift - 1] + b"\n" + TRACEBACK.encode()
        found = find(tmp_path, text)
        assert (found.found, found.first_offset) == (1, window + shift), shift


def test_an_output_of_nothing_but_errors_is_counted_fast(tmp_path: Path) -> None:
    text = b"ERROR again\n" * 2_000_000
    began_s = time.monotonic()
    assert find(tmp_path, text).found == 2_000_000
    assert time.monotonic() - began_s < 10


def test_one_line_without_end_is_no_trouble(tmp_path: Path) -> None:
    assert find(tmp_path, b"x" * (5 << 20)).found == 0
    assert find(tmp_path, b"\xff\0" * (1 << 20) + b"\nERROR x").found == 1


@pytest.mark.parametrize(
    ("policy", "outcome", "warned"),
    [("warn", "completed", 1), ("ignore", "completed", 0), ("fail", "failed", 0)],
)
def test_what_an_error_in_the_output_means(
    run: Run, policy: str, outcome: str, warned: int
) -> None:
    run.policy(on_logged_error=policy)
    ended = run.python("import logging; logging.error('the registry is away')").ended()
    assert ended.outcome == outcome
    warnings = run.of(ev.Warned)
    assert len(warnings) == warned
    if warned:
        assert "the registry is away" in warnings[0].message
    assert ("logged_errors" in ended.facts) == (policy != "ignore")


def test_errors_of_the_attempt_before_dont_count(run: Run) -> None:
    run.shell("echo ERROR one; exit 1").ended()
    run.write(["true"], attempt=2)
    run.supervise(attempt=2)
    run.wait(ev.Ended, count=2)
    assert run.of(ev.Warned) == []
