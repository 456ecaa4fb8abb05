"""What a sweep has tried: the records of its journal `trials`, and what they add up to.

The journal is written by the sweep's program alone. A trial is written down before its run is asked
for, so whoever goes on after a crash knows its id and values, and asks for the same run again.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional

from outlast.journal.cursor import Cursor

# Kinds of records (`k`).
BEGUN = "begun"  # t, metric, goal, total: the sweep's program began to work
TRIAL = "trial"  # t, n, id, parameters: this run is going to be asked for
STOP = "stop"  # t, n, reason: it is going to be canceled
OVER = "over"  # t, n, status, value (the best of its metric, null without one)
END = "end"  # t, reason: the sweep is ended before every trial was tried

MAXIMIZE = "maximize"
MINIMIZE = "minimize"


class Trial(NamedTuple):
    """One trial: its run, its values, and what became of it."""

    number: int
    id: str
    parameters: Mapping[str, Any]
    stop_reason: str = ""
    status: str = ""  # "" until it is over
    value: Optional[float] = None


class Told(NamedTuple):
    """Everything that the journal says."""

    trials: Dict[int, Trial]
    begun_ns: int = 0
    metric: str = ""
    goal: str = MINIMIZE
    total: int = 0
    end_reason: str = ""
    last_ns: int = 0
    offset: int = 0  # after the last record

    @property
    def over(self) -> List[Trial]:
        """The trials that are over, by number."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.status]

    @property
    def open(self) -> List[Trial]:
        """The trials that are not over, by number."""
        return [trial for _, trial in sorted(self.trials.items()) if not trial.status]

    @property
    def best(self) -> Optional[Trial]:
        """The trial with the best value, the first of equals; None without any value."""
        return best_of(self.over, self.goal)


def best_of(trials: Iterable[Trial], goal: str) -> Optional[Trial]:
    """The trial with the best value, the first of equals; None without any value."""
    best: Optional[Trial] = None
    for trial in trials:
        if trial.value is not None and (best is None or is_better(trial.value, best.value, goal)):
            best = trial
    return best


def is_better(value: float, than: Optional[float], goal: str) -> bool:
    """Is `value` better than the other, for this goal?"""
    if than is None:
        return True
    return value > than if goal == MAXIMIZE else value < than


def read(path: str) -> Told:
    """What the journal says by now; raises JournalError when it can't be read."""
    told = Told({})
    with Cursor(path) as cursor:
        while True:
            start = cursor.offset
            for record in cursor.read_records().records:
                told = taken(told, record)
            if cursor.offset == start:
                return told._replace(offset=start)


def taken(told: Told, record: Mapping[str, Any]) -> Told:
    """`told` and one record more; kinds that aren't known change nothing."""
    kind, number = record.get("k"), record.get("n", 0)
    told = told._replace(last_ns=int(record.get("t", told.last_ns)))
    known = told.trials.get(number)
    if kind == BEGUN:
        return told._replace(
            begun_ns=told.begun_ns or int(record["t"]),
            metric=record["metric"],
            goal=record["goal"],
            total=record["total"],
        )
    if kind == END:
        return told._replace(end_reason=str(record["reason"]))
    if kind == TRIAL:
        known = Trial(number, record["id"], record["parameters"])
    elif known is not None and kind == STOP:
        known = known._replace(stop_reason=record["reason"])
    elif known is not None and kind == OVER:
        known = known._replace(status=record["status"], value=record["value"])
    else:
        return told
    told.trials[number] = known
    return told
