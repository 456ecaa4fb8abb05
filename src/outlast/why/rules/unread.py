"""Some of what `why` looks at couldn't be read, so the answer may be incomplete; and what the
server notes.
"""

from __future__ import annotations

from outlast.units import count
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 90
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    told = (*evidence.unread, *evidence.notes)
    if not told:
        return None
    if evidence.unread:
        thing = count(len(evidence.unread), "thing")
        claim = f"{thing} could not be looked at; the answer may be incomplete."
    else:
        claim = f"The server notes: {evidence.notes[0].rstrip('.')}."
    return Finding(
        rule="unread",
        claim=claim,
        evidence=tuple(Fact(text) for text in told),
        command="outlast doctor" if evidence.unread else "",
    )
