"""Outputs are there already, but the run isn't over: its command still works. A file that exists
doesn't end a run; the end of its processes does, and only then is it collected.
"""

from __future__ import annotations

from outlast.run.state import RUNNING
from outlast.units import count, size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ago, listed

RANK = 70
ANSWERS = False
TOLD = 5


def rule(evidence: Evidence) -> Finding | None:
    written = evidence.written
    if evidence.state.status != RUNNING or not written:
        return None
    named = listed([output.path for output in written], 3)
    return Finding(
        rule="outputs_so_far",
        claim=f"It has written {count(len(written), 'output')} already ({named}), but isn't over: "
        "its command has not ended.",
        evidence=tuple(
            Fact(
                f"{output.path}: {size(output.size_bytes)}, written "
                f"{ago(output.mtime_ns, evidence.now_ns)}",
                t_ns=output.mtime_ns,
            )
            for output in written[:TOLD]
        ),
        since_ns=min(output.mtime_ns for output in written),
        next="They are collected, and the run is Completed, once its command and all that it "
        "started have ended well.",
    )
