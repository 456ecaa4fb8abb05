"""The command has ended, but processes that it started have not: each with its CPU, its I/O and
the outputs that it holds open, how long they are waited for, and what ends the wait.
"""

from __future__ import annotations

from typing import Any

from outlast.run import events as ev
from outlast.run.state import FINALIZING, LEFTOVERS
from outlast.units import between, clock, duration
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import are, at, ending, fact, live_processes, processes, told_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FINALIZING or state.stage != LEFTOVERS:
        return None
    number = len(evidence.processes) or len(state.leftovers)
    exited = evidence.last(ev.Exited)
    when = f" at {clock(exited.event.t_ns, now_ns=evidence.now_ns)}" if exited else ""
    since_ns = exited.event.t_ns if exited else state.since_ns
    if not number:
        return Finding(
            rule="orphan_process",
            claim=f"The command ended{when} with {ending(evidence)}; "
            "whether it left background processes is being looked at.",
            since_ns=since_ns,
            next="Then its outputs are collected.",
        )
    pids: list[object] = [seen.pid for seen in evidence.processes] or [
        told.get("pid") for told in state.leftovers
    ]
    return Finding(
        rule="orphan_process",
        claim=f"The command ended{when} with {ending(evidence)}, but "
        f"{processes(number, 'background')} that it started {are(number)} still running.",
        evidence=live_processes(evidence) or _told(evidence),
        since_ns=since_ns,
        next=_next(evidence),
        next_ns=state.deadline_ns,
        command=f"kill {' '.join(map(str, pids[:8]))}",
        severity="warning",
    )


def _told(evidence: Evidence) -> tuple[Fact, ...]:
    """The leftovers as the supervisor last told them, when they can't be seen from here."""
    leftovers = evidence.last(ev.Leftovers)
    if leftovers is None:
        return ()
    return tuple(fact(leftovers, _described(told)) for told in evidence.state.leftovers[:8])


def _described(told: Any) -> str:
    writes = told.get("writes") or ()
    cpu_s = told.get("cpu_s")
    parts = [f"{duration(cpu_s)} of CPU so far"] if isinstance(cpu_s, (int, float)) else []
    parts += [] if told.get("is_busy") else ["idle"]
    parts += [f"holds {', '.join(map(str, writes))} open for writing"] if writes else []
    return f"{told_process(told)}: {', '.join(parts)}"


def _next(evidence: Evidence) -> str:
    state, limits = evidence.state, evidence.spec.limits
    leftovers, stopping = evidence.last(ev.Leftovers), evidence.last(ev.Stopping)
    if stopping is not None:
        event: ev.Stopping = stopping.event
        rung = "KILL follows" if event.signal == "TERM" else "the rest is waited for"
        later = f" {at(event.next_ns, evidence.now_ns)}" if event.next_ns else ""
        return f"{event.signal} was sent; {rung}{later}."
    if evidence.spec.policy.leftovers == "fail":
        return "Once nothing of it runs, it is Failed: its policy is leftovers = fail."
    if evidence.spec.policy.leftovers == "terminate":
        return "What still runs is ended now (leftovers = terminate); then its outputs are stored."
    after = "its outputs are stored and it is Completed, with a warning."
    if state.exit_code != 0:
        after = "the run is Failed."
    if not state.deadline_ns:
        return f"Waited for; then {after}"
    is_idle = bool(leftovers and leftovers.event.idle_deadline_ns == state.deadline_ns)
    wait_s = limits.idle_leftovers_s if is_idle else limits.leftovers_s
    kind = "leftovers that neither compute nor write" if is_idle else "leftovers"
    return (
        f"Waited for until {clock(state.deadline_ns, now_ns=evidence.now_ns)}, "
        f"{between(evidence.now_ns, state.deadline_ns)} from now (the limit for {kind} is "
        f"{duration(wait_s)}); what still runs then gets TERM, and KILL "
        f"{duration(limits.stop_grace_s)} later. After that {after}"
    )
