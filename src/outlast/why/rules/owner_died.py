"""The process that owned the interactive run (a notebook's kernel, a script) died without ending
it by complete().
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.units import clock
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact, last_words

RANK = 30
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "owner_died":
        return None
    died = evidence.last(ev.OwnerEnded)
    when = f" at {clock(died.event.t_ns, now_ns=evidence.now_ns)}" if died else ""
    pid = died.event.facts.get("pid") if died else None
    owner = f"Its owner, process {pid}," if pid else "Its owner"
    metric = evidence.last_metric
    kept: tuple[Fact, ...] = ()
    if metric:
        text = f"the last metric that it logged: {metric.name}, which is kept like all before it"
        kept = (Fact(text, t_ns=metric.t_ns),)
    return Finding(
        rule="owner_died",
        claim=f"{owner} died{when} without complete(): it was killed, it crashed, or its kernel "
        "was restarted.",
        evidence=(
            *((fact(died, died.event.message or "its owner died"),) if died else ()),
            *kept,
            *last_words(evidence, 1),
        ),
        since_ns=died.event.t_ns if died else state.ended_ns,
        command=f"outlast show {evidence.id}",
        severity="problem",
    )
