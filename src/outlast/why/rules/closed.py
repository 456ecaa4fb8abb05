"""Somebody closed the session: who, when, and what had to be killed because it did not end."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.units import clock
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending_fact, fact, last_words, processes, told_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.cause != "closed":
        return None
    asked = evidence.last(ev.CancelRequested)
    who = f"{state.cancel_by} closed it" if state.cancel_by else "It was closed"
    when = f" at {clock(state.cancel_ns, now_ns=evidence.now_ns)}" if state.cancel_ns else ""
    killed = [found for found in evidence.each(ev.Stopping) if found.event.signal == "KILL"]
    number = len(killed[-1].event.processes) if killed else 0
    how = f"; {processes(number)} did not end by HUP and TERM and needed KILL" if number else ""
    return Finding(
        rule="closed",
        claim=f"{who}{when}{how}.",
        evidence=(
            *((fact(asked, "the request"),) if asked else ()),
            *(
                fact(found, f"{told_process(told)} was sent {found.event.signal}")
                for found in evidence.each(ev.Stopping)
                for told in found.event.processes[:8]
            ),
            *ending_fact(evidence),
            *last_words(evidence),
        ),
        since_ns=state.cancel_ns or state.ended_ns,
        command=f"outlast transcript {evidence.id}",
    )
