"""A sweep: how many of its trials are over, how many are at work, and which is the best."""

from __future__ import annotations

from outlast.run.folder import TRIALS
from outlast.run.state import FAILED, RUNNING
from outlast.units import count, number
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.sweeping import SweepSeen

RANK = 55
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    seen = evidence.sweep
    is_running = evidence.state.status == RUNNING
    if seen is None or evidence.state.status == FAILED or (not seen.total and not is_running):
        return None
    asked = f" --where \"parent = '{evidence.id}'\""
    return Finding(
        rule="sweep",
        claim=f"{_progress(seen, is_running=is_running)}{_best(seen)}.",
        evidence=(Fact(f"the sweep's journal {TRIALS}", TRIALS, seen.offset, seen.last_ns),),
        since_ns=evidence.state.since_ns,
        next=_next(seen) if is_running else "",
        command=f"outlast show {seen.best_id}" if seen.best_id else f"outlast ls{asked}",
    )


def _progress(seen: SweepSeen, *, is_running: bool) -> str:
    if not seen.total:
        return "Its program starts; no trial was asked for yet"
    verb = "is" if seen.over == 1 else "are"
    parts = [f"{seen.over} of {count(seen.total, 'trial')} {verb} over"]
    if seen.failed:
        parts.append(f"{seen.failed} of them Failed")
    if seen.stopped:
        parts.append(f"{seen.stopped} ended early")
    if is_running:
        parts.append(f"{seen.at_work} at work")
    return ", ".join(parts)


def _best(seen: SweepSeen) -> str:
    if seen.best is None:
        return f"; none of those has logged {seen.metric}" if seen.over else ""
    return f"; best {seen.metric} {number(seen.best)} by trial {seen.best_number}"


def _next(seen: SweepSeen) -> str:
    if seen.end_reason:
        return f"It ends when those at work are over: {seen.end_reason}."
    if not seen.total:
        return "The first trials will follow."
    rest = seen.total - seen.over - seen.at_work
    return (
        f"{count(rest, 'trial')} will follow." if rest else "It ends when those at work are over."
    )
