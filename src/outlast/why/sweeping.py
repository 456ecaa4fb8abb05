"""How far a sweep is: what its journal `trials` says."""

from __future__ import annotations

from typing import NamedTuple

from outlast.errors import JournalError
from outlast.run import trials
from outlast.run.folder import TRIALS, RunFolder


class SweepSeen(NamedTuple):
    """The journal of a sweep in numbers."""

    total: int = 0
    over: int = 0
    failed: int = 0
    stopped: int = 0  # ended early by the policy
    at_work: int = 0
    metric: str = ""
    best: float | None = None
    best_number: int = 0
    best_id: str = ""
    end_reason: str = ""  # of an early end
    last_ns: int = 0  # of the last record
    offset: int = 0  # behind it


def look(folder: RunFolder) -> SweepSeen:
    """What can be read; empty where nothing can."""
    try:
        told = trials.read(folder.file(TRIALS))
    except (JournalError, OSError, KeyError, TypeError, ValueError):
        return SweepSeen()
    best = told.best
    return SweepSeen(
        total=told.total,
        over=len(told.over),
        failed=sum(trial.status == "Failed" for trial in told.over),
        stopped=sum(bool(trial.stop_reason) for trial in told.over),
        at_work=len(told.open),
        metric=told.metric,
        best=best.value if best else None,
        best_number=best.number if best else 0,
        best_id=best.id if best else "",
        end_reason=told.end_reason,
        last_ns=told.last_ns,
        offset=told.offset,
    )
