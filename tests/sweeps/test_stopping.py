"""Which trials are ended early."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.sweeps import stopping
from outlast.sweeps.stopping import bandit, median_stopping, truncation

SERIES = {0: [0.5, 0.8, 0.9], 1: [0.4, 0.5, 0.6], 2: [0.1, 0.2, 0.25]}


def ended(policy: stopping.Policy, goal: str = "maximize", at: int = 3) -> list[int]:
    return [n for n in SERIES if stopping.verdict(policy, goal, n, at, SERIES)]


def test_a_bandit_ends_what_is_further_than_the_slack_from_the_best() -> None:
    assert ended(bandit(slack_factor=0.2)) == [1, 2]
    assert ended(bandit(slack_factor=0.5)) == [2]  # 0.9 / 1.5 = 0.6 is just good enough
    assert ended(bandit(slack_amount=0.35)) == [2]
    assert ended(bandit(slack_amount=1)) == []


def test_a_bandit_that_minimizes_looks_the_other_way() -> None:
    assert ended(bandit(slack_factor=0.2), "minimize") == [0, 1]
    assert ended(bandit(slack_amount=0.35), "minimize") == [0]


def test_slack_goes_away_from_the_best_whatever_its_sign() -> None:
    series = {0: [-1.0], 1: [-1.15], 2: [-1.5]}
    found = [stopping.verdict(bandit(slack_factor=0.2), "maximize", n, 1, series) for n in series]
    assert [bool(reason) for reason in found] == [False, False, True]
    assert "the limit -1.2" in found[2]


def test_the_median_of_averages_is_the_mark() -> None:
    # Averages after 3: 0.733, 0.5, 0.183.
    assert ended(median_stopping()) == [2]
    assert ended(median_stopping(), "minimize") == []


def test_truncation_ends_the_worst() -> None:
    assert ended(truncation(34)) == [2]
    assert ended(truncation(67)) == [1, 2]
    assert ended(truncation(10)) == []
    same = {0: [1.0], 1: [1.0], 2: [1.0]}
    assert not any(stopping.verdict(truncation(50), "maximize", n, 1, same) for n in same)


def test_a_late_starter_is_compared_with_the_others_early_values() -> None:
    series = {0: [0.1, 0.9], 1: [0.1]}
    assert not stopping.verdict(bandit(slack_factor=0.1), "maximize", 1, 1, series)


def test_a_trial_is_judged_at_each_interval_after_the_delay() -> None:
    policy = bandit(slack_factor=0.1, interval=2, delay=4)
    assert [stopping.due(policy, n) for n in range(8)] == [0, 0, 0, 0, 4, 4, 6, 6]
    assert stopping.due(stopping.Policy(), 10) == 0


def test_nobody_is_ended_without_company() -> None:
    assert not stopping.verdict(median_stopping(), "maximize", 0, 1, {0: [0.0]})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "bandit"}, "either slack_factor or slack_amount"),
        ({"kind": "bandit", "slack_factor": 1, "slack_amount": 1}, "either"),
        ({"kind": "truncation", "percentage": 100}, "1 to 99"),
        ({"kind": "median", "interval": 0}, "1 or more"),
        ({"kind": "coin"}, "use one of: none, bandit"),
        ({"slack": 1}, "give kind, interval"),
    ],
)
def test_a_wrong_policy_is_named(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        stopping.checked(asked)
