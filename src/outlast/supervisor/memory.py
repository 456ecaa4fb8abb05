"""The memory of a run: a limit for its whole tree, and the out-of-memory killer's traces.

The limit is a memory cgroup (version 2 or 1) where one can be made, so that the kernel enforces it;
elsewhere the tree's resident memory is added up every half second. Nothing here ends a process.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from outlast.process import Stat
from outlast.supervisor.loop import now_s
from outlast.supervisor.tree import plain

LOOK_S = 0.5
PREFIX = "outlast-"  # of the cgroup of a run with a limit of memory
_ROOT = "/sys/fs/cgroup"
_KMSG_RECORD_BYTES = 8192  # the kernel's own limit of a record


class Cgroup(NamedTuple):
    """A memory cgroup by its folder and version."""

    path: str
    version: int

    @property
    def procs(self) -> str:
        return os.path.join(self.path, "cgroup.procs")

    def kills(self) -> int:
        """How many processes in it the kernel has killed for memory; 0 when it isn't told."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _field(os.path.join(self.path, name), "oom_kill")

    def peak_bytes(self) -> int:
        """The most it ever held; 0 when it isn't told."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        try:
            with open(os.path.join(self.path, name)) as file:
                return int(file.read())
        except (OSError, ValueError):
            return 0

    def remove(self) -> None:
        """Remove it, if it is empty."""
        try:
            os.rmdir(self.path)
        except OSError:
            return  # an empty cgroup that stays behind does no harm


def limited(name: str, limit_bytes: int) -> Optional[Cgroup]:
    """A fresh cgroup below this process's own with this limit; None where none can be made."""
    own = of(os.getpid())
    if own is None:
        return None
    group = Cgroup(os.path.join(own.path, PREFIX + name), own.version)
    first, swap = (
        ("memory.max", "memory.swap.max")
        if own.version == 2
        else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    )
    swap_bytes = 0 if own.version == 2 else limit_bytes
    try:
        if not os.path.isdir(group.path):
            os.mkdir(group.path)
        _write(os.path.join(group.path, first), limit_bytes)
        if os.path.exists(os.path.join(group.path, swap)):  # not every kernel limits swap
            _write(os.path.join(group.path, swap), swap_bytes)
    except OSError:
        group.remove()
        return None
    return group


def of(pid: int) -> Optional[Cgroup]:
    """The memory cgroup that a live process is in; None when it can't be told."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return None
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            found = Cgroup(f"{_ROOT}/memory{path}", 1)
            return found if os.path.isdir(found.path) else None
    for number, _, path in lines:
        if number == "0":
            for root in (_ROOT, f"{_ROOT}/unified"):
                if os.path.exists(f"{root}{path}/memory.events"):
                    return Cgroup(root + path, 2)
    return None


def resident_bytes(members: List[Stat]) -> int:
    """What the processes hold in memory together; shared pages count for each."""
    return sum(stat.rss_bytes for stat in members)


class Witness:
    """Keeps what is needed to tell afterwards whether the kernel killed a process for memory."""

    def __init__(self) -> None:
        self._began_s = now_s()
        self._machine_kills = _machine_kills()
        self._group: Optional[Cgroup] = None
        self._group_kills = 0

    def look(self, pid: int) -> None:
        """Note in which cgroup the process is now, and how many were killed so far."""
        group = of(pid)
        if group is not None:
            self._group, self._group_kills = group, group.kills()
        self._machine_kills = _machine_kills()

    def evidence(self, pid: int) -> Dict[str, Any]:
        """What says that the kernel killed `pid` for memory; {} when nothing does.

        `source` is kernel_log (names the process), cgroup, or machine (a process of this machine
        was killed for memory since the last look), from certain to likely.
        """
        text = kernel_line(pid, self._began_s)
        if text:
            return {"source": "kernel_log", "text": text}
        if self._group is not None and self._group.kills() > self._group_kills:
            kills = self._group.kills() - self._group_kills
            return {"source": "cgroup", "text": f"{kills} killed in {plain(self._group.path)}"}
        kills = _machine_kills() - self._machine_kills
        if kills > 0:
            return {"source": "machine", "text": f"the kernel killed {kills} for memory just then"}
        return {}

    def others(self) -> str:
        """The kernel's last word on a process that it killed for memory since the start.

        It may be anybody's: only those of other runs that have a limit of their own are left out.
        """
        own = os.path.basename(self._group.path) if self._group is not None else ""
        return kernel_line(0, self._began_s, own)


def kernel_line(pid: int, began_s: float, own: str = "") -> str:
    """The kernel's last message since `began_s` about killing `pid` for memory, or "".

    0 is any process, but for those in the cgroup of another run than `own`.
    """
    # The log's clock stands still while the machine sleeps, so this reaches back too far at worst.
    since_us = int((time.monotonic() - (now_s() - began_s) - 1.0) * 1e6)
    wanted = f"Killed process {pid} (" if pid else "Killed process "
    found, others = "", set()
    for t_us, text in _kernel_log():
        group = os.path.basename(_between(text, "task_memcg=", ","))
        if group.startswith(PREFIX) and group != own:
            others.add(_between(text, ",pid=", ","))
        is_told = t_us >= since_us and wanted in text and "memory" in text.lower()
        if is_told and (pid or _between(text, "Killed process ", " ") not in others):
            found = text
    return found


def _between(text: str, before: str, behind: str) -> str:
    return text.partition(before)[2].partition(behind)[0]


def _kernel_log() -> List[Tuple[int, str]]:
    """The kernel's messages with their times; [] where this user may not read them."""
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    messages: List[Tuple[int, str]] = []
    try:
        while True:
            try:
                record = os.read(fd, _KMSG_RECORD_BYTES)
            except BlockingIOError:
                return messages
            except BrokenPipeError:  # overwritten while reading: the next read goes on behind it
                continue
            head, _, text = record.decode("utf-8", "replace").partition(";")
            messages.append((int(head.split(",")[2]), plain(text.split("\n")[0])))
    except (OSError, ValueError, IndexError):  # not a kernel log as Linux writes it
        return messages
    finally:
        os.close(fd)


def _machine_kills() -> int:
    return _field("/proc/vmstat", "oom_kill")


def _field(path: str, name: str) -> int:
    try:
        with open(path) as file:
            for line in file:
                words = line.split()
                if len(words) == 2 and words[0] == name:
                    return int(words[1])
    except (OSError, ValueError):
        return 0
    return 0


def _write(path: str, value: int) -> None:
    with open(path, "w") as file:
        file.write(str(value))
