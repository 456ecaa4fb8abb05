"""Background processes went on after the command had ended, and the run was not over before they
were.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.units import between
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.rules import leftovers_ended
from outlast.why.wording import fact, processes, told_process

RANK = 60
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    told = [found for found in evidence.each(ev.Leftovers) if found.event.processes]
    exited, over = evidence.last(ev.Exited), evidence.last(ev.TreeEnded)
    if not told or not exited or not over or not evidence.state.is_over:
        return None
    if leftovers_ended.rule(evidence) or (evidence.state.cause == "leftovers"):
        return None
    seen = {item.get("pid"): (item, found) for found in told for item in found.event.processes}
    number = len(seen)
    return Finding(
        rule="leftovers_awaited",
        claim=f"{processes(number, 'background')} that the command left behind (leftovers) "
        f"{'was' if number == 1 else 'were'} awaited for "
        f"{between(exited.event.t_ns, over.event.t_ns)} after it had ended.",
        evidence=tuple(fact(found, told_process(item)) for item, found in list(seen.values())[:8]),
        since_ns=exited.event.t_ns,
        severity="info" if evidence.state.status != FAILED else "warning",
    )
