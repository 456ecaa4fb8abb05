"""What stands for many points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.store.pyramid import CELLS, cell_points, thin


def thin_twin(values: list[float], cells: int) -> list[int]:
    """One value after the other."""
    size = math.ceil(len(values) / cells)
    kept = {0, len(values) - 1}
    for start in range(0, len(values), size):
        cell = range(start, min(start + size, len(values)))
        finite = [at for at in cell if math.isfinite(values[at])]
        kept |= {min(finite, key=lambda at: values[at])} if finite else set()
        kept |= {max(finite, key=lambda at: values[at])} if finite else set()
        kept |= set([at for at in cell if not math.isfinite(values[at])][:1])
    return sorted(kept)


@settings(max_examples=300)
@given(
    values=st.lists(st.floats(width=16) | st.just(math.nan), min_size=1, max_size=300),
    cells=st.integers(1, 40),
)
def test_each_cell_keeps_its_extremes_and_its_first_gap(values: list[float], cells: int) -> None:
    found = thin(np.array(values), cells).tolist()
    if len(values) <= 2 * cells:
        assert found == list(range(len(values)))
    else:
        assert found == thin_twin(values, cells)


def test_a_chunk_is_thinned_to_cells_of_64_points() -> None:
    values = np.random.default_rng(0).normal(size=8192)
    kept = thin(values, CELLS)
    assert 2 * CELLS <= len(kept) <= 2 * CELLS + 2
    for start in range(0, 8192, 64):
        assert start + int(values[start : start + 64].argmax()) in kept


@pytest.mark.parametrize(("level", "points"), [(0, 1), (1, 64), (2, 256), (3, 1024)])
def test_a_cell_stands_for_four_of_the_level_below(level: int, points: int) -> None:
    assert cell_points(level) == points
