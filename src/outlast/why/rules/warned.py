"""Any other warning that the run carries, as it was told."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.rules import out_of_memory
from outlast.why.wording import fact

RANK = 80
ANSWERS = False
# Codes of which another rule speaks.
TOLD_ELSEWHERE = frozenset(
    (
        "leftovers", "leftovers_ended", "orphaned", "corrected", "logged_errors", "logged_error",
        "disk_full", "python_replaced", "conda_mapped", "docker_unused",
        "not_registered",
        "output_foreign", "output_truncated", "output_check_failed", "output_unreadable",
        "output_too_many",
    )
)  # fmt: skip


def rule(evidence: Evidence) -> Finding | None:
    elsewhere = TOLD_ELSEWHERE | ({"oom"} if out_of_memory.rule(evidence) else set())
    told = [pair for pair in evidence.state.warnings if pair[0] not in elsewhere]
    if not told:
        return None
    more = f" ({len(told) - 1} more warnings below)" if len(told) > 1 else ""
    records = {(found.event.code, found.event.message): found for found in evidence.each(ev.Warned)}
    return Finding(
        rule="warned",
        claim=f"A warning was left with it: {told[0][1].rstrip('.')}{more}.",
        evidence=tuple(
            fact(records[item], item[1]) if item in records else Fact(item[1]) for item in told[:20]
        ),
        command=f"outlast show {evidence.id}",
        severity="warning",
    )
