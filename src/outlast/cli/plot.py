"""Curves in a terminal: two columns and four rows of Braille dots a character."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outlast import units
from outlast.cli import show
from outlast.printable import one_line

ROWS = 12
LEAST_COLUMNS = 10
# The dot at (column, row) of a Braille character, as its bit from U+2800 on.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800

Point = tuple[int, float]


def curve(name: str, steps: Sequence[int], values: Sequence[float], count: int, last: float) -> str:
    """The series as lines of text, as wide as the terminal; what isn't finite leaves a gap.

    `count` and `last` are of the whole series, of which `values` may be a part.
    """
    heading = f"{one_line(name)}   last {show.number(last)}, {units.count(count, 'point')}"
    points = list(zip(steps, values, strict=True))
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return f"{heading}\n  no finite value to draw"
    low, high = min(finite), max(finite)
    labels = {0: show.number(high), ROWS - 1: show.number(low)}
    margin = max(map(len, labels.values()))
    columns = max(LEAST_COLUMNS, min(show.width(), show.TEXT_COLUMNS) - margin - 3)
    lines = [show.bold(heading)]
    for row, dots in enumerate(_grid(points, low, high, columns)):
        drawn = "".join(chr(BRAILLE + bits) if bits else " " for bits in dots).rstrip()
        lines.append(f"{labels.get(row, ''):>{margin}} ┤{drawn}")
    first, final = str(points[0][0]), str(points[-1][0])
    lines.append(f"{'':>{margin}}  {first}{final:>{columns - len(first)}}")
    return "\n".join(lines)


def _grid(points: Sequence[Point], low: float, high: float, columns: int) -> list[list[int]]:
    grid = [[0] * columns for _ in range(ROWS)]
    first = points[0][0]
    span = max(points[-1][0] - first, 1)
    # Divided before subtracted: the span of two large floats may not be one.
    height = high / 2 - low / 2
    before: tuple[int, int] | None = None
    for step, value in points:
        if not math.isfinite(value):
            before = None
            continue
        down = (high / 2 - value / 2) / height if height else 0.5
        at = (round((step - first) / span * (2 * columns - 1)), round(down * (4 * ROWS - 1)))
        for x, y in _line(before or at, at):
            grid[y // 4][x // 2] |= DOTS[x % 2][y % 4]
        before = at
    return grid


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots between two points, so that a curve has no holes."""
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (
            round(start[0] + (end[0] - start[0]) * index / length),
            round(start[1] + (end[1] - start[1]) * index / length),
        )
        for index in range(length + 1)
    ]
