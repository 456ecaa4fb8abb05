"""The run's supervisor exists, but its heartbeat stopped: since when, whether its process is
stopped, and when it will be given up as lost.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import NOT_RESPONDING
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ago, at, fact, live_processes

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != NOT_RESPONDING:
        return None
    told_ns = state.facts.get("last_heartbeat_ns") or 0
    beat_ns = max(evidence.heartbeat_ns, told_ns if isinstance(told_ns, int) else 0)
    age = ago(beat_ns or state.since_ns, evidence.now_ns)
    supervisor, silent = evidence.supervisor, evidence.last(ev.Silent)
    seen: tuple[Fact, ...] = (fact(silent, "the heartbeat was missed"),) if silent else ()
    command, what = f"outlast cancel --force {evidence.id}", ""
    if supervisor is None:
        what = " and its process can't be seen from here"
    elif supervisor.state in "Tt":
        what = f": its process {supervisor.pid} is stopped by a signal or a debugger"
        command = f"kill -CONT {supervisor.pid}"
    else:
        waits = f", which {supervisor.waits_in}" if supervisor.waits_in else ""
        what = f", though its process {supervisor.pid} exists{waits}"
    then = f" (it was {state.before})" if state.before else ""
    return Finding(
        rule="not_responding",
        claim=f"Its supervisor gave its last sign of life {age} (one is due every 5 s){what}.",
        evidence=(*seen, *live_processes(evidence)),
        since_ns=beat_ns or state.since_ns,
        next=f"With the next sign it goes on{then}; without one it is Failed as lost"
        + (f" {at(state.deadline_ns, evidence.now_ns)}." if state.deadline_ns else " in time."),
        next_ns=state.deadline_ns,
        command=command,
        severity="problem",
    )
