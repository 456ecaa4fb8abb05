"""The run had been taken for lost, then the record of its end was found: the record counts."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact

RANK = 40
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    if not any(code == "corrected" for code, _ in evidence.state.warnings):
        return None
    lost, ended = evidence.last(ev.Lost), evidence.last(ev.Ended)
    return Finding(
        rule="corrected",
        claim="It had been taken for lost, until the record of its end was found; the record "
        "counts.",
        evidence=(
            *((fact(lost, f"taken for lost: {lost.event.message}"),) if lost else ()),
            *((fact(ended, f"the record: {ended.event.outcome}"),) if ended else ()),
        ),
        since_ns=evidence.state.since_ns,
        severity="warning",
    )
