"""Background processes outlived the command, and the policy leftovers = fail makes that a
failure.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending, fact, processes, told_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "leftovers":
        return None
    told = {
        item.get("pid"): (item, found)
        for found in evidence.each(ev.Leftovers)
        for item in found.event.processes
    }
    number = len(told)
    some = processes(number, "background") if number else "Background processes"
    return Finding(
        rule="leftovers_refused",
        claim=f"{some} outlived the command, which ended with {ending(evidence)}; "
        "its policy (leftovers = fail) makes that a failure.",
        evidence=tuple(fact(found, told_process(item)) for item, found in list(told.values())[:8]),
        since_ns=state.ended_ns,
        command="outlast run --leftovers wait -- …",
        severity="problem",
    )
