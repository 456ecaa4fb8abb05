"""An attempt failed and the next one waits for its delay: when it starts, and why the last one
ended.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import WAITING
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import at, fact

RANK = 15
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status not in WAITING or state.retry_ns <= evidence.now_ns:
        return None
    retrying = evidence.last(ev.Retrying)
    reason = retrying.event.reason if retrying else state.message
    before = state.attempt - 1
    return Finding(
        rule="waiting_for_retry",
        claim=f"Attempt {before} of {state.max_attempts} failed: {reason}.",
        evidence=(fact(retrying, f"attempt {state.attempt} was decided"),) if retrying else (),
        since_ns=retrying.event.t_ns if retrying else state.since_ns,
        next=f"Attempt {state.attempt} of {state.max_attempts} is put in line "
        f"{at(state.retry_ns, evidence.now_ns)}; the delay doubles each time.",
        next_ns=state.retry_ns,
        command=f"outlast cancel {evidence.id}",
        severity="warning",
    )
