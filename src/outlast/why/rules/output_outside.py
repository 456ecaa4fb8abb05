"""A file that looks like an output lies where none is collected, as ./output instead of
./outputs: it is on the node, but not among the run's outputs.
"""

from __future__ import annotations

import shlex

from outlast.run.state import FINALIZING, RUNNING, TERMINAL
from outlast.units import size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import at, listed

RANK = 30
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    state, strays = evidence.state, evidence.strays
    if not strays or state.status not in (RUNNING, FINALIZING, *TERMINAL):
        return None
    named = [stray for stray in strays if stray.meant != "outputs/"]
    if named:
        claim = f"{named[0].path} was written, but the declared output is {named[0].meant}."
    else:
        was = "was" if len(strays) == 1 else "were"
        claim = (
            f"{listed([stray.path for stray in strays], 3)} {was} written, but outputs are "
            "collected from outputs/ and from declared paths only."
        )
    first = (named or strays)[0]
    return Finding(
        rule="output_outside",
        claim=claim,
        evidence=tuple(
            Fact(
                f"{stray.path}: {size(stray.size_bytes)}, written "
                f"{at(stray.mtime_ns, evidence.now_ns)}",
                t_ns=stray.mtime_ns,
            )
            for stray in strays[:5]
        ),
        since_ns=first.mtime_ns,
        next="" if state.is_over else "It won't be stored with the run.",
        command=f"outlast run --output {shlex.quote(first.path)} -- …",
        severity="warning",
    )
