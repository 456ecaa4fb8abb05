"""Curves in a terminal: two columns and four rows of Braille dots a character."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outlast.cli import show
from outlast.printable import one_line

ROWS = 12
# The dot at (column, row) of a Braille character, as its bit from U+2800 on.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def curve(name: str, steps: Sequence[int], values: Sequence[float | None]) -> str:
    """The series as lines of text, as wide as the terminal; what isn't finite leaves a gap."""
    points = [
        (step, value)
        for step, value in zip(steps, values, strict=True)
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    if not points:
        return f"{one_line(name)}: no finite values"
    low, high = min(value for _, value in points), max(value for _, value in points)
    labels = [show.number(high), show.number(low)]
    margin = max(map(len, labels))
    columns = min(show.width(), 120) - margin - 3
    grid = _grid(points, low, high, columns)
    lines = [f"{one_line(name)}  (last {show.number(points[-1][1])}, {len(points):,} points)"]
    for row, dots in enumerate(grid):
        label = labels[0] if row == 0 else labels[1] if row == ROWS - 1 else ""
        lines.append(f"{label:>{margin}} ┤{''.join(chr(0x2800 + bits) for bits in dots).rstrip()}")
    first, last = str(points[0][0]), str(points[-1][0])
    lines.append(f"{'':>{margin}}  {first}{last:>{columns - len(first)}}")
    return "\n".join(lines)


def _grid(
    points: Sequence[tuple[int, float]], low: float, high: float, columns: int
) -> list[list[int]]:
    grid = [[0] * columns for _ in range(ROWS)]
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    before: tuple[int, int] | None = None
    for step, value in points:
        x = round((step - first) / (last - first) * (2 * columns - 1))
        y = round((high - value) / (high - low or 1.0) * (4 * ROWS - 1))
        for dot_x, dot_y in _line(before or (x, y), (x, y)):
            grid[dot_y // 4][min(dot_x // 2, columns - 1)] |= DOTS[dot_x % 2][dot_y % 4]
        before = (x, y)
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
