"""The command ended with an exit code other than 0: the code, what it usually means, its last
words.
"""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.run.verdict import signal_name
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.rules import python_exception, rank_failed
from outlast.why.wording import ending_fact, last_words

RANK = 30
ANSWERS = True

# What shells and common tools mean by a code.
MEANINGS = {
    2: "often a wrong option or argument",
    126: "from a shell: the file is there, but isn't executable",
    127: "from a shell: the command was not found",
}


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "exit_code":
        return None
    if python_exception.rule(evidence) or python_exception.is_told_closer(evidence):
        return None  # they say the deeper reason, and the headline adds the code
    if rank_failed.rule(evidence):
        return None
    code = state.exit_code
    meaning = MEANINGS.get(code or 0, "")
    if code is not None and 128 < code <= 128 + 64:
        meaning = f"128 + {code - 128}: something that it started was ended by "
        meaning += signal_name(code - 128)
    return Finding(
        rule="exit_code",
        claim=f"The command ended with exit code {code}{f' ({meaning})' if meaning else ''}.",
        evidence=(*ending_fact(evidence), *last_words(evidence)),
        since_ns=state.ended_ns,
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )
