"""The run was canceled: by whom, when, why, and what had to be killed because it did not obey."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import CANCELED
from outlast.units import between, clock
from outlast.why.evidence import Evidence, Found
from outlast.why.finding import Finding
from outlast.why.wording import ending_fact, fact, processes, told_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != CANCELED or state.cause in ("upstream_failed", "closed", "idle"):
        return None
    asked = evidence.last(ev.CancelRequested)
    by = f"{state.cancel_by} canceled it" if state.cancel_by else "It was canceled"
    when = f" at {clock(state.cancel_ns, now_ns=evidence.now_ns)}" if state.cancel_ns else ""
    if asked is None and not state.cancel_ns:
        by, when = "Its own script canceled it", ""
    reason = asked.event.reason if asked else ""
    said = f" ({reason})" if reason else ""
    stops = list(evidence.each(ev.Stopping))
    return Finding(
        rule="canceled",
        claim=f"{by}{when}{said}{_how(evidence, stops)}.",
        evidence=(
            *((fact(asked, "the request"),) if asked else ()),
            *(
                fact(found, f"{told_process(told)} was sent {found.event.signal}")
                for found in stops
                for told in found.event.processes[:8]
            ),
            *ending_fact(evidence),
        ),
        since_ns=state.cancel_ns or state.ended_ns,
        command=f"outlast retry {evidence.id}",
    )


def _how(evidence: Evidence, stops: list[Found]) -> str:
    state = evidence.state
    if not state.started_ns:
        return ", before it started"
    took = between(state.cancel_ns, state.ended_ns) if state.cancel_ns else ""
    gone = f"; nothing of it was running {took} later" if took else ""
    killed = [found for found in stops if found.event.signal == "KILL"]
    if killed:
        number = len(killed[-1].event.processes)
        return f"; {processes(number)} did not obey TERM and needed KILL{gone}"
    if stops and stops[0].event.processes:
        return f"; {processes(len(stops[0].event.processes))} obeyed TERM{gone}"
    return gone
