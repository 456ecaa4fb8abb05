"""A file among the outputs was there before the run, unchanged: it doesn't count as produced."""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import listed, problem_facts, warned_facts

RANK = 12
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    fatal = problem_facts(evidence, "foreign")
    is_cause = state.status == FAILED and state.cause == "output_foreign"
    warned = warned_facts(evidence, "output_foreign")
    if not fatal and not warned and not is_cause:
        return None
    paths = [path for path, problem, _ in state.problems if problem == "foreign"] or [
        message.partition(": ")[0] for code, message in state.warnings if code == "output_foreign"
    ]
    was = "was" if len(paths) < 2 else "were"
    return Finding(
        rule="output_foreign",
        claim=f"{listed(paths) or 'An output'} {was} there before the run and {was} "
        "not written by this run, so it doesn't count as produced.",
        evidence=fatal or warned,
        since_ns=state.ended_ns,
        command=f"outlast outputs {evidence.id}",
        severity="problem" if is_cause else "warning",
    )
