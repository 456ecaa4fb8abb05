"""Less than 1 GB is free where runs are kept, while the run is under way: it may soon fail to
write.
"""

from __future__ import annotations

from outlast.run.state import ACTIVE
from outlast.units import size
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.rules import disk_full, storage_unavailable

RANK = 60
ANSWERS = False
LOW_BYTES = 1_000_000_000


def rule(evidence: Evidence) -> Finding | None:
    free = evidence.free_disk_bytes
    if free is None or free >= LOW_BYTES or evidence.state.status not in ACTIVE:
        return None
    if disk_full.rule(evidence) or storage_unavailable.rule(evidence):
        return None
    room = f"Only {size(free)} are" if free else "Nothing is"
    return Finding(
        rule="disk_low",
        claim=f"{room} free on the disk where runs are kept.",
        next="What can't be written will fail the run, or be missing from its record.",
        command="outlast doctor",
        severity="warning",
    )
