"""The command could not be started: not found (with names that are close), not executable, no
folder.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import command_of, fact, listed

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "start_failed":
        return None
    failed = evidence.last(ev.StartFailed)
    name = evidence.spec.command[0] if evidence.spec.command else "(empty)"
    reason = failed.event.reason if failed else ""
    if reason == "no_command":
        near = evidence.near_commands
        meant = f"; did you mean {listed(near, word='or')}?" if near else "."
        claim = f"The command {name} was not found{meant}"
    else:
        message = (failed.event.message if failed else state.message).rstrip(".")
        claim = f"The command could not be started: {message}."
    return Finding(
        rule="start_failed",
        claim=claim,
        evidence=(fact(failed, f"{failed.event.message} ({command_of(evidence)})"),)
        if failed
        else (),
        since_ns=state.ended_ns,
        command=f"outlast show {evidence.id}",
        severity="problem",
    )
