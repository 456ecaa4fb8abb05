"""A declared output is missing: the command ended well, but did not write it."""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending, ending_fact, last_words, listed, problem_facts

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "output_missing":
        return None
    paths = [path for path, problem, _ in state.problems if problem == "missing"]
    which = listed(paths) or "a declared output"
    verb = "is" if len(paths) < 2 else "are"
    noun = "The declared output" if len(paths) < 2 else f"{len(paths)} declared outputs"
    messages = (message for _, problem, message in state.problems if problem == "missing")
    hint = next((message.partition("; ")[2] for message in messages if "; " in message), "")
    lacks = f"but did not write {'it' if len(paths) < 2 else 'them'}{f'; {hint}' if hint else ''}"
    return Finding(
        rule="output_missing",
        claim=f"{noun} {which} {verb} missing: the command ended with {ending(evidence)}, {lacks}.",
        evidence=(
            *problem_facts(evidence, "missing"),
            *ending_fact(evidence),
            *last_words(evidence),
        ),
        since_ns=state.ended_ns,
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )
