"""The session ended by its own limit idle_s: for so long nobody was attached, nothing was typed and
nothing printed.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.units import duration
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact, last_words

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    if evidence.state.cause != "idle":
        return None
    reached = evidence.last(ev.LimitReached)
    asked_s = evidence.spec.terminal.idle_s if evidence.spec.terminal else 0.0
    idle_s = reached.event.observed if reached else asked_s
    limit = f"its limit idle_s is {duration(reached.event.allowed)}" if reached else ""
    return Finding(
        rule="idle",
        claim=f"It was idle for {duration(idle_s)}: nobody was attached, nothing was typed and "
        "nothing printed, so it was closed.",
        evidence=(*((fact(reached, limit),) if reached else ()), *last_words(evidence)),
        since_ns=evidence.state.ended_ns,
        command="outlast shell",
    )
