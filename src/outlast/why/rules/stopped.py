"""A process of the run is stopped by a signal (Ctrl-Z, SIGSTOP, a debugger): it does nothing
until it is continued.
"""

from __future__ import annotations

from outlast.run.state import ACTIVE
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import are, processes, seen_process

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    stopped = [seen for seen in evidence.processes if seen.state in "Tt"]
    if not stopped or evidence.state.status not in ACTIVE:
        return None
    number = len(stopped)
    pids = " ".join(str(seen.pid) for seen in stopped)
    return Finding(
        rule="stopped",
        claim=f"{processes(number)} of it {are(number)} stopped by a signal or a debugger and "
        f"{'does' if number == 1 else 'do'} nothing until continued.",
        evidence=tuple(map(seen_process, stopped)),
        since_ns=evidence.active_ns,
        next="Nothing continues it by itself; its time limit still counts.",
        command=f"kill -CONT {pids}",
        severity="warning",
    )
