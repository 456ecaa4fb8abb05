"""Nobody can tell how the run ended: its processes are gone without a word, its supervisor was
killed, or the machine was started anew; with the proof and the times.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.units import clock
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import are, fact, last_words, live_processes, processes

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "lost":
        return None
    lost = evidence.last(ev.Lost)
    proof = str(state.facts.get("evidence") or (lost.event.evidence if lost else ""))
    is_retried = state.attempt < state.max_attempts
    return Finding(
        rule="lost",
        claim=_claim(evidence, proof),
        evidence=(
            *((fact(lost, lost.event.message or proof),) if lost else ()),
            *_signs(evidence, proof),
            *live_processes(evidence),
            *last_words(evidence, 1),
        ),
        since_ns=state.ended_ns,
        next="If its supervisor still leaves a record of the end, that record wins."
        if not is_retried
        else "",
        command=f"outlast retry {evidence.id}",
        severity="problem",
    )


def _claim(evidence: Evidence, proof: str) -> str:
    state, number = evidence.state, len(evidence.processes)
    unknown = "how it would have ended can't be known"
    if proof == "rebooted":
        return f"The machine was rebooted while it ran, so {unknown}."
    if proof == "folder_gone":
        return f"The folder of the run is gone, so {unknown}."
    if proof == "silent_too_long":
        return f"Its supervisor gave no sign of life for too long, so {unknown}."
    if number:
        return (
            f"Its supervisor was killed, so its exit status can't be learnt; "
            f"{processes(number)} of it {are(number)} still running."
        )
    if state.is_orphaned or proof == "":
        return "Its supervisor was killed, so its exit status can't be learnt."
    return (
        "Its supervisor and its processes are gone without leaving a record, so how it ended "
        "can't be known."
    )


def _signs(evidence: Evidence, proof: str) -> list[Fact]:
    signs = []
    supervised = evidence.last(ev.Supervised)
    if proof == "rebooted" and supervised:
        boot = supervised.event.boot_id[:8] or "unknown"
        signs.append(
            fact(supervised, f"it ran under boot {boot}; now it is {evidence.boot_id[:8]}")
        )
    for name, t_ns in (
        ("last sign of its supervisor", evidence.heartbeat_ns),
        ("last output", evidence.last_output_ns),
        ("last metric", evidence.last_metric.t_ns if evidence.last_metric else 0),
    ):
        if t_ns:
            signs.append(Fact(f"{name}: {clock(t_ns, now_ns=evidence.now_ns)}", t_ns=t_ns))
    return signs
