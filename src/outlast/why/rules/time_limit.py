"""The run reached its time limit (max_run_duration_s) and was stopped, or is being stopped."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.units import clock, duration
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact, last_words, processes

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state, reached = evidence.state, evidence.last(ev.LimitReached)
    if reached is not None and reached.event.limit != "max_run_duration_s":
        reached = None
    if reached is None and state.cause != "time_limit":
        return None
    if state.is_over and state.cause != "time_limit":
        return None
    limit = duration(evidence.spec.limits.max_run_duration_s)
    when = f" at {clock(reached.event.t_ns, now_ns=evidence.now_ns)}" if reached else ""
    stops = [
        fact(found, f"{processes(len(found.event.processes))} got {found.event.signal}")
        for found in evidence.each(ev.Stopping)
    ]
    verb = "was stopped" if state.is_over else "is being stopped"
    return Finding(
        rule="time_limit",
        claim=f"It reached its time limit of {limit} (max_run_duration_s){when} and {verb}.",
        evidence=(
            *((fact(reached, "the limit was reached"),) if reached else ()),
            *stops,
            *last_words(evidence, 1),
        ),
        since_ns=reached.event.t_ns if reached else state.ended_ns,
        next="" if state.is_over else "It is Failed once its processes are over.",
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )
