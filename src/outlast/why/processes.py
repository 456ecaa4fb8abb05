"""What the processes of a run do right now, as /proc tells it. Reads; signals nobody.

A process belongs to the run when it descends from the run's supervisor or was started with the
run's entry in its environment; what Outlast started to live apart doesn't (see ARCHITECTURE.md).
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from outlast import process
from outlast.run.folder import RunFolder
from outlast.run.redact import command as redacted

# Beyond this many processes nobody reads a list, and looking at each takes a millisecond.
LOOKED_AT = 200
COMMAND_CHARS = 300


class ProcessSeen(NamedTuple):
    """One process, looked at twice within a moment."""

    pid: int
    ppid: int
    command: str  # secrets starred out
    state: str = "S"  # as in /proc: R, S, D, T, t, Z
    cpu_s: float = 0.0  # since it began
    cpu_percent: float = 0.0  # of one cpu, over the sample
    io_bytes_per_s: float | None = None  # through system calls; None = not told
    rss_bytes: int = 0
    waits_in: str = ""  # where it sleeps in the kernel
    writes: tuple[str, ...] = ()  # output files that it holds open for writing
    is_main: bool = False

    @property
    def is_python(self) -> bool:
        name = os.path.basename(self.command.split(" ", 1)[0])
        return bool(re.fullmatch(r"python[\d.]*", name))


def look(
    folder: RunFolder,
    supervisor_pid: int,
    main_pid: int,
    outputs: Sequence[str],
    sample_s: float,
) -> tuple[ProcessSeen, ...]:
    """The run's live processes, parents first; takes `sample_s` when there are any."""
    members = _members(folder, supervisor_pid)[:LOOKED_AT]
    if not members:
        return ()
    before = {stat.pid: (stat.cpu_ticks, process.io_bytes(stat.pid)) for stat in members}
    begun = time.monotonic()
    time.sleep(sample_s)
    elapsed_s = max(time.monotonic() - begun, 1e-3)
    seen = []
    for old in members:
        stat = process.read_stat(old.pid)
        if stat is None or stat.start_ticks != old.start_ticks or stat.state == "Z":
            continue
        ticks, io = before[stat.pid]
        now_io = process.io_bytes(stat.pid)
        seen.append(
            ProcessSeen(
                pid=stat.pid,
                ppid=stat.parent,
                command=_shown_command(stat.pid),
                state=stat.state,
                cpu_s=stat.cpu_ticks / process.TICKS_PER_S,
                cpu_percent=100 * (stat.cpu_ticks - ticks) / process.TICKS_PER_S / elapsed_s,
                io_bytes_per_s=None if io is None or now_io is None else (now_io - io) / elapsed_s,
                rss_bytes=stat.rss_bytes,
                waits_in=_waits_in(stat.pid),
                writes=tuple(process.open_for_writing(stat.pid, outputs)),
                is_main=stat.pid == main_pid,
            )
        )
    return tuple(seen)


def look_at(pid: int) -> ProcessSeen | None:
    """One process, without a sample; None when there is no such process."""
    stat = process.read_stat(pid)
    if stat is None:
        return None
    return ProcessSeen(
        stat.pid,
        stat.parent,
        _shown_command(pid),
        stat.state,
        stat.cpu_ticks / process.TICKS_PER_S,
        rss_bytes=stat.rss_bytes,
        waits_in=_waits_in(pid),
    )


def _members(folder: RunFolder, supervisor_pid: int) -> list[process.Stat]:
    table = process.all_stats()
    marked = process.with_environ(b"OUTLAST_RUN=" + os.fsencode(folder.path), among=table)
    apart = set(process.with_environ(b"OUTLAST_DETACHED=1", among=table))
    children = _children(table.values())
    queue = [stat.pid for stat in children.get(supervisor_pid, ())] + sorted(marked)
    found: dict[int, process.Stat] = {}
    while queue:
        pid = queue.pop(0)
        if pid in found or pid in apart or pid == supervisor_pid or pid not in table:
            continue
        found[pid] = table[pid]
        queue += [stat.pid for stat in children.get(pid, ())]
    return [stat for stat in found.values() if stat.state != "Z"]


def _children(stats: Iterable[process.Stat]) -> Mapping[int, list[process.Stat]]:
    children: dict[int, list[process.Stat]] = {}
    for stat in stats:
        if stat.parent:
            children.setdefault(stat.parent, []).append(stat)
    return children


def _shown_command(pid: int) -> str:
    return " ".join(redacted(process.arguments_of(pid)))[:COMMAND_CHARS]


# Where a thread sleeps in the kernel, in words. The kernel's names carry suffixes (".constprop.0").
_PLACES = (
    (r"futex", "waits for a lock or for another thread"),
    (r"nanosleep", "sleeps"),
    (r"do_wait|wait4|waitid", "waits for a child process"),
    (r"pipe_(?:read|wait)|anon_pipe_read", "waits to read from a pipe"),
    (r"pipe_write|anon_pipe_write", "waits for the reader of a pipe"),
    (r"accept", "waits for a connection"),
    (r"sk_wait|wait_woken|skb_recv|skb_wait|tcp_|unix_stream", "waits for the network or a socket"),
    (r"ep_poll|epoll|poll_schedule|do_select|do_sys_poll", "waits for events"),
    (r"tty|n_tty_read", "waits for the keyboard"),
    (r"nfs|rpc_", "waits for a network file system"),
    (r"io_schedule|folio_wait|wait_on_page|blk_|jbd2|xfs_|ext4_", "waits for the disk"),
    (r"do_signal_stop|ptrace_stop", "is stopped"),
    (r"sigsuspend|sigtimedwait", "waits for a signal"),
    (r"unix_wait|fuse", "waits for another program"),
)
# Where wchan isn't told, the number of the system call is. x86-64 only.
_CALLS = {
    0: "waits to read",
    7: "waits for events",
    23: "waits for events",
    35: "sleeps",
    42: "waits for a connection",
    43: "waits for a connection",
    45: "waits for a socket",
    47: "waits for a socket",
    61: "waits for a child process",
    128: "waits for a signal",
    130: "waits for a signal",
    202: "waits for a lock or for another thread",
    230: "sleeps",
    232: "waits for events",
    247: "waits for a child process",
    270: "waits for events",
    271: "waits for events",
    281: "waits for events",
}


def _waits_in(pid: int) -> str:
    """What the main thread waits for, in words; "" when it runs or nobody tells."""
    place = _read_text(f"/proc/{pid}/wchan")
    if place and place != "0":
        bare = place.partition(".")[0]
        return next((words for name, words in _PLACES if re.search(name, place)), f"is in {bare}")
    call = _read_text(f"/proc/{pid}/syscall").split(" ")[0]
    if call.isdigit() and platform.machine() == "x86_64":
        return _CALLS.get(int(call), "")
    return ""


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:  # gone, or another user's
        return ""
