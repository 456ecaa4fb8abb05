"""The disk, or the user's quota on it, was full: where it shows, and what is free now."""

from __future__ import annotations

import re
import shlex

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.state import FAILED, RUNNING
from outlast.units import size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending_fact, fact

RANK = 8
ANSWERS = True
_FULL = re.compile(r"No space left on device|\bENOSPC\b|[Dd]isk quota exceeded|\bEDQUOT\b")


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status not in (FAILED, RUNNING):
        return None
    line = next((line for line in reversed(evidence.lines) if _FULL.search(line.text)), None)
    seen = next((told for told in evidence.each(ev.Warned) if told.event.code == "disk_full"), None)
    if line is None and seen is None:
        return None
    folder = shlex.quote(evidence.folder or ".")
    free = evidence.free_disk_bytes
    now = () if free is None else (Fact(f"{size(free)} are free now where runs are kept"),)
    return Finding(
        rule="disk_full",
        claim="The disk was full, or the quota on it: something could not be written.",
        evidence=(
            *((Fact(one_line(line.text), "output", line.offset),) if line else ()),
            *((fact(seen, seen.event.message),) if seen else ()),
            *now,
            *ending_fact(evidence),
        ),
        since_ns=state.ended_ns or evidence.last_output_ns,
        next="It runs on, but what it could not write is missing." if not state.is_over else "",
        command=f"df -h {folder} /tmp",
        severity="problem",
    )
