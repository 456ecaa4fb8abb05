"""What is drawn of a long curve."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.store.downsample import LEAST_POINTS, pick

Float64s = npt.NDArray[np.float64]
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True, width=64)


def extremes_twin(values: Float64s, points: int) -> list[int]:
    """The least and greatest of points / 2 parts of equally many values, with plain NumPy."""
    found: set[int] = set()
    size = (len(values) - 1) / (points // 2)
    edges = [0] + [int(size * part) + 1 for part in range(1, points // 2 + 1)]
    for start, end in pairwise(edges):
        found |= {start + int(values[start:end].argmin()), start + int(values[start:end].argmax())}
    return sorted(found)


def shape_twin(values: Float64s, points: int) -> list[int]:
    """Largest triangle three buckets over the extremes of each bucket, with plain NumPy."""
    candidates = [0, *(1 + at for at in extremes_twin(values[1:-1], points * 4))]
    candidates.append(len(values) - 1)
    x = np.array(sorted(set(candidates)))
    y = values[x]
    chosen = [0]
    every = (len(x) - 2) / (points - 2)
    for bucket in range(points - 2):
        start, end = int(every * bucket) + 1, int(every * (bucket + 1)) + 1
        after = slice(end, min(int(every * (bucket + 2)) + 1, len(x)))
        mean_x, mean_y = (x[after][0] + x[after][-1]) / 2, y[after].mean()
        last = chosen[-1]
        areas = np.abs(
            (x[last] - mean_x) * (y[start:end] - y[last])
            - (x[last] - x[start:end]) * (mean_y - y[last])
        )
        chosen.append(start + int(areas.argmax()))
    chosen.append(len(x) - 1)
    return [int(position) for position in x[chosen]]


def noise(n: int, seed: int = 0) -> Float64s:
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("n", [4000, 10_000, 65_537])
def test_the_least_and_greatest_of_every_part_are_drawn(n: int) -> None:
    values = noise(n)
    assert set(extremes_twin(values, 500)) <= set(pick(values, 1000).tolist())


@pytest.mark.parametrize("n", [50_000, 99_991])
def test_the_library_chooses_as_its_numpy_twins_do(n: int) -> None:
    values = noise(n, seed=3)
    assert set(pick(values, 2000)) == {*extremes_twin(values, 1000), *shape_twin(values, 1000)}


def test_a_spike_of_one_point_up_and_one_down_are_drawn() -> None:
    values = noise(1_000_000)
    values[[300_001, 300_003, 700_007]] = [50.0, -60.0, 40.0]
    assert {300_001, 300_003, 700_007} <= set(pick(values, 2000).tolist())


@settings(max_examples=300)
@given(
    values=st.lists(ANY_FLOAT, min_size=1, max_size=400),
    points=st.integers(LEAST_POINTS, 100),
)
def test_ends_and_extremes_and_gaps_of_any_values_are_drawn(
    values: list[float], points: int
) -> None:
    array = np.array(values)
    drawn = pick(array, points)
    assert len(drawn) <= points
    assert np.all(np.diff(drawn) > 0)
    assert {drawn[0], drawn[-1]} == {0, len(values) - 1}
    finite = array[np.isfinite(array)]
    if len(finite):
        assert finite.min() in array[drawn]
        assert finite.max() in array[drawn]
    for left, right in pairwise(drawn):
        if np.isfinite(array[left]) and np.isfinite(array[right]):
            assert np.isfinite(array[left:right]).all()  # else a line would cross the gap


def test_a_single_gap_costs_no_resolution() -> None:
    values = noise(100_000)
    values[40_000:40_010] = np.nan
    drawn = pick(values, 2000)
    assert len(drawn) > 1500
    assert 40_000 in drawn


def test_values_whose_triangles_overflow_are_drawn() -> None:
    values = np.tile([1.7e308, -1.7e308, 0.0, 1e-308], 1000)
    drawn = pick(values, 100)
    assert values[drawn].max() == 1.7e308
    assert values[drawn].min() == -1.7e308
