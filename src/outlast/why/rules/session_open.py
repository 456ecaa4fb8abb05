"""A session or tunnel is open: what runs in it, when it printed last, and what will end it."""

from __future__ import annotations

from outlast.run.state import RUNNING
from outlast.units import duration
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ago, live_processes, processes

RANK = 60
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.kind not in ("session", "tunnel") or state.status != RUNNING:
        return None
    parts = [processes(len(evidence.processes))] if evidence.processes else []
    if evidence.last_output_ns:
        parts.append(f"last output {ago(evidence.last_output_ns, evidence.now_ns)}")
    what = ", ".join(parts) or "nothing was printed yet"
    return Finding(
        rule="session_open",
        claim=f"It is open: {what}.",
        evidence=live_processes(evidence),
        since_ns=state.started_ns or state.since_ns,
        next=f"It stays open until {_end(evidence)}; nobody has to be attached.",
        command=f"outlast attach {evidence.id}" if state.kind == "session" else "",
    )


def _end(evidence: Evidence) -> str:
    if evidence.state.kind == "tunnel":
        return "its client ends it, or somebody closes it"
    idle_s = evidence.spec.terminal.idle_s if evidence.spec.terminal else 0.0
    idle = f", or it was idle for {duration(idle_s)}" if idle_s else ""
    return f"its shell ends, somebody closes it{idle}"
