"""How fast one run may send records: a bucket for each run, so that no run floods the index.

A batch is taken while the bucket isn't empty, however large it is, so that every sender gets on;
what it took beyond is waited for. The size of a journal is `mirror`'s to limit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from outlast.server.errors import HttpError

BURST_S = 10.0  # what a bucket holds; a sender that comes back after a while catches up with it
_MOST_BUCKETS = 10_000


class Pace:
    """The buckets of all runs. For the loop only."""

    def __init__(self, records_per_s: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = records_per_s
        self._now_s = now_s
        self._buckets: dict[str, tuple[float, float]] = {}  # run -> (records left, at this time)

    def take(self, run_id: str, records: int) -> None:
        """Count these records. Raises HttpError 429 with Retry-After; nothing is counted then."""
        left = self._left(run_id)
        if left <= 0:
            wait_s = max(1, math.ceil(-left / self._rate))
            raise HttpError(
                429, "too_fast",
                f"max_records_per_s = {self._rate}: this run sends more records than that; "
                f"send the same batch again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )  # fmt: skip
        if len(self._buckets) >= _MOST_BUCKETS:
            self._drop_full()
        self._buckets[run_id] = (left - records, self._now_s())

    def _left(self, run_id: str) -> float:
        full = self._rate * BURST_S
        left, at_s = self._buckets.get(run_id, (full, 0.0))
        return min(full, left + (self._now_s() - at_s) * self._rate)

    def _drop_full(self) -> None:
        full = self._rate * BURST_S
        for run_id in [run_id for run_id in self._buckets if self._left(run_id) >= full]:
            del self._buckets[run_id]
