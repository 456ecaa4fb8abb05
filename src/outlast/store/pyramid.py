"""Sealed points, and the few of them that stand for many.

Level 0 holds every point, 8,192 a chunk. A row of level 1 stands for one chunk, a row of level 2
for four, of level 3 for sixteen: each holds, of 128 cells of equally many points, the least, the
greatest and the first that isn't finite, and its two ends. So a cell of level 1 is 64 points, every
row has about 256 whatever it stands for, and no spike is lost on the way up. The points of every
level are points that were logged; a level is a series again and is stored like one.

Rows of a level are made when the chunks that they stand for are complete; the rest of a series is
read from lower levels. Chunks may overlap in steps, so only a sort makes a curve of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from outlast.store.chunks import PLANES, Points, decode, encode, joined
from outlast.store.statement import execute

CHUNK_POINTS = 8192
CELLS = 128  # of a row
FAN = 4  # rows of a level that one of the next stands for


class Window(NamedTuple):
    """Steps that are asked for, both included."""

    first_step: int = -(2**63)
    last_step: int = 2**63 - 1


class Row(NamedTuple):
    """A row of `chunk`."""

    level: int
    place: int
    points: int
    first_step: int
    last_step: int
    data: bytes

    def is_inside(self, window: Window) -> bool:
        return window.first_step <= self.first_step and self.last_step <= window.last_step

    def is_outside(self, window: Window) -> bool:
        return self.last_step < window.first_step or window.last_step < self.first_step


def add(connection: Connection, series: int, place: int, points: Points) -> None:
    """Write the chunk at `place`, sorted by step, and the rows above it that it completes."""
    _insert(connection, series, 0, place, points, len(points.values))
    if len(points.values) > 3 * CELLS:  # else nothing would be gained
        _insert(
            connection,
            series,
            1,
            place,
            points.part(thin(points.values, CELLS)),
            len(points.values),
        )
    level, end = 2, place + 1
    while end % _chunks(level) == 0:
        start = end - _chunks(level)
        below = list(
            cover(
                connection,
                series,
                top=level - 1,
                level=level - 1,
                chunks=(start, end),
                window=Window(),
            )
        )
        merged = joined([decode(row.data) for row in below]).by_step()
        stands_for = sum(row.points for row in below)
        _insert(
            connection, series, level, start, merged.part(thin(merged.values, CELLS)), stands_for
        )
        level += 1


def view(
    connection: Connection, series: int, chunks: int, window: Window, points: int
) -> tuple[list[Points], int]:
    """Pieces of a series in order of arrival, cut to the window, and how many points a cell has.

    About `points` to 4 x `points` of them when the window holds more; 1 = every point is there.
    """
    top = _top(chunks)
    level = _level(connection, series, top, window, points)
    cell = cell_points(level)
    pieces = []
    for row in cover(connection, series, top=top, level=level, chunks=(0, chunks), window=window):
        piece = decode(row.data)
        stands_for = row.points
        if not row.is_inside(window):  # only at level 0
            piece = piece.within(*window)
            stands_for = len(piece.values)
        # As coarse as its neighbours, else the picture would be finer here than there.
        pieces.append(coarsened(piece, cell, stands_for) if row.level < level else piece)
    return pieces, cell


def coarsened(points: Points, cell: int, stands_for: int) -> Points:
    """Thinned as if its cells were of `cell` points."""
    cells = -(-stands_for // cell)
    return points if cell == 1 else points.part(thin(points.values, max(cells, 1)))


def cover(
    connection: Connection,
    series: int,
    *,
    top: int,
    level: int,
    chunks: tuple[int, int],
    window: Window,
) -> Iterator[Row]:
    """Rows that stand for the chunks from the one up to the other, in order, of `level` if it can.

    Looked for from level `top` down, past what is outside of the window. Where there is no row yet,
    and where one is only partly within the window, those below it are taken: an extreme outside of
    the window could hide one within.
    """
    found: list[Row | tuple[int, int]] = []  # rows to take, and chunks to look for below
    at, end = chunks
    for row in _rows(connection, series, top, chunks, window, with_data=top <= level):
        if at < row.place:
            _look_below(found, at, row.place)
        at = row.place + _chunks(top)
        if row.is_outside(window):
            continue
        if top <= level and (row.is_inside(window) or top == 0):
            found.append(row)
        else:
            _look_below(found, row.place, at)
    if at < end:
        _look_below(found, at, end)
    for item in found:
        if isinstance(item, Row):
            yield item
        elif top:  # at level 0 there is a row for each chunk: what is missing was outside
            yield from cover(
                connection, series, top=top - 1, level=level, chunks=item, window=window
            )


def _look_below(found: list[Row | tuple[int, int]], start: int, end: int) -> None:
    last = found[-1] if found else None
    if last is not None and not isinstance(last, Row) and last[1] == start:
        found[-1] = (last[0], end)  # one query rather than two
    else:
        found.append((start, end))


def _rows(
    connection: Connection,
    series: int,
    level: int,
    chunks: tuple[int, int],
    window: Window,
    *,
    with_data: bool,
) -> list[Row]:
    wanted = "CASE WHEN last_step >= ? AND first_step <= ? THEN data END" if with_data else "NULL"
    rows = execute(
        connection,
        f"SELECT level, place, points, first_step, last_step, {wanted} FROM chunk"
        " WHERE series = ? AND level = ? AND place >= ? AND place < ? ORDER BY place",
        *(window if with_data else ()),
        *(series, level, *chunks),
    )
    return [Row._make(row) for row in rows.fetchall()]


def thin(values: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.int64]:
    """Positions of the least, the greatest and the first non-finite value of each cell; the ends.

    Ascending. Cells are of equally many values, but for the last.
    """
    n = len(values)
    if n <= 2 * cells:
        return np.arange(n, dtype=np.int64)
    size = -(-n // cells)
    table = np.full((-(-n // size), size), values[-1])  # the filling is never the first of its kind
    table.reshape(-1)[:n] = values
    is_finite = np.isfinite(table)
    keep = np.zeros(table.shape, bool)
    row = np.arange(len(table))
    keep[row, np.where(is_finite, table, np.inf).argmin(axis=1)] = True
    keep[row, np.where(is_finite, table, -np.inf).argmax(axis=1)] = True
    broken = row[~is_finite.all(axis=1)]
    keep[broken, is_finite[broken].argmin(axis=1)] = True
    kept = keep.reshape(-1)[:n]
    kept[[0, -1]] = True
    return np.flatnonzero(kept)


def cell_points(level: int) -> int:
    """Points of a cell; 1 at level 0."""
    return _chunks(level) * CHUNK_POINTS // CELLS if level else 1


def _chunks(level: int) -> int:
    return int(FAN ** max(level - 1, 0))


def _top(chunks: int) -> int:
    """The highest level that a series of so many chunks can have."""
    level = 1
    while _chunks(level + 1) <= chunks:
        level += 1
    return level


def _level(connection: Connection, series: int, top: int, window: Window, points: int) -> int:
    """The highest level that has enough points within the window."""
    for level in range(top, 0, -1):
        (found,) = execute(
            connection,
            "SELECT sum(n) FROM chunk WHERE series = ? AND level = ?"
            " AND last_step >= ? AND first_step <= ?",
            *(series, level, *window),
        ).one()
        if found is not None and found >= points:
            return level
    return 0


def _insert(
    connection: Connection, series: int, level: int, place: int, points: Points, stands_for: int
) -> None:
    execute(
        connection,
        "INSERT INTO chunk (series, level, place, n, points, first_step, last_step, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        series,
        level,
        place,
        len(points.values),
        stands_for,
        int(points.steps[0]),
        int(points.steps[-1]),
        encode(points, PLANES),
    )
