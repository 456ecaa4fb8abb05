"""The run never started: a run that had to be Completed first ended otherwise."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if not state.is_over or state.cause != "upstream_failed":
        return None
    told = evidence.last(ev.UpstreamFailed)
    upstream = str(state.facts.get("upstream", "")) or (told.event.upstream if told else "?")
    status = str(state.facts.get("status", "")) or (told.event.status if told else "not Completed")
    return Finding(
        rule="upstream_failed",
        claim=f"It never started: run {upstream} had to be Completed first, but is {status}.",
        evidence=(fact(told, f"run {upstream} ended as {status}"),) if told else (),
        since_ns=state.ended_ns,
        command=f"outlast why {upstream}",
        severity="problem",
    )
