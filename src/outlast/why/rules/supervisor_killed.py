"""The run's supervisor was killed while the command ran; a new one took over. The end is still
learnt where the kernel tells it (Linux 6.15 and newer); elsewhere the run is Failed as lost.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ago, fact, told_process

RANK = 40
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if not state.is_orphaned or state.cause == "lost":
        return None
    orphaned = evidence.last(ev.Orphaned)
    if orphaned is None:
        return None
    when = f" {ago(orphaned.event.t_ns, evidence.now_ns)}"
    told = orphaned.event.processes[:8]
    since_ns = orphaned.event.t_ns
    if state.is_over:
        return Finding(
            rule="supervisor_killed",
            claim=f"Its supervisor was killed{when}, while it ran; a new one saw it to its end.",
            evidence=tuple(fact(orphaned, f"{told_process(each)} went on") for each in told),
            since_ns=since_ns,
            severity="warning",
        )
    return Finding(
        rule="supervisor_killed",
        claim=f"Its supervisor was killed{when}; its processes go on under a new one.",
        evidence=tuple(fact(orphaned, f"{told_process(each)} goes on") for each in told),
        since_ns=since_ns,
        next="Where the kernel doesn't tell how they end (before Linux 6.15), the run will be "
        "Failed as lost: success is never guessed.",
        command=f"outlast cancel {evidence.id}",
        severity="warning",
    )
