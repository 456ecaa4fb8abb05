"""The run's supervisor was killed while the command runs on: the run is watched still, but how it
ends can't be learnt, so it will be Failed as lost.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ago, fact, told_process

RANK = 40
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    if not evidence.state.is_orphaned or evidence.state.is_over:
        return None
    orphaned = evidence.last(ev.Orphaned)
    when = f" {ago(orphaned.event.t_ns, evidence.now_ns)}" if orphaned else ""
    return Finding(
        rule="supervisor_killed",
        claim=f"Its supervisor was killed{when}; its processes go on and are watched, "
        "but their exit status can't be learnt any more.",
        evidence=tuple(
            fact(orphaned, f"{told_process(told)} goes on") for told in orphaned.event.processes[:8]
        )
        if orphaned
        else (),
        since_ns=orphaned.event.t_ns if orphaned else 0,
        next="When they are over, the run is Failed as lost: success is never guessed.",
        command=f"outlast cancel {evidence.id}",
        severity="warning",
    )
