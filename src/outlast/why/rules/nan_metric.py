"""The metric that was logged last is NaN or infinite: training has usually diverged."""

from __future__ import annotations

import math

from outlast.run.state import RUNNING, TERMINAL
from outlast.units import number
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding

RANK = 50
ANSWERS = False


def rule(evidence: Evidence) -> Finding | None:
    metric, status = evidence.last_metric, evidence.state.status
    if metric is None or isinstance(metric.value, str) or math.isfinite(metric.value):
        return None
    if status != RUNNING and status not in TERMINAL:
        return None
    step = f" at step {metric.step}" if metric.step is not None else ""
    is_nan = math.isnan(metric.value)
    return Finding(
        rule="nan_metric",
        claim=f"The last metric, {metric.name}, is {'NaN' if is_nan else 'infinite'}{step}: "
        "the training has probably diverged.",
        evidence=(Fact(f"{metric.name} = {number(metric.value)}{step}", t_ns=metric.t_ns),),
        since_ns=metric.t_ns,
        next="It trains on, most likely for nothing." if status == RUNNING else "",
        command=f"outlast metrics {evidence.id} --plot",
        severity="warning",
    )
