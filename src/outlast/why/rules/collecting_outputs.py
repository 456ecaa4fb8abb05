"""Every process is over; the outputs are being checked, read and hashed where the run ran."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FINALIZING, OUTPUTS
from outlast.units import between, duration
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending, ending_fact, fact, live_processes

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FINALIZING or state.stage != OUTPUTS:
        return None
    ended = evidence.last(ev.TreeEnded) or evidence.last(ev.OwnerEnded)
    since_ns = ended.event.t_ns if ended else state.since_ns
    how = "" if state.kind == "interactive" else f" (the command with {ending(evidence)})"
    return Finding(
        rule="collecting_outputs",
        claim=f"Every process of it is over{how}; its outputs are being checked, read and hashed, "
        f"{between(since_ns, evidence.now_ns)} so far.",
        evidence=(
            *ending_fact(evidence),
            *((fact(ended, "the last of its processes is over"),) if ended else ()),
            *live_processes(evidence),  # a check that runs
        ),
        since_ns=since_ns,
        next=f"{_limit(evidence)}Then they are stored, and the run is over.",
    )


def _limit(evidence: Evidence) -> str:
    if not any(output.check for output in evidence.spec.outputs):
        return ""
    longest = duration(evidence.spec.limits.storage_s)
    return f"A check that takes longer than {longest} is ended, and the run is Failed. "
