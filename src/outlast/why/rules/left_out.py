"""The run works on a snapshot of a folder, and some of the folder isn't in it: what, and why."""

from __future__ import annotations

from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 90
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    source = evidence.spec.source
    if source is None or not source.left_out:
        return None
    return Finding(
        rule="left_out",
        claim=f"Not all of {source.folder} is in the snapshot that it runs on.",
        evidence=tuple(Fact(text) for text in source.left_out),
    )
