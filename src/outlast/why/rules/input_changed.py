"""An input of the run holds something else than when that version of the dataset was registered."""

from __future__ import annotations

from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 76
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    changed = evidence.changed_inputs
    if not changed:
        return None
    first = changed[0].partition(" ")[0]
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    dataset = changed[0].partition("(")[2].rstrip(")")
    return Finding(
        rule="input_changed",
        claim=f"Its input {first!r}{more} isn't what was registered as {dataset}: the files have "
        "changed since.",
        evidence=tuple(Fact(text) for text in changed),
        command=f"outlast datasets show {dataset}",
        severity="warning",
    )
