"""The clock of the machine was set back while the run went on: times and durations across that
moment are wrong, the order is not.
"""

from __future__ import annotations

from outlast.units import NS_PER_S, between, clock
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.story import Told

RANK = 70
ANSWERS = False
# Clocks are stepped by less than this in daily life.
TOLERANCE_S = 2.0


def rule(evidence: Evidence) -> Finding | None:
    jump: tuple[Told, Told] | None = None
    # Within one journal only: a decision may be told long after the event that it follows.
    last: dict[str, Told] = {}
    for after in evidence.story:
        before = last.get(after.journal, after)
        if before.event.t_ns - after.event.t_ns > TOLERANCE_S * NS_PER_S:
            jump = (before, after)
        last[after.journal] = after
    if jump is None:
        return None
    before, after = jump
    return Finding(
        rule="clock_jumped",
        claim=f"The clock of this machine went back by "
        f"{between(after.event.t_ns, before.event.t_ns)} while it ran: durations across that "
        "moment are wrong, the order of events is not.",
        evidence=tuple(
            Fact(
                f"{name}: {clock(told.event.t_ns, now_ns=evidence.now_ns)}",
                told.journal,
                told.offset,
                told.event.t_ns,
            )
            for name, told in (("before", before), ("after", after))
        ),
        since_ns=after.event.t_ns,
        severity="warning",
    )
