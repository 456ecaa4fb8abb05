"""The answer to `{"op": "status"}`: who runs, since when, and what comes next."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from outlast import process
from outlast.process import TICKS_PER_S, Identity, Stat
from outlast.supervisor.loop import Loop, wall_ns
from outlast.supervisor.tree import command_of

# Timers of `supervision` that end or signal something, by what the answer calls them.
_DEADLINES = {
    "max_run_duration": "max_run_duration_ns",
    "stop": "kill_ns",
    "leftovers deadline": "leftovers_ns",
    "idle leftovers": "idle_leftovers_ns",
}


def status(
    mode: str,
    attempt: int,
    main: Optional[Identity],
    stage: str,
    stopping: str,
    members: List[Stat],
    loop: Loop,
) -> Dict[str, Any]:
    """Plain JSON values; times are wall-clock nanoseconds."""
    deadlines: Dict[str, int] = {}
    for timer, name in _DEADLINES.items():
        due_s = loop.due_s(timer)
        if due_s is not None:
            deadlines[name] = wall_ns(due_s)
    return {
        "mode": mode,
        "attempt": attempt,
        "main": None if main is None else main._asdict(),
        "stage": stage,
        "stopping": stopping,
        "processes": [_row(stat) for stat in members],
        "deadlines": deadlines,
    }


def _row(stat: Stat) -> Dict[str, Any]:
    return {
        "pid": stat.pid,
        "ppid": stat.parent,
        "command": command_of(stat.pid),
        "state": stat.state,
        "cpu_s": stat.cpu_ticks / TICKS_PER_S,
        "rss_bytes": stat.rss_bytes,
        "threads": stat.threads,
        "io_bytes": process.io_bytes(stat.pid) or 0,
    }
