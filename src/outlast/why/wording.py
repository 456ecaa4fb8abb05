"""How findings speak: the turns of phrase that several rules share. Pure text.

A good colleague's tone: short sentences, numbers with units, wall-clock times with how far they are
away, and the command that changes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.redact import command as redacted
from outlast.run.verdict import signal_name
from outlast.units import between, clock, count, duration, size
from outlast.why.evidence import Evidence, Found
from outlast.why.finding import Fact
from outlast.why.place import Amounts
from outlast.why.processes import ProcessSeen

COMMAND_CHARS = 80
SHOWN_PROCESSES = 12


def ago(t_ns: int, now_ns: int) -> str:
    """ "3 m 20 s ago"."""
    return f"{between(t_ns, now_ns)} ago"


def at(t_ns: int, now_ns: int) -> str:
    """ "at 14:08:21, in 3 m 20 s"; "at 14:08:21" when it is past."""
    when = f"at {clock(t_ns, now_ns=now_ns)}"
    return f"{when}, in {between(now_ns, t_ns)}" if t_ns > now_ns else when


def processes(number: int, kind: str = "") -> str:
    """ "1 process", "2 background processes"."""
    kind = kind and kind + " "
    return count(number, f"{kind}process", f"{kind}processes")


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def listed(items: Sequence[str], most: int = 5, *, word: str = "and") -> str:
    """ "a", "a and b", "a, b and c", "a, b and 3 more"."""
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    return f" {word} ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def cut(command: str) -> str:
    return one_line(command, max_chars=COMMAND_CHARS)


def command_of(evidence: Evidence) -> str:
    """The run's command as one would type it."""
    return one_line(shlex.join(evidence.spec.command), max_chars=COMMAND_CHARS)


def amounts(value: Amounts, only: Iterable[str] = ("cpus", "memory_bytes", "gpus")) -> str:
    """ "4 CPUs, 8 GB of memory and 1 GPU"; "nothing" when all are 0."""
    parts = []
    if "cpus" in only and value.cpus:
        parts.append(f"{value.cpus:g} CPU{'' if value.cpus == 1 else 's'}")
    if "memory_bytes" in only and value.memory_bytes:
        parts.append(f"{size(value.memory_bytes)} of memory")
    if "gpus" in only and value.gpus:
        parts.append(count(value.gpus, "GPU"))
    return listed(parts) or "nothing"


def seen_process(seen: ProcessSeen) -> Fact:
    """One process with what it does now."""
    parts = [f"{seen.cpu_percent:.0f} % CPU", f"{duration(seen.cpu_s)} of CPU so far"]
    if seen.io_bytes_per_s:
        parts.append(f"reads and writes {size(seen.io_bytes_per_s)}/s")
    parts.append(f"{size(seen.rss_bytes)} of memory")
    if seen.state == "D":
        parts.append("waits for the disk or a network file system")
    elif seen.state in "Tt":
        parts.append("is stopped")
    elif seen.waits_in and seen.cpu_percent < 1:
        parts.append(seen.waits_in)
    if seen.writes:
        parts.append(f"holds {listed(seen.writes, 3)} open for writing")
    return Fact(f"process {seen.pid} ({cut(seen.command)}): {', '.join(parts)}")


def told_process(told: Mapping[str, Any]) -> str:
    """A process that an event names: "process 4711 (python evaluate.py)"."""
    # A journal holds the command line as it was; what is shown of it has its secrets starred out.
    command = " ".join(redacted(str(told.get("command", "")).split(" ")))
    return f"process {told.get('pid')} ({cut(command)})"


def live_processes(evidence: Evidence) -> tuple[Fact, ...]:
    """A fact for each process that was seen."""
    shown = evidence.processes[:SHOWN_PROCESSES]
    more = len(evidence.processes) - len(shown)
    rest = (Fact(f"and {processes(more, 'further')}"),) if more else ()
    return (*map(seen_process, shown), *rest)


def ending(evidence: Evidence) -> str:
    """How the command ended: "exit code 3", "SIGKILL", "an exit status that nobody could learn"."""
    state = evidence.state
    if state.exit_code is not None:
        return f"exit code {state.exit_code}"
    if state.exit_signal is not None:
        return signal_name(state.exit_signal)
    return "an exit status that nobody could learn"


def ending_fact(evidence: Evidence) -> tuple[Fact, ...]:
    """Where the end of the command stands in the journal."""
    exited = evidence.last(ev.Exited)
    if exited is None:
        return ()
    event: ev.Exited = exited.event
    used = f"{duration(event.cpu_s)} of CPU, {size(event.max_rss_bytes)} of memory at most"
    when = clock(event.t_ns, now_ns=evidence.now_ns)
    return (fact(exited, f"the command ended at {when} with {ending(evidence)}; it used {used}"),)


def fact(found: Found, text: str) -> Fact:
    """A fact that an event of the story proves."""
    return Fact(text, found.journal, found.offset, found.event.t_ns)


def last_words(evidence: Evidence, number: int = 3) -> tuple[Fact, ...]:
    """The last lines of the output."""
    return tuple(
        Fact(one_line(line.text), "output", line.offset) for line in evidence.lines[-number:]
    )


def traceback_fact(evidence: Evidence) -> tuple[Fact, ...]:
    """Where the traceback stands in the output."""
    found = evidence.traceback
    if found is None:
        return ()
    inside = f", in {found.function}" if found.function else ""
    return (Fact(f"Traceback: {found} at {found.place}{inside}", "output", found.offset),)


def ran_s(evidence: Evidence) -> float:
    """For how long the present attempt ran, or has been running."""
    state = evidence.state
    started = evidence.last(ev.Started)
    start_ns = started.event.t_ns if started else state.started_ns
    if not start_ns:
        return 0.0
    return max(0, (state.ended_ns or evidence.now_ns) - start_ns) / 1e9


def problem_facts(evidence: Evidence, *problems: str) -> tuple[Fact, ...]:
    """The fatal problems of these kinds, with the records that told them where they are kept."""
    told = {
        (found.event.path, found.event.problem): found for found in evidence.each(ev.OutputProblem)
    }
    facts = []
    for path, problem, message in evidence.state.problems:
        if problem in problems:
            found, text = told.get((path, problem)), f"{path}: {message}"
            facts.append(fact(found, text) if found else Fact(text))
    return tuple(facts)


def warned_facts(evidence: Evidence, *codes: str) -> tuple[Fact, ...]:
    """The warnings with these codes."""
    return tuple(Fact(message) for code, message in evidence.state.warnings if code in codes)
