"""Who a process is, and what /proc says of it.

A pid alone names nobody: it is used again. A process is its pid, its start time (field 22 of
/proc/PID/stat, in clock ticks since boot) and the boot it lived in. Everything here reads /proc;
nothing here signals or waits. Standard library only.
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Set

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CMDLINE_BYTES = 64 << 10
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# The variables that tell a process which run or session it belongs to: none is handed on to a job
# or session that it asks for.
OF_ITS_RUN = (
    "OUTLAST_RUN", "OUTLAST_ATTEMPT", "OUTLAST_OUTPUTS", "OUTLAST_CONTEXT", "OUTLAST_SESSION",
    "AZUREML_RUN_ID",
)  # fmt: skip


class Identity(NamedTuple):
    """One process for all time."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Optional[Identity]:
        """The identity of a live (or zombie) process, or None if there is none."""
        stat = read_stat(pid)
        return None if stat is None else cls(pid, stat.start_ticks, boot_id())

    def is_alive(self) -> bool:
        """Does this very process still run? A zombie doesn't."""
        if self.boot_id != boot_id():
            return False
        stat = read_stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks and stat.state != "Z"


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that Outlast uses."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    cpu_ticks: int
    start_ticks: int
    threads: int
    rss_bytes: int


class Process(NamedTuple):
    """A process with what a person wants to know of it."""

    stat: Stat
    command: str

    @property
    def pid(self) -> int:
        return self.stat.pid


_boot_id = ""


def boot_id() -> str:
    """Changes at each boot of this machine; "" where the kernel doesn't say."""
    global _boot_id
    if not _boot_id:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:
                _boot_id = file.read().strip()
        except OSError:
            return ""
    return _boot_id


def read_stat(pid: int) -> Optional[Stat]:
    """What /proc says of `pid` now; None when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096).decode("utf-8", "replace")
    except OSError:  # ESRCH: it went between open and read
        return None
    finally:
        os.close(fd)
    # The name stands in parentheses and may itself hold spaces and parentheses.
    name = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return Stat(
        pid=pid,
        name=name,
        state=rest[0],
        parent=int(rest[1]),
        group=int(rest[2]),
        session=int(rest[3]),
        cpu_ticks=int(rest[11]) + int(rest[12]),
        start_ticks=int(rest[19]),
        threads=int(rest[17]),
        rss_bytes=int(rest[21]) * PAGE_BYTES,
    )


def command_of(pid: int, *, max_chars: int = 300) -> str:
    """The command line, as it is; the kernel's name in brackets when it has none."""
    return " ".join(arguments_of(pid))[:max_chars]


def arguments_of(pid: int) -> List[str]:
    """The command line's words; the kernel's name in brackets when it has none, [] when gone.

    They may hold secrets: what is kept or shown goes through run.redact.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            raw = file.read(_CMDLINE_BYTES)
    except OSError:
        raw = b""
    if raw:
        return raw.rstrip(b"\0").decode("utf-8", "replace").split("\0")
    stat = read_stat(pid)
    return [] if stat is None else [f"[{stat.name}]"]


def pids() -> List[int]:
    """Every process of this machine that this user may see."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def descendants(root: int, *, table: Optional[Dict[int, Stat]] = None) -> List[Stat]:
    """All processes below `root`, zombies included, parents before children; `root` itself not."""
    stats = table if table is not None else all_stats()
    children: Dict[int, List[Stat]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat)
    found: List[Stat] = []
    seen: Set[int] = {root}
    queue = [root]
    while queue:
        for stat in children.get(queue.pop(0), ()):
            if stat.pid not in seen:
                seen.add(stat.pid)
                found.append(stat)
                queue.append(stat.pid)
    return found


def all_stats() -> Dict[int, Stat]:
    """One look at every process."""
    stats = {}
    for pid in pids():
        stat = read_stat(pid)
        if stat is not None:
            stats[pid] = stat
    return stats


def with_environ(needle: bytes, among: Optional[Iterable[int]] = None) -> List[int]:
    """The pids whose start environment holds the entry `needle` (b"NAME=value").

    This finds what left every session, group and parent: a daemon that closed all descriptors still
    carries the environment it was started with.
    """
    found = []
    entry = b"\0" + needle + b"\0"
    for pid in pids() if among is None else among:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:  # gone, or another user's
            continue
        if entry in b"\0" + environ + b"\0":
            found.append(pid)
    return found


def io_bytes(pid: int) -> Optional[int]:
    """Bytes this process has read and written through system calls so far; None if not told."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            fields = dict(line.split(b": ") for line in file.read().splitlines())
    except (OSError, ValueError):
        return None
    return int(fields.get(b"rchar", 0)) + int(fields.get(b"wchar", 0))


def open_for_writing(pid: int, below: Iterable[str]) -> List[str]:
    """The files under the folders (or the very files) `below` that `pid` holds open for writing."""
    roots = [os.path.realpath(path) for path in below]
    found = []
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    for fd in fds:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            with open(f"/proc/{pid}/fdinfo/{fd}") as info:
                flags = int(next(line for line in info if line.startswith("flags")).split()[1], 8)
        except (OSError, StopIteration):
            continue
        is_writing = flags & os.O_ACCMODE != os.O_RDONLY
        if is_writing and any(target == root or target.startswith(root + "/") for root in roots):
            found.append(target)
    return sorted(set(found))


# ioctl PIDFD_GET_INFO (include/uapi/linux/pidfd.h): _IOWR(0xFF, 11, struct pidfd_info), of which
# the first version has 64 bytes: mask at 0, exit_code at 60. Linux 6.15 and newer tell the exit
# status to whoever held the pidfd, parent or not, also after the process was reaped.
_PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3


def wait_status(pidfd: int) -> Optional[int]:
    """The wait status (as os.waitpid gives it) of an ended process that needn't be a child.

    None while it runs, and on kernels before 6.15: then only its parent can learn it.
    """
    import fcntl
    import struct

    info = bytearray(64)
    struct.pack_into("Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    (mask,) = struct.unpack_from("Q", info, 0)
    (status,) = struct.unpack_from("i", info, 60)
    return int(status) if mask & _PIDFD_INFO_EXIT else None
