"""Somebody asked for the run to be stopped and it is being stopped: who asked, what still runs,
what comes next and when.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import CANCEL_REQUESTED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ago, are, at, fact, live_processes, processes, told_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != CANCEL_REQUESTED:
        return None
    asked, stopping = evidence.last(ev.CancelRequested), evidence.last(ev.Stopping)
    by = f"{state.cancel_by} asked" if state.cancel_by else "It was asked"
    stop = " for it to be stopped" if state.cancel_by else " to stop"
    reason = f" ({asked.event.reason})" if asked and asked.event.reason else ""
    number = len(evidence.processes)
    if not number and stopping:
        number = len(stopping.event.processes)
    still = f"{processes(number)} of it {are(number)} still running" if number else _rest(evidence)
    return Finding(
        rule="cancel_requested",
        claim=f"{by}{stop} {ago(state.cancel_ns, evidence.now_ns)}{reason}; {still}.",
        evidence=(
            *((fact(asked, "the request"),) if asked else ()),
            *(live_processes(evidence) or _signalled(evidence)),
        ),
        since_ns=state.cancel_ns,
        next=_next(evidence),
        next_ns=stopping.event.next_ns if stopping else 0,
        command=f"outlast cancel --force {evidence.id}",
    )


def _rest(evidence: Evidence) -> str:
    if evidence.last(ev.TreeEnded):
        return "its processes are over and its outputs are being collected"
    return "its processes are being stopped"


def _signalled(evidence: Evidence) -> tuple[Fact, ...]:
    stopping = evidence.last(ev.Stopping)
    if stopping is None or evidence.last(ev.TreeEnded):
        return ()
    event: ev.Stopping = stopping.event
    return tuple(
        fact(stopping, f"{told_process(told)} was sent {event.signal}")
        for told in event.processes[:8]
    )


def _next(evidence: Evidence) -> str:
    stopping = evidence.last(ev.Stopping)
    if evidence.last(ev.TreeEnded):
        return "It is Canceled within moments."
    if stopping is None:
        return "Its supervisor sends TERM now, and KILL to what doesn't obey."
    event: ev.Stopping = stopping.event
    if event.signal == "TERM" and event.next_ns:
        return f"TERM was sent; what doesn't obey gets KILL {at(event.next_ns, evidence.now_ns)}."
    return f"{event.signal} was sent; it is Canceled once every process is over."
