"""Curves drawn in a terminal."""

from __future__ import annotations

import math

import pytest

from outlast.cli.plot import ROWS, curve


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def draw(values: list[float], **options: object) -> list[str]:
    steps = list(range(len(values)))
    return curve("loss", steps, values, len(values), values[-1]).splitlines()


def test_a_straight_line_goes_from_corner_to_corner() -> None:
    lines = draw([0.0, 1.0])
    assert lines[0] == "loss   last 1, 2 points"
    assert lines[1].startswith("1 ┤")
    drawn = [len(line) for line in lines[1 : ROWS + 1]]
    assert drawn == sorted(drawn, reverse=True)  # ever further right, the higher
    assert drawn[0] == 39
    assert lines[ROWS].startswith("0 ┤⡠")
    assert lines[ROWS + 1] == "   0" + " " * 34 + "1"
    assert len(lines) == ROWS + 2


def test_no_line_is_wider_than_the_terminal() -> None:
    values = [math.sin(step / 10) * 1e-7 for step in range(1000)]
    assert max(map(len, draw(values))) <= 40


def test_what_is_not_finite_leaves_a_gap() -> None:
    whole, gap = draw([1.0] * 100), draw([1.0] * 40 + [math.nan] * 20 + [1.0] * 40)
    row = next(line for line in gap if "⠤" in line or "⠒" in line or "⣀" in line or "⠉" in line)
    assert " " in row.split("┤")[1].strip()
    assert " " not in next(line for line in whole if line.endswith(row[-1])).split("┤")[1]


@pytest.mark.parametrize("values", [[math.nan], [math.inf, -math.inf]])
def test_nothing_finite_is_said(values: list[float]) -> None:
    assert draw(values)[1] == "  no finite value to draw"


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [-1.7e308, 1.7e308], [5e-324, 0.0]])
def test_flat_single_and_extreme_series_are_drawn(values: list[float]) -> None:
    assert len(draw(values)) == ROWS + 2


def test_a_hostile_name_is_one_harmless_line() -> None:
    text = curve("a\x1b[2J\nb", [0, 1], [0.0, 1.0], 2, 1.0)
    assert text.startswith("a b   last 1")
    assert "\x1b" not in text
