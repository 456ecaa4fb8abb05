"""The environment of the run could not be built: the resolver's or installer's own reason."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.environment import Environment
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "environment":
        return None
    failed, build = evidence.last(ev.StartFailed), evidence.build
    reason = (failed.event.message if failed else state.message).rstrip(".")
    wanted = Environment.of(evidence.spec.environment)
    asked = (*wanted.conda, *wanted.pip)
    facts = (fact(failed, reason),) if failed else ()
    if build is not None and build.line and build.line not in reason:
        facts = (*facts, Fact(build.line, "environment", build.offset, build.t_ns))
    return Finding(
        rule="environment_failed",
        claim=f"{wanted.title[:1].upper()}{wanted.title[1:]} could not be built: {reason}.",
        evidence=(*facts, *((Fact(f"it asks for: {', '.join(asked)[:300]}"),) if asked else ())),
        since_ns=state.ended_ns,
        next="Nothing of it was kept. The command never started.",
        command=f"outlast logs {evidence.id} --environment",
        severity="problem",
    )
