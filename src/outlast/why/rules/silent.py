"""The run neither prints, logs nor computes for a minute: what each process waits for and, for
Python, where each thread stands (by py-spy, when installed).
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import RUNNING
from outlast.units import NS_PER_S, between, duration
from outlast.why import stacks
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import at, live_processes, processes

RANK = 30
ANSWERS = True
THREADS = 8


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != RUNNING or not evidence.is_silent:
        return None
    if state.kind in ("session", "tunnel"):
        return None  # see `session_open`
    if any(seen.state in "Tt" for seen in evidence.processes):
        return None  # see `stopped`
    number = len(evidence.processes)
    limit_s = evidence.spec.limits.max_run_duration_s
    started = evidence.last(ev.Started)
    start_ns = started.event.t_ns if started else state.started_ns
    limit_ns = start_ns + int(limit_s * NS_PER_S)
    which = "its process uses" if number == 1 else f"its {processes(number)} use"
    return Finding(
        rule="silent",
        claim=f"It is silent: no output and no metric for "
        f"{between(evidence.active_ns, evidence.now_ns)}, and {which} no CPU now.",
        evidence=(*live_processes(evidence), *_threads(evidence)),
        since_ns=evidence.active_ns,
        next=f"Nothing ends it before its time limit {at(limit_ns, evidence.now_ns)} "
        f"({duration(limit_s)}).",
        next_ns=limit_ns,
        command=f"outlast cancel {evidence.id}",
        severity="warning",
    )


def _threads(evidence: Evidence) -> tuple[Fact, ...]:
    facts = []
    for pid, text in evidence.python_stacks:
        for thread in stacks.threads(text)[:THREADS]:
            if not thread.frames:
                continue
            inner, own = thread.frames[0], stacks.own_frame(thread)
            called = f", called from {own}" if own and own != inner else ""
            facts.append(Fact(f"process {pid}, {thread.name}: is in {inner}{called}"))
    return tuple(facts)
