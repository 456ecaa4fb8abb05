"""The run is Completed: how long it took, its exit code, what was stored, which processes were
awaited.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import COMPLETED
from outlast.units import count, duration, size
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending, ending_fact, fact, last_words, processes, ran_s

RANK = 50
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != COMPLETED:
        return None
    stored = evidence.last(ev.Committed)
    return Finding(
        rule="completed",
        claim=f"Completed in {duration(ran_s(evidence))}: {', '.join(_parts(evidence))}.",
        evidence=(
            *ending_fact(evidence),
            *((fact(stored, f"manifest {stored.event.manifest[:12]}"),) if stored else ()),
            *(last_words(evidence) if state.kind == "session" else ()),
        ),
        since_ns=state.ended_ns,
        command=f"outlast outputs {evidence.id}" if stored and stored.event.files else "",
    )


def _parts(evidence: Evidence) -> list[str]:
    state, stored = evidence.state, evidence.last(ev.Committed)
    owner = evidence.last(ev.OwnerEnded)
    parts = [] if state.kind == "interactive" else [ending(evidence)]
    if state.kind == "interactive":
        parts.append("complete() was called" if owner else "its owner ended it")
    if stored and stored.event.files:
        files = count(stored.event.files, "output")
        parts.append(f"{files} stored ({size(stored.event.size_bytes)})")
    elif state.kind in ("command", "interactive"):
        parts.append("no outputs to store")
    left, stopped = _pids(evidence, ev.Leftovers), _pids(evidence, ev.Stopping)
    if left - stopped:
        parts.append(f"{processes(len(left - stopped), 'background')} awaited")
    if stopped:
        parts.append(f"{processes(len(stopped), 'background')} ended by force")
    return parts


def _pids(evidence: Evidence, kind: type[ev.Leftovers] | type[ev.Stopping]) -> set[object]:
    return {item.get("pid") for found in evidence.each(kind) for item in found.event.processes}
