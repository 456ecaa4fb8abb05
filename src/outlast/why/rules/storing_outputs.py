"""The work is done; the server stores the outputs, and only then the run is Completed."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FINALIZING, STORAGE
from outlast.units import between
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import at, fact

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FINALIZING or state.stage != STORAGE or evidence.last(ev.CommitFailed):
        return None
    ended = evidence.last(ev.Ended)
    since_ns = ended.event.t_ns if ended else state.since_ns
    return Finding(
        rule="storing_outputs",
        claim="Its work is done; the server is storing its outputs, "
        f"{between(since_ns, evidence.now_ns)} so far.",
        evidence=(fact(ended, f"the work ended: {ended.event.outcome}"),) if ended else (),
        since_ns=since_ns,
        next=f"It is Completed once they are stored; tried until {_until(evidence)}.",
        next_ns=state.deadline_ns,
        command="outlast status",
    )


def _until(evidence: Evidence) -> str:
    deadline_ns = evidence.state.deadline_ns
    if not deadline_ns:
        return "it succeeds"
    return at(deadline_ns, evidence.now_ns).removeprefix("at ").replace(", in", ", which is in")
