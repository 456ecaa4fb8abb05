"""The run's supervisor was started and starts the command. Past ten seconds that is said as a
warning.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import STARTING
from outlast.units import NS_PER_S, between
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import command_of, fact

RANK = 20
ANSWERS = True
LONG_S = 10.0


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != STARTING:
        return None
    age = between(state.since_ns, evidence.now_ns)
    is_long = evidence.now_ns - state.since_ns > LONG_S * NS_PER_S
    supervised = evidence.last(ev.Supervised)
    seen: tuple[Fact, ...] = ()
    if supervised:
        seen = (fact(supervised, f"supervised by process {supervised.event.pid}"),)
    if is_long:
        told = "has taken charge" if supervised else "has said nothing yet"
        claim = f"Its supervisor was started {age} ago and {told}, but the command doesn't run yet."
    else:
        claim = f"Its supervisor was started {age} ago and starts the command."
    return Finding(
        rule="starting",
        claim=claim,
        evidence=(*seen, Fact(f"command: {command_of(evidence)}")),
        since_ns=state.since_ns,
        next="It is Running once the command runs; if it can't be started, it is Failed.",
        command=f"outlast cancel {evidence.id}" if is_long else "",
        severity="warning" if is_long else "info",
    )
