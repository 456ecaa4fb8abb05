"""The executor could not start the run's supervisor, so the command never ran."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "launch_failed":
        return None
    failed = evidence.last(ev.LaunchFailed)
    message = (state.message or "no reason was told").rstrip(".")
    return Finding(
        rule="launch_failed",
        claim=f"It never started: its supervisor could not be started ({message}).",
        evidence=(fact(failed, failed.event.message),) if failed else (),
        since_ns=state.ended_ns,
        command="outlast doctor",
        severity="problem",
    )
