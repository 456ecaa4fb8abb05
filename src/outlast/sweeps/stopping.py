"""When a trial is ended early: bandit, median stopping, truncation. Pure.

A policy looks at a trial each time it has logged the metric `interval` times more, and compares it
with the others as they were after as many values: a late starter isn't judged by what the others
reached later. Until `delay` values nobody is ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from outlast.errors import Invalid
from outlast.run.trials import MAXIMIZE, is_better
from outlast.units import number as shown

KINDS = ("none", "bandit", "median", "truncation")


class Policy(NamedTuple):
    """Which trials are ended early."""

    kind: str = "none"
    interval: int = 1  # looked at every so many values of the metric
    delay: int = 0  # not before so many
    slack_factor: float | None = None  # bandit: how far from the best, as a ratio
    slack_amount: float | None = None  # or as an amount
    percentage: int = 0  # truncation: so many of a hundred, the worst, are ended


def bandit(
    *, slack_factor: float | None = None, slack_amount: float | None = None,
    interval: int = 1, delay: int = 0,
) -> Policy:  # fmt: skip
    """End trials that are further than the slack from the best one."""
    return checked(Policy("bandit", interval, delay, slack_factor, slack_amount))


def median_stopping(*, interval: int = 1, delay: int = 0) -> Policy:
    """End trials whose best is worse than the median of all trials' averages."""
    return checked(Policy("median", interval, delay))


def truncation(percentage: int, *, interval: int = 1, delay: int = 0) -> Policy:
    """End the worst `percentage` of a hundred trials at each interval."""
    return checked(Policy("truncation", interval, delay, percentage=percentage))


def checked(asked: Policy | Mapping[str, Any] | None) -> Policy:
    """The policy, with each field checked. Raises Invalid, naming the field."""
    if asked is None:
        return Policy()
    try:
        policy = Policy(**(asked._asdict() if isinstance(asked, Policy) else asked))
    except TypeError:
        raise Invalid.field("stopping", asked, f"give {', '.join(Policy._fields)}") from None
    if policy.kind not in KINDS:
        raise Invalid.field("stopping.kind", policy.kind, f"use one of: {', '.join(KINDS)}")
    _check_whole("stopping.interval", policy.interval, 1)
    _check_whole("stopping.delay", policy.delay, 0)
    if policy.kind == "bandit":
        given = [s for s in (policy.slack_factor, policy.slack_amount) if s is not None]
        if len(given) != 1 or given[0] < 0:
            remedy = "give either slack_factor or slack_amount, 0 or more"
            raise Invalid.field("stopping.slack_factor", policy.slack_factor, remedy)
    if policy.kind == "truncation":
        _check_whole("stopping.percentage", policy.percentage, 1, 99)
    return policy


def _check_whole(field: str, value: Any, least: int, most: int = 1 << 30) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        limit = f" to {most}" if most < 1 << 30 else " or more"
        raise Invalid.field(field, value, f"give a whole number, {least}{limit}")


def due(policy: Policy, count: int) -> int:
    """At how many values a trial that has `count` is judged; 0 = not yet."""
    at = count - count % policy.interval
    return at if policy.kind != "none" and at >= policy.delay else 0


def verdict(
    policy: Policy, goal: str, number: int, at: int, series: Mapping[int, Sequence[float]]
) -> str:
    """Why trial `number` is to be ended after `at` values; "" when it may go on.

    `series` has the values of the metric of every trial, in the order in which they were logged.
    """
    so_far = {n: values[:at] for n, values in series.items() if len(values) >= at}
    if at < 1 or number not in so_far or len(so_far) < 2:
        return ""
    best = max if goal == MAXIMIZE else min
    bests = {n: best(values) for n, values in so_far.items()}
    mine = bests[number]
    after = f"after {at} values its best is {shown(mine)}"
    if policy.kind == "bandit":
        limit = _slackened(policy, goal, best(bests.values()))
        return f"bandit: {after}, the limit {shown(limit)}" if is_better(limit, mine, goal) else ""
    if policy.kind == "median":
        middle = median(fmean(values) for values in so_far.values())
        text = f"median: {after}, the median of all averages {shown(middle)}"
        return text if is_better(middle, mine, goal) else ""
    # Those that aren't better than it, itself among them: of equals none is ended.
    not_better = sum(not is_better(other, mine, goal) for other in bests.values())
    is_doomed = not_better <= len(bests) * policy.percentage // 100
    return f"truncation: {after}, among the worst {policy.percentage} %" if is_doomed else ""


def _slackened(policy: Policy, goal: str, best: float) -> float:
    """The worst value that is still good enough."""
    sign = 1 if goal == MAXIMIZE else -1
    if policy.slack_amount is not None:
        return best - sign * policy.slack_amount
    ratio = 1 + (policy.slack_factor or 0.0)
    # Away from the best, whatever its sign.
    return best / ratio if (best > 0) == (goal == MAXIMIZE) else best * ratio
