"""The metric points of a run: append, read, look at from afar, delete.

All is done inside the caller's transaction, on SQLite and PostgreSQL alike; a run has one writer
at a time. A point goes first into `tail`, a row a series and call. When the tail of a series holds
8,192 points, or many rows, it is folded: whole chunks are sealed (pyramid.py), the rest becomes
one row. Steps may come in any order and more than once: within a chunk and at every read points
are sorted by step, those of one step in order of arrival. NaN and infinities are values. Times are
kept in microseconds. The bytes are in chunks.py, the tables in series_tables.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from outlast.errors import Invalid, NotFound
from outlast.store import pyramid
from outlast.store.chunks import FIRST_US, PLAIN, Float64s, Int64s, Points, decode, encode, joined
from outlast.store.downsample import LEAST_POINTS, pick
from outlast.store.pyramid import CHUNK_POINTS, Window
from outlast.store.statement import execute, execute_many

# A series that gets a point at a time would have 8,192 rows to read. Some series fold later than
# others, so that ten thousand of them, logged in one loop, aren't folded at the same moment.
TAIL_ROWS = 64
TAIL_ROWS_SPREAD = 64

PURGED_AT_ONCE = 256  # rows
NAMES_AT_ONCE = 100  # beyond it, all series of a run are read rather than those that are named


class Batch(NamedTuple):
    """Points of one run in order of arrival, as columns of equal length."""

    names: list[str]  # distinct
    series: npt.NDArray[np.integer]  # of each point, the index of its name
    steps: Int64s
    times_ns: Int64s  # wall clock
    values: Float64s


class Summary(NamedTuple):
    """One series in a list. `last` is the value at the greatest step, the latest to arrive."""

    name: str
    n: int
    first_step: int
    last_step: int
    min: float | None  # of the finite values; None when there is none
    max: float | None
    last: float
    last_t_ns: int
    non_finite: int


def append(connection: Connection, run: int, batch: Batch) -> None:
    """Store the points of a batch; `run` is the key of the run's row.

    Whoever calls twice stores twice: commit an offset in the same transaction.
    Raises Invalid when the columns aren't equally long; nothing was written then.
    """
    lengths = {len(column) for column in (batch.series, batch.steps, batch.times_ns, batch.values)}
    if len(lengths) > 1:
        raise Invalid.field("batch", sorted(lengths), "columns must be equally long")
    if lengths == {0}:
        return
    groups = list(_groups(batch))
    states = _states(connection, run, [group.name for group in groups])
    tails: list[tuple[int, int, bytes]] = []
    updates: list[_State] = []
    for group in groups:
        state = states[group.name]
        if (
            state.tail_n + group.n >= CHUNK_POINTS
            or state.tail_rows >= TAIL_ROWS + state.id % TAIL_ROWS_SPREAD
        ):
            state = _folded(connection, state, group.points, n=state.n + group.n)
        else:
            tails.append((state.id, state.n, encode(group.points, PLAIN)))
            state = state._replace(tail_n=state.tail_n + group.n, tail_rows=state.tail_rows + 1)
        updates.append(_summarised(state, group))
    execute_many(connection, _INSERT_TAIL, tails)
    _update(connection, updates)


def seal(connection: Connection, run: int) -> None:
    """Move what is left in tails into chunks: the run is over. More may be appended later."""
    rows = execute(connection, f"{_SELECT_STATE} WHERE run = ? AND tail_n > 0", run).fetchall()
    states = map(_State._make, rows)
    nothing = joined([])
    _update(
        connection,
        [_folded(connection, state, nothing, n=state.n, to_the_end=True) for state in states],
    )


def summaries(connection: Connection, runs: Sequence[int]) -> dict[int, list[Summary]]:
    """The series of each of these runs, by name."""
    found: dict[int, list[Summary]] = {run: [] for run in runs}
    wanted = list(found)
    for start in range(0, len(wanted), NAMES_AT_ONCE):
        part = wanted[start : start + NAMES_AT_ONCE]
        rows = execute(
            connection,
            "SELECT run, name, n, first_step, last_step, min, max, last, last_t_ns, non_finite"
            f" FROM series WHERE run IN ({', '.join('?' * len(part))}) ORDER BY run, name",
            *part,
        )
        for row in rows.fetchall():
            summary = Summary._make(row[1:])
            if row.last is None:
                summary = summary._replace(last=math.nan)
            found[row.run].append(summary)
    return found


def read(connection: Connection, run: int, name: str) -> Points:
    """Every point of a series, sorted by step. Raises NotFound, Corrupt."""
    state = _state(connection, run, name)
    rows = execute(
        connection, "SELECT data FROM chunk WHERE series = ? AND level = 0 ORDER BY place", state.id
    )
    pieces = [decode(data) for (data,) in rows]
    return joined(pieces + _tail(connection, state.id)).by_step()


def view(
    connection: Connection,
    run: int,
    name: str,
    points: int = 2000,
    first_step: int | None = None,
    last_step: int | None = None,
) -> Points:
    """At most `points` points that draw a series, or the steps from one to another of it.

    All points when they are no more. Else points that were logged, with the first and the last, the
    least and the greatest, every spike of about the width of a drawn point, and one non-finite
    value where the line breaks. Raises NotFound, Corrupt, and Invalid for less than 16 points.
    """
    if points < LEAST_POINTS:
        raise Invalid.field("points", points, f"at least {LEAST_POINTS}")
    state = _state(connection, run, name)
    everything = Window()
    window = Window(
        everything.first_step if first_step is None else first_step,
        everything.last_step if last_step is None else last_step,
    )
    pieces, cell = pyramid.view(connection, state.id, state.chunks, window, points)
    tail = joined(_tail(connection, state.id)).by_step().within(*window)
    if len(tail.values):
        pieces.append(pyramid.coarsened(tail, cell, len(tail.values)))
    found = joined(pieces).by_step()
    return found.part(pick(found.values, points))


def delete(connection: Connection, run: int) -> None:
    """Remove every point and series of a run."""
    while purge(connection, run):
        pass


def purge(connection: Connection, run: int) -> bool:
    """Remove some rows of a run, at most about 20 MB; whether there may be more."""
    some = "SELECT id FROM series WHERE run = ? ORDER BY id LIMIT ?"
    ids = list(execute(connection, some, run, NAMES_AT_ONCE).scalars())
    if not ids:
        return False
    marks = ", ".join("?" * len(ids))
    for table, key in (("chunk", "series, level, place"), ("tail", "series, at")):
        removed = execute(
            connection,
            f"DELETE FROM {table} WHERE ({key}) IN"
            f" (SELECT {key} FROM {table} WHERE series IN ({marks}) LIMIT ?)",
            *ids,
            PURGED_AT_ONCE,
        )
        if removed.rowcount == PURGED_AT_ONCE:
            return True
    execute(connection, f"DELETE FROM series WHERE id IN ({marks})", *ids)
    return True


# --- what is known of a series between two batches ---


class _State(NamedTuple):
    id: int
    name: str
    n: int
    first_step: int
    last_step: int
    min: float | None
    max: float | None
    last: float | None
    last_t_ns: int
    non_finite: int
    chunks: int
    tail_n: int
    tail_rows: int


_SELECT_STATE = f"SELECT {', '.join(_State._fields)} FROM series"
_INSERT_TAIL = "INSERT INTO tail (series, at, data) VALUES (?, ?, ?)"
_CHANGING = _State._fields[2:]
_UPDATE_STATE = f"UPDATE series SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE id = ?"
_INSERT_STATE = (
    "INSERT INTO series (run, name, n, first_step, last_step, last_t_ns, non_finite,"
    " chunks, tail_n, tail_rows) VALUES (?, ?, 0, 0, 0, 0, 0, 0, 0, 0)"
)


def _states(connection: Connection, run: int, names: list[str]) -> dict[str, _State]:
    states = _known(connection, run, names)
    missing = [name for name in names if name not in states]
    if missing:
        execute_many(connection, _INSERT_STATE, [(run, name) for name in missing])
        states |= _known(connection, run, missing)
    return states


def _known(connection: Connection, run: int, names: list[str]) -> dict[str, _State]:
    if len(names) <= NAMES_AT_ONCE:
        marks = ", ".join("?" * len(names))
        query = f"{_SELECT_STATE} WHERE run = ? AND name IN ({marks})"
        rows = execute(connection, query, run, *names)
    else:
        rows = execute(connection, f"{_SELECT_STATE} WHERE run = ?", run)
    return {state.name: state for state in map(_State._make, rows.fetchall())}


def _state(connection: Connection, run: int, name: str) -> _State:
    try:
        return _known(connection, run, [name])[name]
    except KeyError:
        raise NotFound(
            f"this run has no metric named {name!r}", hint="outlast metrics RUN lists them"
        ) from None


def _update(connection: Connection, states: Iterable[_State]) -> None:
    execute_many(connection, _UPDATE_STATE, [(*state[2:], state.id) for state in states])


def _tail(connection: Connection, series: int) -> list[Points]:
    rows = execute(connection, "SELECT data FROM tail WHERE series = ? ORDER BY at", series)
    return [decode(data) for (data,) in rows]


def _folded(
    connection: Connection, state: _State, points: Points, *, n: int, to_the_end: bool = False
) -> _State:
    """The tail and these points become chunks and one row: they are the last of `n` points."""
    waiting = joined([*_tail(connection, state.id), points])
    count = len(waiting.values)
    sealed = count if to_the_end else count // CHUNK_POINTS * CHUNK_POINTS
    chunks = state.chunks
    for start in range(0, sealed, CHUNK_POINTS):
        part = waiting.part(slice(start, min(start + CHUNK_POINTS, sealed)))
        pyramid.add(connection, state.id, chunks, part.by_step())
        chunks += 1
    execute(connection, "DELETE FROM tail WHERE series = ?", state.id)
    rest = count - sealed
    if rest:
        data = encode(waiting.part(slice(sealed, None)), PLAIN)
        execute(connection, _INSERT_TAIL, state.id, n - rest, data)
    return state._replace(chunks=chunks, tail_n=rest, tail_rows=min(rest, 1))


# --- a batch, series by series ---


class _Group(NamedTuple):
    """The points of one series in a batch, at least one."""

    name: str
    n: int
    points: Points
    first_step: int
    last_step: int
    min: float
    max: float  # less than `min` when no value is finite
    non_finite: int


def _groups(batch: Batch) -> Iterator[_Group]:
    # A stable sort of 16 bits is a radix sort, six times as fast as one of 64.
    index = batch.series.astype(np.uint16) if len(batch.names) < 1 << 16 else batch.series
    order = np.argsort(index, kind="stable")
    of_series = batch.series[order]
    points = Points(batch.steps, batch.times_ns, batch.values).part(order)
    starts = np.flatnonzero(np.append(True, of_series[1:] != of_series[:-1]))
    is_finite = np.isfinite(points.values)
    columns = (
        of_series[starts],
        starts,
        np.append(starts[1:], len(order)),
        np.minimum.reduceat(points.steps, starts),
        np.maximum.reduceat(points.steps, starts),
        np.minimum.reduceat(np.where(is_finite, points.values, np.inf), starts),
        np.maximum.reduceat(np.where(is_finite, points.values, -np.inf), starts),
        np.add.reduceat(~is_finite, starts, dtype=np.int64),
    )
    for name, start, end, *facts in zip(*(column.tolist() for column in columns), strict=True):
        yield _Group(batch.names[name], end - start, points.part(slice(start, end)), *facts)


def _summarised(state: _State, group: _Group) -> _State:
    """The state after the points of the group have come."""
    is_new = state.n == 0
    low = [value for value in (state.min,) if value is not None]
    high = [value for value in (state.max,) if value is not None]
    if group.non_finite < group.n:
        low.append(group.min)
        high.append(group.max)
    state = state._replace(
        n=state.n + group.n,
        min=min(low, default=None),
        max=max(high, default=None),
        non_finite=state.non_finite + group.non_finite,
    )
    if is_new or group.last_step >= state.last_step:
        steps = group.points.steps
        # The last to arrive of those with the greatest step.
        at = group.n - 1 - int(np.argmax(steps[::-1] == group.last_step))
        last = float(group.points.values[at])
        state = state._replace(
            last_step=group.last_step,
            last=None if math.isnan(last) else last,
            last_t_ns=max(int(group.points.times_ns[at]) // 1000, FIRST_US) * 1000,
        )
    first_step = group.first_step if is_new else min(state.first_step, group.first_step)
    return state._replace(first_step=first_step)
