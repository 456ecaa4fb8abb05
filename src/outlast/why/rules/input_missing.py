"""An input of the run could not be brought, so its command was never started."""

from __future__ import annotations

import re

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 8
ANSWERS = True
# As runtime/inputs.py says it.
_SAID = re.compile(r"outlast: input '(\w+)': (.*)")


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or not evidence.spec.inputs:
        return None
    for line in evidence.lines[-3:]:
        said = _SAID.match(line.text)
        if said and said[1] in evidence.spec.inputs:
            return Finding(
                rule="input_missing",
                claim=f"Its input {said[1]!r} could not be brought: {said[2].rstrip('.')}.",
                evidence=(Fact(line.text, "output", line.offset),),
                since_ns=state.ended_ns,
                next="",
                command=f"outlast retry {evidence.id}",
                severity="problem",
            )
    return None
