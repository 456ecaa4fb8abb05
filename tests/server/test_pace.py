"""How fast a run may send records."""

from __future__ import annotations

import pytest

from outlast.server import pace
from outlast.server.errors import HttpError
from outlast.server.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_run_that_sends_too_much_waits_as_long_as_it_took_beyond() -> None:
    clock = Clock()
    pace_ = Pace(100, clock)
    pace_.take("a", 900)
    pace_.take("a", 600)  # a batch is taken whole
    with pytest.raises(HttpError) as refused:
        pace_.take("a", 1)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "5"})
    pace_.take("b", 900)  # another run doesn't wait for it
    clock.s = 4.9
    with pytest.raises(HttpError):
        pace_.take("a", 1)
    clock.s = 5.1
    pace_.take("a", 1)


def test_buckets_of_runs_that_rest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_MOST_BUCKETS", 3)
    clock = Clock()
    pace_ = Pace(100, clock)
    for run in "abc":
        pace_.take(run, 10)
    clock.s = 60
    pace_.take("d", 10)
    assert len(pace_._buckets) == 1
