"""What outlived the main process: who computes, who reads or writes, who holds outputs open.

A look compares each process with itself when it was last busy. Idle means: in all that time less
than 1 % of a core, not one byte through a system call, and no output held open for writing.
It only looks; what follows is decided in `supervision`.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from outlast import process
from outlast.process import TICKS_PER_S, Stat
from outlast.supervisor.loop import now_s
from outlast.supervisor.tree import command_of, plain

_IDLE_CORE_SHARE = 0.01
_SHOWN_FILES = 5


class _Mark(NamedTuple):
    """A process when it was last busy."""

    at_s: float
    cpu_ticks: int
    io_bytes: int


class Look(NamedTuple):
    """One look at the leftovers."""

    processes: Tuple[Dict[str, Any], ...]  # as in run.events.Leftovers
    idle_since_s: float  # on the loop's clock; 0.0 while any of them is busy

    def outline(self) -> Tuple[Any, ...]:
        """What makes two looks worth telling apart."""
        return (
            tuple((p["pid"], p["is_busy"], tuple(p["writes"])) for p in self.processes),
            bool(self.idle_since_s),
        )


class Leftovers:
    """Remembers what each process had done when it was last busy."""

    def __init__(self, outputs: List[str]) -> None:
        """`outputs` are the files and folders whose writers are named."""
        self._outputs = outputs
        self._marks: Dict[Tuple[int, int], _Mark] = {}

    def look(self, members: List[Stat]) -> Look:
        """How busy they are now. At the first look a process counts as idle from now on."""
        now = now_s()
        marks: Dict[Tuple[int, int], _Mark] = {}
        told: List[Dict[str, Any]] = []
        for stat in members:
            who = (stat.pid, stat.start_ticks)
            io_bytes = process.io_bytes(stat.pid) or 0
            fresh = _Mark(now, stat.cpu_ticks, io_bytes)
            mark = self._marks.get(who, fresh)
            writes = process.open_for_writing(stat.pid, self._outputs)[:_SHOWN_FILES]
            is_busy = bool(writes) or _has_worked(mark, fresh)
            marks[who] = fresh if is_busy else mark
            told.append(
                {
                    "pid": stat.pid,
                    "command": command_of(stat.pid),
                    "cpu_s": stat.cpu_ticks / TICKS_PER_S,
                    "io_bytes": io_bytes,
                    "is_busy": is_busy,
                    "writes": [plain(path) for path in writes],
                }
            )
        self._marks = marks
        any_busy = any(process["is_busy"] for process in told)
        idle_since_s = 0.0 if any_busy else max((mark.at_s for mark in marks.values()), default=0.0)
        return Look(tuple(told), idle_since_s)


def _has_worked(mark: _Mark, now: _Mark) -> bool:
    # One tick more than the share: a process that merely wakes up may be charged one.
    allowed_ticks = 1 + _IDLE_CORE_SHARE * TICKS_PER_S * (now.at_s - mark.at_s)
    return now.io_bytes != mark.io_bytes or now.cpu_ticks - mark.cpu_ticks > allowed_ticks
