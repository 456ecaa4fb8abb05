"""An output isn't whole: it is truncated, can't be read, changed while it was read, or its check
failed.
"""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import last_words, problem_facts, warned_facts

RANK = 10
ANSWERS = True
PROBLEMS = {
    "truncated": "isn't whole",
    "check_failed": "did not pass its check",
    "unreadable": "can't be read",
    "too_many": "can't be collected",
}


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    is_cause = state.status == FAILED and state.cause == "output_damaged"
    fatal = problem_facts(evidence, *PROBLEMS)
    warned = warned_facts(evidence, *(f"output_{problem}" for problem in PROBLEMS))
    if not fatal and not warned and not is_cause:
        return None
    found = [
        (path, problem, message) for path, problem, message in state.problems if problem in PROBLEMS
    ]
    if found:
        path, problem, message = found[0]
        more = f" ({len(found) - 1} more are listed below)" if len(found) > 1 else ""
        claim = f"The output {path} {PROBLEMS[problem]}: {message.rstrip('.')}{more}."
    else:
        claim = f"An output isn't whole: {(warned[0].text if warned else state.message)}."
    return Finding(
        rule="output_damaged",
        claim=claim,
        evidence=(*(fatal or warned), *(last_words(evidence, 1) if is_cause else ())),
        since_ns=state.ended_ns,
        command=f"outlast outputs {evidence.id}",
        severity="problem" if is_cause else "warning",
    )
