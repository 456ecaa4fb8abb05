"""The oldest part of the run's output was dropped, since output_quota_bytes bounds what is kept."""

from __future__ import annotations

from outlast.units import size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 85
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    first = evidence.output_first
    if not first:
        return None
    return Finding(
        rule="output_trimmed",
        claim=f"The first {size(first)} of its {size(evidence.output_size)} of output were "
        "dropped (setting output_quota_bytes); the rest is there.",
        evidence=(Fact("what is kept begins here", "output", first),),
        command="outlast config show",
    )
