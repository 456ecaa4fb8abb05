"""Which processes belong to the run, and signals to them.

A process belongs to a run when it descends from its supervisor or its start environment names the
run's folder; except those that Outlast started to live apart (OUTLAST_DETACHED=1), and what
descends from them. Since the supervisor is a subreaper, a daemon that left every group and session
still descends from it; the environment finds the rest after both supervisors were killed.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Dict, Iterable, List, Set

from outlast import process
from outlast.process import Stat
from outlast.supervisor.kernel import open_pidfd

_APART = b"OUTLAST_DETACHED=1"
_COMMAND_CHARS = 300


class Tree:
    """The processes of one run, seen from this process, which is none of them."""

    def __init__(self, folder: str) -> None:
        self._entry = b"OUTLAST_RUN=" + os.fsencode(folder)
        self._root = os.getpid()
        self._keeper = os.getppid()
        self._has_apart = False  # at the last look

    def members(self) -> List[Stat]:
        """Those that are alive now."""
        table = process.all_stats()
        inside = {stat.pid for stat in process.descendants(self._root, table=table)}
        outside = set(table) - inside - {self._root, self._keeper}
        for pid in process.with_environ(self._entry, among=outside):
            inside.add(pid)
            inside.update(stat.pid for stat in process.descendants(pid, table=table))
        apart = self._apart(inside, table)
        self._has_apart = not apart.isdisjoint(inside)
        return [table[pid] for pid in sorted(inside - apart) if is_alive(table[pid])]

    def is_empty(self) -> bool:
        """Is not one process left? One look isn't proof: while it is made, a process may fork and
        end, and both are missed. Its child is then a child of ours, which the kernel knows."""
        if self.members() or (_has_live_child() and not self._has_apart):
            return False
        return not self.members()

    def _apart(self, pids: Set[int], table: Dict[int, Stat]) -> Set[int]:
        apart = {self._root, self._keeper}
        for pid in process.with_environ(_APART, among=pids):
            apart.add(pid)
            apart.update(stat.pid for stat in process.descendants(pid, table=table))
        return apart


def _has_live_child() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def is_alive(stat: Stat) -> bool:
    """Does any thread of it still run? The first may have ended before the others."""
    return stat.state not in "ZX" or stat.threads > 1


def described(stats: Iterable[Stat]) -> List[Dict[str, Any]]:
    """Pid and command of each, as events carry them."""
    return [{"pid": stat.pid, "command": command_of(stat.pid)} for stat in stats]


def command_of(pid: int) -> str:
    """The command line as a record may hold it: without secrets, and not at any length."""
    from outlast.run import redact  # the first process that is told of pays for it

    return plain(" ".join(redact.command(process.arguments_of(pid))))[:_COMMAND_CHARS]


def plain(text: str) -> str:
    """`text` without the half surrogates by which Python carries bytes that aren't UTF-8."""
    return text.encode("utf-8", "replace").decode()


def send(stat: Stat, number: int) -> bool:
    """Signal this very process, not another that got its pid; False when it is gone."""
    try:
        fd = open_pidfd(stat.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel before 5.3, or no descriptor left: the pid has to do
        fd = -1
    try:
        now = process.read_stat(stat.pid)
        if now is None or now.start_ticks != stat.start_ticks:
            return False
        python_39 = getattr(signal, "pidfd_send_signal", None)
        if fd >= 0 and python_39 is not None:
            python_39(fd, number)
        else:
            os.kill(stat.pid, number)
        return True
    except (ProcessLookupError, PermissionError):  # gone, or it became another user
        return False
    finally:
        if fd >= 0:
            os.close(fd)
