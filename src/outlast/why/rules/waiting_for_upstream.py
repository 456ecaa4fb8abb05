"""The run waits for other runs that must be Completed first: which, and how they are."""

from __future__ import annotations

from outlast.run.state import WAITING
from outlast.units import count
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import listed

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    after = evidence.spec.after
    if evidence.state.status not in WAITING or not after:
        return None
    waited = evidence.queue.upstream if evidence.queue else tuple((run, "") for run in after)
    if not waited:
        return None
    names = [f"{run} ({status})" if status else run for run, status in waited]
    if len(waited) == 1:
        claim = f"It waits for run {names[0]} to be Completed first."
    elif len(waited) < len(after):
        claim = f"It waits for {len(waited)} of {count(len(after), 'run')}: {listed(names)}."
    else:
        claim = f"It waits for {count(len(waited), 'run')} to be Completed first: {listed(names)}."
    return Finding(
        rule="waiting_for_upstream",
        claim=claim,
        since_ns=evidence.state.queued_ns or evidence.state.since_ns,
        next="Then it is put in line; should one of them end otherwise, this run is Canceled.",
        command=f"outlast why {waited[0][0]}",
    )
