"""Choose which points of a long curve to draw, so that nothing that stands out is lost.

Half of the points are the least and greatest of equally many points each, so that a spike is drawn
however narrow it is; the other half are those that keep the curve's shape (MinMaxLTTB). A value
that isn't finite breaks the line: between two neighbours that are drawn, one of it is kept.
Pure: the points must be in memory; see pyramid.py for those that need not be.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tsdownsample import MinMaxDownsampler, MinMaxLTTBDownsampler

LEAST_POINTS = 16  # fewer can't hold the ends, the extremes and a gap

_EXTREMES = MinMaxDownsampler()  # type: ignore[no-untyped-call]
_SHAPE = MinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]
_HUGE = 1e150  # areas of triangles of greater values overflow

Positions = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


def pick(values: Float64s, points: int) -> Positions:
    """The positions of at most `points` values, ascending; all of them when they are no more.

    The first and the last value, the least and the greatest finite one are always among them.
    `points` is at least LEAST_POINTS.
    """
    n = len(values)
    if n <= points:
        return np.arange(n, dtype=np.int64)
    is_finite = np.isfinite(values)
    if bool(is_finite.all()):
        return _shape(values, points)
    finite, broken = np.flatnonzero(is_finite), np.flatnonzero(~is_finite)
    gaps = 1 + int(np.count_nonzero(np.diff(broken) > 1))
    # Two for the ends, and a gap stands between two points that are drawn, or beyond them.
    room = max(points - 2 - gaps, (points - 3) // 2)
    drawn = finite if len(finite) <= room else finite[_shape(values[finite], room)]
    ends = np.array([0, n - 1])
    return np.unique(np.concatenate([ends, drawn, _gaps(broken, drawn, n)]))


def _shape(values: Float64s, points: int) -> Positions:
    values = np.ascontiguousarray(values, np.float64)
    half = points // 4 * 2  # in pairs
    extremes = _EXTREMES.downsample(values, n_out=half)
    if max(-float(values.min()), float(values.max())) > _HUGE:
        values = values * (1 / _HUGE)
    shape = _SHAPE.downsample(values, n_out=points - half)
    return np.union1d(extremes, shape).astype(np.int64)


def _gaps(broken: Positions, drawn: Positions, n: int) -> Positions:
    """The first of `broken` between each two neighbours of `drawn`, before and after them."""
    after = np.append(drawn, n)
    before = np.append(-1, drawn)
    next_broken = np.append(broken, n)[np.searchsorted(broken, before)]
    return np.asarray(next_broken[next_broken < after], np.int64)
