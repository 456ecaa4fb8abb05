"""Metric points in a database: what was appended is what is read, whatever the order."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from outlast.errors import Corrupt, Invalid, NotFound
from outlast.store import pyramid, series
from outlast.store.chunks import Points, decode, joined
from outlast.store.database import Database
from outlast.store.series import Batch, Summary

ROOT = Path(__file__).parent.parent.parent
T0_NS = 1_700_000_000_000_000_000
# The database outlives one example: each takes a run of its own. Examples are numbers from which
# points are drawn: a smaller number isn't a simpler example, so there is no use in shrinking.
EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
Row = tuple[str, int, int, float]  # name, step, time, value


def batch_of(rows: Iterable[Row]) -> Batch:
    rows = list(rows)
    names = list(dict.fromkeys(name for name, *_ in rows))
    return Batch(
        names,
        np.array([names.index(name) for name, *_ in rows], np.int64),
        np.array([step for _, step, _, _ in rows], np.int64),
        np.array([time for _, _, time, _ in rows], np.int64),
        np.array([value for *_, value in rows], np.float64),
    )


def batch_one(name: str, points: Points) -> Batch:
    return Batch([name], np.zeros(len(points.values), np.int64), *points)


def append(database: Database, run: int, *batches: Batch) -> None:
    for batch in batches:
        with database.write() as connection:
            series.append(connection, run, batch)


def read(database: Database, run: int, name: str) -> Points:
    with database.read() as connection:
        return series.read(connection, run, name)


def view(database: Database, run: int, name: str, *asked: Any, **named: Any) -> Points:
    with database.read() as connection:
        return series.view(connection, run, name, *asked, **named)


def summary(database: Database, run: int, name: str) -> Summary:
    with database.read() as connection:
        return next(s for s in series.summaries(connection, [run])[run] if s.name == name)


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def assert_same(found: Points, expected: Points) -> None:
    np.testing.assert_array_equal(found.steps, expected.steps)
    np.testing.assert_array_equal(found.times_ns, expected.times_ns // 1000 * 1000)
    np.testing.assert_array_equal(found.values.view(np.int64), expected.values.view(np.int64))


def curve(n: int, *, first: int = 0, seed: int = 0) -> Points:
    random = np.random.default_rng(seed)
    steps = np.arange(first, first + n, dtype=np.int64)
    times = T0_NS + steps * 10_000_000 + random.integers(0, 999_999, n)
    return Points(steps, times, random.normal(size=n))


def cut(points: Points, *sizes: int) -> list[Points]:
    edges = [0, *np.cumsum(sizes).tolist(), len(points.values)]
    return [points.part(slice(a, b)) for a, b in pairwise(edges) if a < b]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 points of 4 cells: small examples then have many levels."""
    monkeypatch.setattr(pyramid, "CHUNK_POINTS", 16)
    monkeypatch.setattr(series, "CHUNK_POINTS", 16)
    monkeypatch.setattr(pyramid, "CELLS", 4)
    monkeypatch.setattr(series, "TAIL_ROWS", 3)
    monkeypatch.setattr(series, "TAIL_ROWS_SPREAD", 2)


class Runs:
    """Keys of runs that no example has used."""

    last = 1000

    @classmethod
    def fresh(cls) -> int:
        cls.last += 1
        return cls.last


ODD_STEPS = (-(2**63), -1, 2**63 - 1)
ODD_VALUES = (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308)
SEEDS = st.integers(0, 2**32 - 1)
# How steps come: one after the other, or drawn from so many; a few odd ones among them.
ORDERS = st.sampled_from(["counted", 1, 3, 40, 1000])


def random_points(random: np.random.Generator, n: int, order: str | int, oddness: float) -> Points:
    steps = np.arange(n) if order == "counted" else random.integers(0, int(order), n)
    steps = np.where(random.random(n) < oddness / 4, random.choice(ODD_STEPS, n), steps)
    values = np.where(random.random(n) < oddness, random.choice(ODD_VALUES, n), random.random(n))
    return Points(steps, random.integers(-(2**40), 2**60, n), values)


def stable(points: Points) -> Points:
    """By step, then by arrival: plain Python's sort is stable."""
    return points.part(np.array(sorted(range(len(points.steps)), key=points.steps.__getitem__)))


