"""A Python script prints nothing though it runs: Python holds back what it prints in 8 KB blocks
when it doesn't print to a terminal, unless it is run with `-u` or PYTHONUNBUFFERED=1.
"""

from __future__ import annotations

import os
import re
import shlex

from outlast.run import events as ev
from outlast.run.state import RUNNING
from outlast.units import NS_PER_S, between
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding

RANK = 70
ANSWERS = False
QUIET_S = 30.0


def rule(evidence: Evidence) -> Finding | None:
    spec, started = evidence.spec, evidence.last(ev.Started)
    if evidence.state.status != RUNNING or not started or not spec.command:
        return None
    is_python = re.fullmatch(r"python[\d.]*", os.path.basename(spec.command[0]))
    is_told = evidence.is_unbuffered or "PYTHONUNBUFFERED" in spec.variables
    if not is_python or is_told or _is_unbuffered(spec.command[1:]):
        return None
    begun: ev.Started = started.event
    quiet_since_ns = max(evidence.last_output_ns, begun.t_ns)
    if evidence.output_size > begun.output_offset:
        return None  # it prints, so it flushes, or prints enough
    if evidence.now_ns - quiet_since_ns < QUIET_S * NS_PER_S:
        return None
    return Finding(
        rule="python_buffered",
        claim=f"Nothing was printed for {between(quiet_since_ns, evidence.now_ns)}, perhaps "
        "because Python holds back up to 8 KB of output when it doesn't print to a terminal.",
        since_ns=quiet_since_ns,
        next="What is held back appears when the buffer is full, or at the end.",
        command=f"outlast run -- {shlex.quote(spec.command[0])} -u …",
    )


def _is_unbuffered(arguments: tuple[str, ...]) -> bool:
    """Does an option of Python itself say -u? What follows the script's name is the script's."""
    for argument in arguments:
        if not argument.startswith("-") or argument in ("-c", "-m", "-"):
            return False
        if not argument.startswith("--") and "u" in argument:
            return True
    return False
