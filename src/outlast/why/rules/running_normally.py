"""The run works: its CPU and I/O right now, when it printed last, its last metric, and its time
limit.
"""

from __future__ import annotations

from outlast.run import events as ev
from outlast.run.state import RUNNING
from outlast.units import NS_PER_S, duration, number, size
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ago, at, live_processes, processes

RANK = 60
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != RUNNING or evidence.is_silent:
        return None
    if state.kind in ("session", "tunnel") or evidence.sweep is not None:
        return None  # see `session_open`, `sweep`
    if any(seen.state in "Tt" for seen in evidence.processes):
        return None  # see `stopped`
    limit_s = evidence.spec.limits.max_run_duration_s
    started = evidence.last(ev.Started)
    start_ns = started.event.t_ns if started else state.started_ns
    limit_ns = start_ns + int(limit_s * NS_PER_S) if start_ns else 0
    end = "its owner calls complete()" if state.kind == "interactive" else "its command does"
    latest = f", {at(limit_ns, evidence.now_ns)} at the latest ({duration(limit_s)})"
    return Finding(
        rule="running_normally",
        claim=f"It works: {', '.join(_signs(evidence))}.",
        evidence=live_processes(evidence),
        since_ns=start_ns or state.since_ns,
        next=f"It ends when {end}{latest if limit_ns and state.kind == 'command' else ''}.",
        next_ns=limit_ns if state.kind == "command" else 0,
        command=f"outlast logs -f {evidence.id}",
    )


def _signs(evidence: Evidence) -> list[str]:
    signs = []
    if evidence.processes:
        signs.append(
            f"{processes(len(evidence.processes))} at {evidence.cpu_percent:.0f} % CPU"
            + (f" and {size(evidence.io_bytes_per_s)}/s" if evidence.io_bytes_per_s >= 1 else "")
        )
    if evidence.lines or evidence.last_output_ns:
        signs.append(f"last output {ago(evidence.last_output_ns, evidence.now_ns)}")
    else:
        signs.append("no output yet")
    metric = evidence.last_metric
    if metric:
        value = metric.value if isinstance(metric.value, str) else number(metric.value)
        step = f" (step {metric.step})" if metric.step is not None else ""
        signs.append(
            f"last metric {metric.name} = {value}{step} {ago(metric.t_ns, evidence.now_ns)}"
        )
    return signs
