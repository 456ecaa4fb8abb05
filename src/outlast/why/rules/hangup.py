"""Both supervisors of a session were killed, and its terminal died with them: the shell was hung
up, as by a terminal window that is closed.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending_fact, fact, last_words, live_processes

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    if evidence.state.cause != "hangup":
        return None
    orphaned = evidence.last(ev.Orphaned)
    return Finding(
        rule="hangup",
        claim="Both of its supervisors were killed; its terminal died with them, so the shell "
        "was hung up.",
        evidence=(
            *((fact(orphaned, "a new supervisor found it without them"),) if orphaned else ()),
            *ending_fact(evidence),
            *live_processes(evidence),
            *last_words(evidence),
        ),
        since_ns=evidence.state.ended_ns,
        next="What was printed until then stays readable.",
        command=f"outlast transcript {evidence.id}",
        severity="problem",
    )
