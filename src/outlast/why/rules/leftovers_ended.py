"""Background processes outlived the command for too long and were ended by Outlast: which, after
how long.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.units import between
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact, processes, told_process

RANK = 30
ANSWERS = False
REASONS = ("leftovers", "idle_leftovers")


def rule(evidence: Evidence) -> Finding | None:
    stops = [found for found in evidence.each(ev.Stopping) if found.event.reason in REASONS]
    if not stops or not evidence.state.is_over:
        return None
    first: ev.Stopping = stops[0].event
    exited, number = evidence.last(ev.Exited), len(first.processes)
    after = f" {between(exited.event.t_ns, first.t_ns)} after the command" if exited else ""
    they = "it" if number == 1 else "they"
    is_idle = first.reason == "idle_leftovers"
    idle = f", since {they} neither computed nor wrote" if is_idle else ""
    were = "was" if number == 1 else "were"
    return Finding(
        rule="leftovers_ended",
        claim=f"{processes(number, 'background')} that the command left behind (leftovers) {were} "
        f"still running and {were} ended{after}{idle}.",
        evidence=tuple(
            fact(found, f"{told_process(told)} was sent {found.event.signal}")
            for found in stops
            for told in found.event.processes[:8]
        ),
        since_ns=first.t_ns,
        next=f"Whatever {they} had not finished is missing.",
        command="outlast run --leftovers-wait 1h -- …",
        severity="warning",
    )
