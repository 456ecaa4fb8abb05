"""The run was out of memory: ended by the kernel, stopped at its own limit, or refused memory by
Python.
"""

from __future__ import annotations

import signal

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.units import size
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending, ending_fact, fact, traceback_fact

RANK = 5
ANSWERS = True
SOURCES = {
    "kernel_log": "the kernel's log",
    "cgroup": "its memory cgroup",
    "machine": "the kernel's count of this machine",
}


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED:
        return None
    if state.cause == "memory":
        claim, facts = _by_limit(evidence) or _by_kernel(evidence)
    elif evidence.traceback is not None and evidence.traceback.name == "MemoryError":
        claim, facts = _by_python(evidence)
    else:
        found = _by_kernel_elsewhere(evidence)
        if found is None:
            return None
        claim, facts = found
    return Finding(
        rule="out_of_memory",
        claim=claim,
        evidence=(*facts, *ending_fact(evidence)),
        since_ns=state.ended_ns,
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )


def _by_limit(evidence: Evidence) -> tuple[str, tuple[Fact, ...]] | None:
    reached = evidence.last(ev.LimitReached)
    if reached is None or reached.event.limit != "memory_bytes":
        return None
    event: ev.LimitReached = reached.event
    allowed = size(event.allowed)
    told = f"used {size(event.observed)}, and its limit (memory_bytes) is {allowed}"
    if event.observed < event.allowed:  # where the kernel ends them, they never hold more
        told = f"wanted more than {allowed}, its limit (memory_bytes)"
    claim = f"It ran out of memory: its processes together {told}."
    return claim, (fact(reached, "the limit was reached"),)


def _by_kernel(evidence: Evidence) -> tuple[str, tuple[Fact, ...]]:
    exited, told = evidence.last(ev.Exited), evidence.state.facts.get("oom")
    oom = told if isinstance(told, dict) else {}
    used_bytes = exited.event.max_rss_bytes if exited else 0
    used = f" when it held {size(used_bytes)}" if used_bytes else ""
    # "machine": all that is known is that the kernel killed something for memory at that moment.
    sure = "most likely " if oom.get("source") == "machine" else ""
    claim = f"It ran out of memory: the kernel's out-of-memory (OOM) killer {sure}ended it{used}."
    text = str(oom.get("text", ""))
    return claim, (
        Fact(f"{SOURCES.get(str(oom.get('source')), 'evidence')}: {text}"),
    ) if text else ()


def _by_kernel_elsewhere(evidence: Evidence) -> tuple[str, tuple[Fact, ...]] | None:
    told = [message for code, message in evidence.state.warnings if code == "oom"]
    # The kernel may have killed anybody's process: 137 says that one of this run's was killed.
    if not told or evidence.state.exit_code != 128 + signal.SIGKILL:
        return None
    claim = (
        f"It probably ran out of memory: the command ended with {ending(evidence)}, as shells do "
        "when SIGKILL ended what they ran, and the kernel killed a process for memory meanwhile."
    )
    return claim, tuple(Fact(text) for text in told)


def _by_python(evidence: Evidence) -> tuple[str, tuple[Fact, ...]]:
    found = evidence.traceback
    asked = f" ({found.message})" if found and found.message else ""
    claim = (
        f"It ran out of memory: Python raised MemoryError{asked}, which means that the machine, "
        "a cgroup or a limit of the process (ulimit -v) gave no more."
    )
    return claim, traceback_fact(evidence)
