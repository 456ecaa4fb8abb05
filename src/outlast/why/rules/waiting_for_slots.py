"""The run waits in the queue for CPUs, memory or GPUs, or for its turn: how much it wants and how
much is free, which runs go before it, which hold the slots.
"""

from __future__ import annotations

from outlast.run.state import WAITING
from outlast.units import count, size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.place import Amounts, QueuePlace
from outlast.why.wording import amounts, are, listed

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state, queue = evidence.state, evidence.queue
    if state.status not in WAITING:
        return None
    since_ns = state.queued_ns or state.since_ns
    if queue is None:
        return (
            None if evidence.spec.after or state.retry_ns > evidence.now_ns else _unseen(since_ns)
        )
    if queue.upstream or queue.not_before_ns > evidence.now_ns:
        return None
    if queue.nodes is not None and queue.nodes.is_lacking:
        return None  # waiting_for_node speaks
    over = _more_than(queue.wants, queue.totals)
    if over and queue.totals != Amounts():
        return Finding(
            rule="waiting_for_slots",
            claim=f"It asks for {amounts(queue.wants, over)}, but this machine has "
            f"{amounts(queue.totals, over)} in all: it can never start here.",
            since_ns=since_ns,
            command=f"outlast cancel {evidence.id}",
            severity="problem",
        )
    claim, then, command = _claim(evidence, queue)
    return Finding(
        rule="waiting_for_slots",
        claim=claim,
        evidence=_holders(queue),
        since_ns=since_ns,
        next=then,
        command=command,
    )


def _claim(evidence: Evidence, queue: QueuePlace) -> tuple[str, str, str]:
    if queue.is_paused:
        return "The queue is paused.", "It starts once the queue goes on.", "outlast status"
    lacking = _more_than(queue.wants, queue.free)
    first = queue.ahead[0] if queue.ahead else queue.reserved_for
    if queue.ahead:
        number = len(queue.ahead)
        turn = f"{count(number, 'run')} of its experiment {are(number)} ahead of it"
        if lacking:
            turn = f"{_lack(queue, lacking)}, and {turn}"
        return (
            f"It waits for its turn: {turn} ({listed(queue.ahead, 3)}).",
            "It starts after them, as soon as its slots are free.",
            f"outlast why {first}",
        )
    if lacking:
        holder = next(iter(queue.holders), ("",))[0]
        return (
            f"It waits for {_lack(queue, lacking)}.",
            "It is the next of its experiment: it starts as soon as they are free.",
            f"outlast why {holder}" if holder else "outlast status",
        )
    if queue.reserved_for:
        return (
            f"Slots are free, but they are kept for run {first}, which was passed too often.",
            f"It starts once {first} has what it needs.",
            f"outlast why {first}",
        )
    return "Its slots are free and it is next.", "It starts within moments.", ""


def _lack(queue: QueuePlace, lacking: tuple[str, ...]) -> str:
    """ "2 GPUs (1 of 4 free) and 16 GB of memory (3 GB of 64 GB free)"."""
    parts = []
    for field in lacking:
        free, total = getattr(queue.free, field), getattr(queue.totals, field)
        shown = size if field == "memory_bytes" else "{:g}".format
        parts.append(
            f"{amounts(queue.wants, (field,))} ({shown(max(0, free))} of {shown(total)} free)"
        )
    return listed(parts)


def _more_than(wants: Amounts, limit: Amounts) -> tuple[str, ...]:
    return tuple(
        field
        for field in Amounts._fields
        if getattr(wants, field) > max(0, getattr(limit, field)) + 1e-9
    )


def _holders(queue: QueuePlace) -> tuple[Fact, ...]:
    return tuple(Fact(f"run {run} holds {amounts(held)}") for run, held in queue.holders[:8])


def _unseen(since_ns: int) -> Finding:
    return Finding(
        rule="waiting_for_slots",
        claim="It waits in the queue, which couldn't be asked, perhaps because no server runs.",
        since_ns=since_ns,
        next="It starts when a server runs and its slots are free.",
        command="outlast up --detach",
        severity="warning",
    )