@EXAMPLES
@given(
    seed=SEEDS,
    sizes=st.lists(st.integers(0, 60), max_size=12),
    order=ORDERS,
    oddness=st.sampled_from([0.0, 0.2, 1.0]),
    seals=st.sets(st.integers(0, 11), max_size=3),
)
def test_every_point_is_read_once_in_order_of_steps_then_arrival(
    database: Database,
    small_chunks: None,
    seed: int,
    sizes: list[int],
    order: str | int,
    oddness: float,
    seals: set[int],
) -> None:
    run, random = Runs.fresh(), np.random.default_rng(seed)
    names = ["loss", "acc", "löss %?"]
    everything = random_points(random, sum(sizes), order, oddness)
    of_series = random.integers(0, 3, sum(sizes)) * random.integers(0, 2, sum(sizes))
    edges = [0, *np.cumsum(sizes).tolist()]
    for number, (start, end) in enumerate(pairwise(edges)):
        part = slice(start, end)
        append(database, run, Batch(names, of_series[part], *everything.part(part)))
        if number in seals:
            with database.write() as connection:
                series.seal(connection, run)
    with database.read() as connection:
        listed = series.summaries(connection, [run])[run]
    logged = {name: np.flatnonzero(of_series == at) for at, name in enumerate(names)}
    assert [s.name for s in listed] == sorted(name for name in names if len(logged[name]))
    for found in listed:
        expected = stable(everything.part(logged[found.name]))
        assert_same(read(database, run, found.name), expected)
        assert_same(view(database, run, found.name, max(16, 2 * found.n)), expected)
        assert_summary(found, expected)


def assert_summary(found: Summary, expected: Points) -> None:
    finite = expected.values[np.isfinite(expected.values)]
    assert found.n == len(expected.values)
    assert (found.first_step, found.last_step) == (expected.steps[0], expected.steps[-1])
    assert found.min == (finite.min() if len(finite) else None)
    assert found.max == (finite.max() if len(finite) else None)
    assert found.non_finite == len(expected.values) - len(finite)
    np.testing.assert_equal(found.last + 0.0, expected.values[-1] + 0.0)
    assert found.last_t_ns == expected.times_ns[-1] // 1000 * 1000


