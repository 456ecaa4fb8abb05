"""A port was taken: another process, perhaps one left by an earlier run, listens on it."""

from __future__ import annotations

import re

from outlast.printable import one_line
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending_fact, traceback_fact

RANK = 10
ANSWERS = True
_TAKEN = re.compile(r"[Aa]ddress already in use|\bEADDRINUSE\b|[Pp]ort \d+ is (?:already )?in use")
_PORT = re.compile(r"(?:[Pp]ort |:|, )(\d{2,5})\b")


def rule(evidence: Evidence) -> Finding | None:
    if evidence.state.status != FAILED:
        return None
    line = next((line for line in reversed(evidence.lines) if _TAKEN.search(line.text)), None)
    if line is None:
        return None
    port = _PORT.search(line.text)
    which = f"Port {port[1]}" if port else "A port that it wanted"
    return Finding(
        rule="address_in_use",
        claim=f"{which} was taken already: another process, perhaps left by an earlier run, "
        "listens on it.",
        evidence=(
            Fact(one_line(line.text), "output", line.offset),
            *traceback_fact(evidence),
            *ending_fact(evidence),
        ),
        since_ns=evidence.state.ended_ns,
        command=f"ss -ltnp 'sport = :{port[1]}'" if port else "ss -ltnp",
        severity="problem",
    )
