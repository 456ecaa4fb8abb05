"""The environment isn't quite what was asked for: another Python, or PyPI in place of conda."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact

RANK = 70
ANSWERS = False
CODES = ("python_replaced", "conda_mapped", "docker_unused")


def rule(evidence: Evidence) -> Finding | None:
    told = [pair for pair in evidence.state.warnings if pair[0] in CODES]
    if not told:
        return None
    records = {(found.event.code, found.event.message): found for found in evidence.each(ev.Warned)}
    return Finding(
        rule="environment_differs",
        claim=f"Its environment isn't quite what was asked for: {told[0][1].rstrip('.')}.",
        evidence=tuple(
            fact(records[item], item[1]) if item in records else Fact(item[1]) for item in told
        ),
        next="Once that has changed here, `outlast env build FILE --fresh` makes it anew.",
        command=f"outlast logs {evidence.id} --environment",
        severity="warning",
    )