@EXAMPLES
@given(
    seed=SEEDS,
    n=st.integers(1, 3000),
    size=st.integers(5, 400),
    order=ORDERS,
    oddness=st.sampled_from([0.0, 0.01, 0.2]),
    data=st.data(),
)
def test_a_view_has_the_ends_and_extremes_of_its_window(
    database: Database,
    small_chunks: None,
    seed: int,
    n: int,
    size: int,
    order: str | int,
    oddness: float,
    data: st.DataObject,
) -> None:
    """However few points are read of it, a view loses neither the least nor the greatest value."""
    run, points = Runs.fresh(), random_points(np.random.default_rng(seed), n, order, oddness)
    append(database, run, *(batch_one("loss", part) for part in cut(points, *[size] * (n // size))))
    everything = stable(points)
    assert_looks_like(view(database, run, "loss", 16), everything)
    for _ in range(5):
        window = sorted(data.draw(st.tuples(st.integers(-2, n), st.integers(-2, n))))
        inside = everything.within(*window)
        assert_looks_like(view(database, run, "loss", 16, *window), inside)


def rows_of(points: Points) -> list[tuple[int, int]]:
    return list(zip(points.steps.tolist(), points.values.view(np.int64).tolist(), strict=True))


def assert_looks_like(found: Points, everything: Points) -> None:
    assert len(found.values) <= 16
    assert np.all(found.steps[1:] >= found.steps[:-1])
    assert set(rows_of(everything)) >= set(rows_of(found))
    finite = everything.values[np.isfinite(everything.values)]
    if len(finite):
        assert finite.min() in found.values
        assert finite.max() in found.values
    if len(everything.values):
        assert found.steps[0] == everything.steps[0]
        assert found.steps[-1] == everything.steps[-1]
    if len(finite) < len(everything.values):
        assert not np.isfinite(found.values).all()


@pytest.mark.slow
def test_a_view_of_a_long_series_draws_every_spike_and_reads_little(database: Database) -> None:
    run, points = Runs.fresh(), curve(600_000)
    spikes = {7: 90.0, 123_456: -50.0, 300_001: 60.0, 300_002: -61.0, 599_990: 70.0}
    for at, value in spikes.items():
        points.values[at] = value
    append(database, run, *(batch_one("loss", part) for part in cut(points, *[50_001] * 11)))
    read_bytes = 0

    def counted(data: bytes) -> Points:
        nonlocal read_bytes
        read_bytes += len(data)
        return decode(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "decode", counted)
        patch.setattr(series, "decode", counted)
        drawn = view(database, run, "loss")
    assert set(spikes.values()) <= set(drawn.values.tolist())
    assert 1000 <= len(drawn.values) <= 2000
    assert read_bytes < 0.02 * 600_000 * 8
    near = view(database, run, "loss", 2000, 300_000, 300_500)
    assert_same(near, points.part(slice(300_000, 300_501)))
    part = view(database, run, "loss", 2000, 100_000, 500_000)
    assert {-50.0, 60.0, -61.0} <= set(part.values.tolist())
    assert (part.steps[0], part.steps[-1]) == (100_000, 500_000)


def test_a_gap_of_nan_in_a_long_series_breaks_the_line(database: Database) -> None:
    run, points = Runs.fresh(), curve(60_000)
    points.values[20_000:30_000] = np.nan
    append(database, run, batch_one("loss", points))
    drawn = view(database, run, "loss", 100)
    is_gap = np.isnan(drawn.values)
    assert is_gap.any()
    assert np.all((drawn.steps[is_gap] >= 20_000) & (drawn.steps[is_gap] < 30_000))
    neighbours = np.flatnonzero(drawn.steps >= 30_000)[0]
    assert is_gap[neighbours - 1]  # no line from before the gap to after it


def test_overlapping_chunks_are_merged(database: Database) -> None:
    """A second attempt logs the same steps again."""
    run, first, second = Runs.fresh(), curve(20_000), curve(20_000, seed=1)
    append(database, run, batch_one("loss", first), batch_one("loss", second))
    expected = joined([first, second])
    order = np.argsort(expected.steps, kind="stable")
    assert_same(read(database, run, "loss"), expected.part(order))
    assert summary(database, run, "loss").last == second.values[-1]
    drawn = view(database, run, "loss", 500, 5_000, 15_000).values
    part = expected.values[(expected.steps >= 5_000) & (expected.steps <= 15_000)]
    assert part.max() in drawn
    assert part.min() in drawn


def test_a_batch_is_sealed_when_its_series_has_a_chunk(database: Database) -> None:
    run = Runs.fresh()
    before = count(database, "chunk"), count(database, "tail")
    append(database, run, batch_one("loss", curve(8191)))
    assert (count(database, "chunk"), count(database, "tail")) == (before[0], before[1] + 1)
    append(database, run, batch_one("loss", curve(1, first=8191)))
    assert (count(database, "chunk"), count(database, "tail")) == (before[0] + 2, before[1])
    assert len(read(database, run, "loss").values) == 8192


def test_the_end_of_a_run_leaves_no_tail_and_more_may_come(database: Database) -> None:
    run, points = Runs.fresh(), curve(9000)
    before = count(database, "tail")
    parts = cut(points, 5000, 3500)
    append(database, run, batch_one("loss", parts[0]), batch_one("loss", parts[1]))
    for _ in range(2):
        with database.write() as connection:
            series.seal(connection, run)
    assert count(database, "tail") == before
    append(database, run, batch_one("loss", parts[2]))
    assert_same(read(database, run, "loss"), points)


def test_a_series_that_gets_one_point_at_a_time_has_few_rows(database: Database) -> None:
    run, points = Runs.fresh(), curve(300)
    before = count(database, "tail")
    with database.write() as connection:
        for part in cut(points, *[1] * 299):
            series.append(connection, run, batch_one("loss", part))
    assert count(database, "tail") - before <= series.TAIL_ROWS + series.TAIL_ROWS_SPREAD
    assert_same(read(database, run, "loss"), points)


def test_a_transaction_that_is_undone_leaves_nothing(database: Database) -> None:
    run, points = Runs.fresh(), curve(30_000)
    parts = cut(points, 8000, 12_000)
    append(database, run, batch_one("loss", parts[0]))
    with pytest.raises(ZeroDivisionError), database.write() as connection:  # noqa: PT012
        series.append(connection, run, batch_one("loss", parts[1]))
        series.append(connection, run, batch_one("other", parts[1]))
        raise ZeroDivisionError
    assert_same(read(database, run, "loss"), parts[0])
    append(database, run, batch_one("loss", parts[1]), batch_one("loss", parts[2]))
    assert_same(read(database, run, "loss"), points)
    with database.read() as connection:
        assert [s.name for s in series.summaries(connection, [run])[run]] == ["loss"]


WRITER = """
import sys
from outlast.store import series
from outlast.store.database import Database
from tests.store.test_series import batch_one, curve

database = Database.open(sys.argv[1])
for number in range(1000):
    with database.write() as connection:
        series.append(connection, 1, batch_one("loss", curve(700, first=700 * number, seed=number)))
    print(number + 1, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_batches_and_no_other(database_url: str) -> None:
    """Batches of 700: every twelfth seals a chunk, so a kill may hit a seal as well."""
    database = Database.open(database_url)
    for acknowledged in (1, 11, 12, 40):
        with database.write() as connection:
            series.delete(connection, 1)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, database_url], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert writer.stdout is not None
        with writer, writer.stdout as lines:
            for _ in range(acknowledged):
                assert next(lines)
            writer.kill()
            acknowledged += len(lines.readlines())
        with database.write() as connection:
            if not database.is_sqlite:  # it may still be at work for the killed: wait for that
                connection.execute(sa.text("LOCK TABLE series IN EXCLUSIVE MODE"))
        found = read(database, 1, "loss")
        batches, rest = divmod(len(found.values), 700)
        assert rest == 0
        assert batches in (acknowledged, acknowledged + 1)
        assert_same(found, joined([curve(700, first=700 * at, seed=at) for at in range(batches)]))
        assert summary(database, 1, "loss").n == len(found.values)
    database.close()


def test_many_series_in_one_batch(database: Database) -> None:
    run = Runs.fresh()
    rows = [(f"metric {at}", 0, T0_NS, float(at)) for at in range(500)]
    append(database, run, batch_of(rows), batch_of([(*row[:1], 1, *row[2:]) for row in rows]))
    with database.read() as connection:
        listed = series.summaries(connection, [run, run + 10**6])
    assert {s.name: (s.n, s.last) for s in listed[run]} == {
        f"metric {at}": (2, float(at)) for at in range(500)
    }
    assert listed[run + 10**6] == []


def test_names_without_points_make_no_series(database: Database) -> None:
    run = Runs.fresh()
    append(database, run, batch_of([]), batch_of([("a", 0, 0, 1.0)])._replace(names=["a", "b"]))
    with database.read() as connection:
        assert [s.name for s in series.summaries(connection, [run])[run]] == ["a"]


def test_an_unknown_series_is_not_found(database: Database) -> None:
    run = Runs.fresh()
    append(database, run, batch_of([("loss", 0, 0, 1.0)]))
    for asked in ((run, "lost"), (run + 10**6, "loss")):
        with pytest.raises(NotFound, match="no metric named"):
            read(database, *asked)
        with pytest.raises(NotFound, match="no metric named"):
            view(database, *asked)


def test_unequal_columns_are_refused_and_nothing_is_written(database: Database) -> None:
    run = Runs.fresh()
    batch = batch_of([("loss", 0, 0, 1.0)])._replace(values=np.array([1.0, 2.0]))
    with pytest.raises(Invalid, match="equally long"):
        append(database, run, batch)
    with pytest.raises(NotFound):
        read(database, run, "loss")


def test_too_few_points_for_a_picture_are_refused(database: Database) -> None:
    with pytest.raises(Invalid, match="points = 3: at least 16"):
        view(database, 1, "loss", 3)


def test_a_damaged_chunk_is_told(database: Database) -> None:
    run = Runs.fresh()
    append(database, run, batch_one("loss", curve(9000)))
    with database.write() as connection:
        of_run = "series IN (SELECT id FROM series WHERE run = :run) AND level = 0"
        data = connection.execute(
            sa.text(f"SELECT data FROM chunk WHERE {of_run}"), {"run": run}
        ).scalar_one()
        damaged = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
        connection.execute(
            sa.text(f"UPDATE chunk SET data = :data WHERE {of_run}"), {"data": damaged, "run": run}
        )
    with pytest.raises(Corrupt, match="checksum"):
        read(database, run, "loss")


def test_a_deleted_run_leaves_the_points_of_others(database: Database) -> None:
    gone, stays = Runs.fresh(), Runs.fresh()
    tables = ("series", "tail", "chunk")
    append(database, stays, batch_one("loss", curve(10_000)))
    before = [count(database, table) for table in tables]
    append(database, gone, batch_one("loss", curve(100_000)))
    append(database, gone, batch_of((f"m{at}", 0, 0, 1.0) for at in range(250)))
    with database.write() as connection:
        series.delete(connection, gone)
    assert [count(database, table) for table in tables] == before
    assert_same(read(database, stays, "loss"), curve(10_000))


def test_a_long_run_is_removed_piece_by_piece(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "PURGED_AT_ONCE", 5)
    run = Runs.fresh()
    append(database, run, batch_one("loss", curve(100_000)))
    pieces = 1
    while True:
        before = count(database, "chunk")
        with database.write() as connection:
            has_more = series.purge(connection, run)
        assert before - count(database, "chunk") <= 5
        if not has_more:
            break
        pieces += 1
    assert pieces > 4
    with database.read() as connection:
        assert series.summaries(connection, [run]) == {run: []}
