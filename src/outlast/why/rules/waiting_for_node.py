"""The run waits for nodes of its compute target: how many are busy and by which runs; or the target
is stopped, or was deleted meanwhile.
"""

from __future__ import annotations

from outlast.run.state import WAITING
from outlast.units import count
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.place import Nodes, QueuePlace
from outlast.why.wording import are, listed

RANK = 20
ANSWERS = True
SHOWN_RUNS = 8


def rule(evidence: Evidence) -> Finding | None:
    state, queue = evidence.state, evidence.queue
    if state.status not in WAITING or queue is None or queue.upstream:
        return None
    nodes = queue.nodes
    if nodes is None or not nodes.is_lacking or queue.not_before_ns > evidence.now_ns:
        return None
    claim, then, command = _claim(evidence, queue, nodes)
    return Finding(
        rule="waiting_for_node",
        claim=claim,
        evidence=tuple(
            Fact(f"run {run} is on {nodes.target}") for run in nodes.holders[:SHOWN_RUNS]
        ),
        since_ns=state.queued_ns or state.since_ns,
        next=then,
        command=command,
        severity="problem" if nodes.most < 0 else "info",
    )


def _claim(evidence: Evidence, queue: QueuePlace, nodes: Nodes) -> tuple[str, str, str]:
    name = nodes.target
    if nodes.most < 0:
        return (
            f"Its compute target {name} was deleted while it waited.",
            "It starts once there is a target of this name again.",
            f"outlast cancel {evidence.id}",
        )
    if nodes.most == 0:
        then = "It starts once that is started."
        return f"Its compute target {name} is stopped.", then, f"outlast compute start {name}"
    if nodes.wanted > nodes.most:
        return (
            f"It wants {count(nodes.wanted, 'node')} of {name}, which has {nodes.most} by now.",
            "It starts once the target has that many.",
            f"outlast compute set {name} --nodes {nodes.wanted}",
        )
    what = "a node" if nodes.wanted == 1 else count(nodes.wanted, "node")
    claim = f"It waits for {what} of {name} ({nodes.busy} of {nodes.most} busy)"
    if queue.ahead:
        number = len(queue.ahead)
        claim += (
            f", and {count(number, 'run')} of its experiment {are(number)} ahead of it "
            f"({listed(queue.ahead, 3)})"
        )
    holder = next(iter(nodes.holders), "")
    command = f"outlast why {holder}" if holder else f"outlast compute show {name}"
    return f"{claim}.", "It starts when its turn comes and as many are free.", command
