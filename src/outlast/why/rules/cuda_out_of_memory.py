"""A GPU was out of memory: what was asked for, as the framework said it."""

from __future__ import annotations

import re

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending_fact, traceback_fact

RANK = 6
ANSWERS = True
_FULL = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY|HIP out of memory"
    r"|cudaErrorMemoryAllocation|RESOURCE_EXHAUSTED: Out of memory"
)
_ASKED = re.compile(r"Tried to allocate ([\d.]+ [KMGT]i?B)")


def rule(evidence: Evidence) -> Finding | None:
    if evidence.state.status != FAILED:
        return None
    line = next((line for line in reversed(evidence.lines) if _FULL.search(line.text)), None)
    if line is None:
        return None
    said = traceback_fact(evidence) or (Fact(one_line(line.text), "output", line.offset),)
    asked = _ASKED.search(line.text)
    more = f" when {asked[1]} more were asked for" if asked else ""
    dispatched = evidence.last(ev.Dispatched)
    gpus = dispatched.event.gpus if dispatched else ()
    which = f"GPU {', '.join(map(str, gpus))}" if gpus else "The GPU"
    return Finding(
        rule="cuda_out_of_memory",
        claim=f"{which} was out of memory{more}: a smaller batch, or a GPU that nobody else uses, "
        "may help.",
        evidence=(*said, *ending_fact(evidence)),
        since_ns=evidence.state.ended_ns,
        command="nvidia-smi",
        severity="problem",
    )
