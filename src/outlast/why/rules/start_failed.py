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
    message = (failed.event.message if failed else state.message).rstrip(
        "."
    ) or "no reason was told"
    # The full search path stands in the evidence.
    short = message.partition(" on the PATH")[0]
    near = listed(evidence.near_commands, word="or")
    meant = f"; did you mean {near}?" if near else "."
    return Finding(
        rule="start_failed",
        claim=f"The command could not be started: {short}{meant}",
        evidence=(fact(failed, f"{message}; the command was: {command_of(evidence)}"),)
        if failed
        else (),
        since_ns=state.ended_ns,
        command=f"outlast show {evidence.id}",
        severity="problem",
    )
