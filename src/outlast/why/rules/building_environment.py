"""The environment of the run is being built before the command starts: what is done, since when,
what was said last; or it waits for another run's build of the same.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.environment import Environment
from outlast.run.state import ENVIRONMENT, PREPARING
from outlast.units import between
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact

RANK = 20
ANSWERS = True

_DOING = {
    "resolving": "its packages are being resolved",
    "installing": "its packages are being installed",
    "ready": "it is there",
}


def rule(evidence: Evidence) -> Finding | None:
    state, build = evidence.state, evidence.build
    if state.status != PREPARING or state.stage != ENVIRONMENT:
        return None
    told = evidence.last(ev.Preparing)
    age = between(state.since_ns, evidence.now_ns)
    what = Environment.of(evidence.spec.environment).title
    if build is not None and build.step == "waiting":
        return _waiting(evidence, build.about, age)
    doing = _DOING.get(build.step, "") if build else ""
    said = Fact(build.line, "environment", build.offset, build.t_ns) if build else None
    return Finding(
        rule="building_environment",
        claim=f"{what[:1].upper()}{what[1:]} is being built for it, {age} so far"
        + (f": {doing}." if doing else "."),
        evidence=(
            *((said,) if said and said.text else ()),
            *((fact(told, f"by process {told.event.pid}"),) if told else ()),
        ),
        since_ns=state.since_ns,
        next="Then the command starts. Its time limit begins to count only then.",
        next_ns=state.deadline_ns,
        command=f"outlast logs {evidence.id} --environment --follow",
    )


def _waiting(evidence: Evidence, other: str, age: str) -> Finding:
    who = f"run {other}" if other else "somebody else"
    return Finding(
        rule="building_environment",
        claim=f"It waits while {who} builds the same environment, {age} so far.",
        since_ns=evidence.state.since_ns,
        next="Then the environment is there for both, and the command starts.",
        next_ns=evidence.state.deadline_ns,
        command=f"outlast why {other}" if other else f"outlast logs {evidence.id} --environment",
    )
