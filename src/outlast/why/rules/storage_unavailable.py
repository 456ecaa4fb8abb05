"""The work is done, but its outputs can't be stored (full disk, store away): the reason, when it
is tried again, until when; or that it was given up, with the files still on the node.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FINALIZING, STORAGE
from outlast.units import clock, count, size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import at, fact

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    failures = list(evidence.each(ev.CommitFailed))
    if state.cause == "storage" and state.is_over:
        return _given_up(evidence, len(failures))
    if state.status != FINALIZING or state.stage != STORAGE or not failures:
        return None
    last: ev.CommitFailed = failures[-1].event
    return Finding(
        rule="storage_unavailable",
        claim=f"Its work is done, but its outputs can't be stored: {last.message.rstrip('.')}.",
        evidence=(
            fact(failures[-1], f"attempt {len(failures)} to store them failed ({last.reason})"),
            *_room(evidence, last.reason),
        ),
        since_ns=failures[0].event.t_ns,
        next=f"It is tried again {at(last.retry_ns, evidence.now_ns)}, and given up at "
        f"{clock(last.deadline_ns, now_ns=evidence.now_ns)}; the files stay where they are.",
        next_ns=last.retry_ns,
        command="outlast doctor",
        severity="problem",
    )


def _given_up(evidence: Evidence, tries: int) -> Finding:
    state = evidence.state
    told = evidence.last(ev.StorageGaveUp)
    tried = f" in {count(tries, 'try', 'tries')}" if tries else ""
    return Finding(
        rule="storage_unavailable",
        claim=f"Its work was done, but its outputs could not be stored{tried}: "
        f"{(state.message or 'the storage was away').rstrip('.')}.",
        evidence=(fact(told, "storing was given up"),) if told else (),
        since_ns=state.ended_ns,
        next="Nothing is lost: the files are still on the node.",
        command=f"outlast outputs push {evidence.id}",
        severity="problem",
    )


def _room(evidence: Evidence, reason: str) -> tuple[Fact, ...]:
    if reason != "disk_full" or evidence.free_disk_bytes is None:
        return ()
    return (Fact(f"{size(evidence.free_disk_bytes)} are free on the disk where runs are kept"),)
