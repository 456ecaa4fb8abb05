"""The limits of a run that count while its main process lives: its duration and its memory.

It watches, and tells who asked when one is reached; what follows is decided in `supervision`. A
session's idleness is looked at in `terminal`.
"""

from __future__ import annotations

import os
from typing import Callable, Optional

from outlast.process import TICKS_PER_S, Identity
from outlast.run.spec import RunSpec
from outlast.supervisor import memory
from outlast.supervisor.loop import Loop, now_s
from outlast.supervisor.tree import Tree


class Limits:
    """Of one attempt."""

    def __init__(
        self,
        spec: RunSpec,
        attempt: int,
        loop: Loop,
        tree: Tree,
        reach: Callable[[str, float, float], None],
    ) -> None:
        """`reach` gets a limit's name, what it allows, and what was observed."""
        self._limits = spec.limits
        self._group_name = f"{spec.id}-{attempt}"
        self._is_interactive = spec.kind == "interactive"
        self._loop = loop
        self._tree = tree
        self._reach = reach
        self.cgroup: Optional[memory.Cgroup] = None  # with the run's own limit of memory

    def make_cgroup(self) -> str:
        """Where a process has to write its pid to be limited; "" where nothing limits."""
        if self._limits.memory_bytes:
            self.cgroup = memory.limited(self._group_name, self._limits.memory_bytes)
        return self.cgroup.procs if self.cgroup else ""

    def rejoin_cgroup(self, pid: int) -> None:
        """The cgroup that a supervisor which was killed had made for this process."""
        group = memory.of(pid)
        if group is not None and os.path.basename(group.path) == memory.PREFIX + self._group_name:
            self.cgroup = group

    def watch(self, main: Identity) -> None:
        """From now on, until `cancel`."""
        # Counted from the process's own start, which a new supervisor and a new clock don't move.
        began_s = main.start_ticks / TICKS_PER_S
        allowed_s = self._limits.max_run_duration_s

        def too_long() -> None:
            self._reach("max_run_duration_s", allowed_s, now_s() - began_s)

        self._loop.at("max_run_duration", began_s + allowed_s, too_long)
        if self._limits.memory_bytes and not self._is_interactive:
            self._loop.after("memory", memory.LOOK_S, self._look_at_memory)

    def cancel(self) -> None:
        """Watch no more."""
        self._loop.cancel("max_run_duration")
        self._loop.cancel("memory")
        if self.cgroup is not None:
            self.cgroup.remove()

    def has_killed(self) -> bool:
        """Has the kernel killed a process for the run's own limit of memory?"""
        return self.cgroup is not None and bool(self.cgroup.kills())

    def reach_memory(self, reach: Callable[[str, float, float], None]) -> None:
        """Tell by how much."""
        assert self.cgroup is not None, "it has killed"
        reach("memory_bytes", self._limits.memory_bytes, self.cgroup.peak_bytes())

    def _look_at_memory(self) -> None:
        if self.has_killed():
            self.reach_memory(self._reach)
            return
        if self.cgroup is None:
            resident_bytes = memory.resident_bytes(self._tree.members())
            if resident_bytes > self._limits.memory_bytes:
                self._reach("memory_bytes", self._limits.memory_bytes, resident_bytes)
                return
        self._loop.after("memory", memory.LOOK_S, self._look_at_memory)
