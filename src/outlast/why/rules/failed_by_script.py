"""The script itself called fail(), with its message."""

from __future__ import annotations

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import fact, last_words

RANK = 10
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "failed_by_script":
        return None
    ended = evidence.last(ev.OwnerEnded) or evidence.last(ev.Ended)
    message = one_line(state.message, max_chars=300).rstrip(".")
    said = f": {message}" if message and "called fail()" not in message else ""
    return Finding(
        rule="failed_by_script",
        claim=f"The script itself called fail(){said}.",
        evidence=(
            *((fact(ended, "the script's word"),) if ended else ()),
            *last_words(evidence, 1),
        ),
        since_ns=state.ended_ns,
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )
