"""The run failed and its output ends with a Python traceback: the exception, and where in the
user's own code it was raised. Where another rule knows that exception better, that one speaks.
"""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.rules import (
    address_in_use,
    cuda_out_of_memory,
    disk_full,
    missing_file,
    missing_module,
    out_of_memory,
)
from outlast.why.wording import ending_fact, last_words, traceback_fact

RANK = 20
ANSWERS = True
CAUSES = frozenset(("exit_code", "owner_died", "failed_by_script", "logged_error", "signal"))
# What input() raises without anybody who could answer.
ASKED = " A run's stdin is empty: give answers as arguments, or run it in outlast shell."
CLOSER = (
    address_in_use,
    cuda_out_of_memory,
    disk_full,
    missing_file,
    missing_module,
    out_of_memory,
)


def rule(evidence: Evidence) -> Finding | None:
    found, state = evidence.traceback, evidence.state
    if found is None or state.status != FAILED or state.cause not in CAUSES:
        return None
    if is_told_closer(evidence):
        return None
    inside = f", in {found.function}" if found.function else ""
    is_asking = str(found).startswith("EOFError") and evidence.spec.kind == "command"
    return Finding(
        rule="python_exception",
        claim=f"Python raised {str(found).rstrip('.')} ({found.place}{inside}).{ASKED * is_asking}",
        evidence=(*traceback_fact(evidence), *last_words(evidence, 1), *ending_fact(evidence)),
        since_ns=state.ended_ns,
        command=f"outlast logs --from {found.offset} {evidence.id}",
        severity="problem",
    )


def is_told_closer(evidence: Evidence) -> bool:
    """Does another rule know this very trouble?"""
    return any(closer.rule(evidence) for closer in CLOSER)
