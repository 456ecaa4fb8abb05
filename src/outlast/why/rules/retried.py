"""This isn't the run's first attempt: why each one before failed."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.rules import waiting_for_retry

RANK = 40
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.attempt < 2 or waiting_for_retry.rule(evidence):
        return None
    told = [item for item in evidence.story if isinstance(item.event, ev.Retrying)]
    facts = tuple(
        Fact(
            f"attempt {item.event.attempt - 1} failed: {item.event.reason}",
            item.journal,
            item.offset,
            item.event.t_ns,
        )
        for item in told[-5:]
        if isinstance(item.event, ev.Retrying)
    )
    last = told[-1].event if told else None
    reason = last.reason if isinstance(last, ev.Retrying) else "the reason isn't in its journal"
    is_last = state.attempt >= state.max_attempts
    return Finding(
        rule="retried",
        claim=f"This is attempt {state.attempt} of {state.max_attempts}; "
        f"attempt {state.attempt - 1} failed: {reason.rstrip('.')}.",
        evidence=facts,
        since_ns=last.t_ns if last else 0,
        next="It was the last attempt." if state.is_over and is_last else "",
    )
