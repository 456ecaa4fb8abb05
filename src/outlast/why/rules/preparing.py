"""The run has its slots and its working folder is being made. Past a minute that is said as a
warning.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import ENVIRONMENT, PREPARING, PROVISIONING
from outlast.units import NS_PER_S, between
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.place import Amounts
from outlast.why.wording import amounts, fact

RANK = 20
ANSWERS = True
LONG_S = 60.0


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status not in (PREPARING, PROVISIONING) or state.stage == ENVIRONMENT:
        return None
    is_long = evidence.now_ns - state.since_ns > LONG_S * NS_PER_S
    work = "nodes are being brought up" if state.status == PROVISIONING else _work(evidence)
    dispatched = evidence.last(ev.Dispatched)
    held = Amounts.of(state.slots)
    seen: tuple[Fact, ...] = ()
    if dispatched:
        gpus = ", ".join(str(number) for number in dispatched.event.gpus)
        which = f" (number {gpus})" if gpus else ""
        seen = (fact(dispatched, f"it was given {amounts(held)}{which}"),)
    return Finding(
        rule="preparing",
        claim=f"Its slots are set aside and {work}, "
        f"{between(state.since_ns, evidence.now_ns)} so far"
        + (", which is longer than usual." if is_long else "."),
        evidence=seen,
        since_ns=state.since_ns,
        next="Then the command starts.",
        command=f"outlast cancel {evidence.id}" if is_long else "",
        severity="warning" if is_long else "info",
    )


def _work(evidence: Evidence) -> str:
    source = evidence.spec.source
    if source is not None and source.kind == "snapshot":
        return "its working folder is being made from the snapshot"
    return "its start is being made ready"
