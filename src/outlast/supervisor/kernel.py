"""What Linux offers and Python's os module doesn't, or not in every version.

Each function is one system call. ctypes is imported when the first of them is used.
"""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple, Optional, Tuple

from outlast import process

_SET_CHILD_SUBREAPER = 36
# System call numbers by machine; the rest do without what they stand for.
_WAITID = {"x86_64": 247, "aarch64": 95}
_MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}
_PIDFD_OPEN = 434  # the same on every machine but alpha
_MFD_CLOEXEC = 1
_SPLICE_NONBLOCK = 2
_KEEP_SIZE = 1
_PUNCH_HOLE = 2
_P_PID = 1
_SIGINFO_BYTES = 128
_RUSAGE_BYTES = 144

_libc: Any = None


class Exit(NamedTuple):
    """How a child ended."""

    code: Optional[int]  # None when a signal ended it
    signal: Optional[int]
    has_core: bool
    cpu_s: float = 0.0
    max_rss_bytes: int = 0


def become_subreaper() -> None:
    """From now on, orphaned descendants become children of this process. Raises OSError."""
    if _c().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def open_pidfd(pid: int) -> int:
    """A descriptor that becomes readable when the process ends. Raises OSError."""
    python_39 = getattr(os, "pidfd_open", None)
    if python_39 is not None:
        return int(python_39(pid))
    fd = int(_c().syscall(_PIDFD_OPEN, pid, 0))
    if fd < 0:
        raise OSError(_errno(), os.strerror(_errno()))
    return fd


def peek_exit(pid: int) -> Optional[Exit]:
    """How the child `pid` ended, leaving it unreaped; None while it runs.

    Whoever asks next, even after the death of this process, learns the same.
    Raises ChildProcessError when `pid` is no child of this process.
    """
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    cpu_s, max_rss_bytes = _usage(pid)
    if found.si_code == os.CLD_EXITED:
        return Exit(found.si_status, None, False, cpu_s, max_rss_bytes)
    return Exit(None, found.si_status, found.si_code == os.CLD_DUMPED, cpu_s, max_rss_bytes)


def status_of_stranger(pid: int, pidfd: int) -> Optional[int]:
    """The wait status of an ended process that isn't a child; None when it can't be learnt (yet).

    While nobody has reaped it, /proc tells (field 52 of stat); afterwards Linux 6.15 and newer do.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        fields = []
    if fields[:1] == [b"Z"] and len(fields) >= 50:
        return int(fields[49])
    return process.wait_status(pidfd)


def splice(source: int, target: int, size_bytes: int) -> int:
    """Move bytes from or into a pipe without a copy here; how many, 0 at the end of `source`.

    What was moved when this process is killed is in `target`, all else still in `source`. Raises
    OSError: BlockingIOError when nothing can be moved now, EINVAL where the kernel can't.
    """
    python_310 = getattr(os, "splice", None)
    if python_310 is not None:
        return int(python_310(source, target, size_bytes, flags=_SPLICE_NONBLOCK))
    moved = int(_c().splice(source, None, target, None, size_bytes, _SPLICE_NONBLOCK))
    if moved < 0:
        raise OSError(_errno(), os.strerror(_errno()))
    return moved


def memory_file(name: str) -> int:
    """A file that has no name and no disk, and lives as long as a descriptor. Raises OSError."""
    python_38 = getattr(os, "memfd_create", None)
    if python_38 is not None:
        return int(python_38(name, _MFD_CLOEXEC))
    number = _MEMFD_CREATE.get(os.uname().machine, -1)
    fd = int(_c().syscall(number, name.encode(), _MFD_CLOEXEC))
    if fd < 0:
        raise OSError(_errno(), os.strerror(_errno()))
    return fd


def punch(fd: int, start: int, size_bytes: int) -> None:
    """Give back a part of a file; its size stays. Raises OSError."""
    _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, size_bytes)


def reserve(fd: int, start: int, size_bytes: int) -> None:
    """Set room aside for a part of a file, beyond its end too; its size stays.

    Raises OSError: ENOSPC and the like, or EOPNOTSUPP where no room can be set aside.
    """
    _fallocate(fd, _KEEP_SIZE, start, size_bytes)


def _fallocate(fd: int, mode: int, start: int, size_bytes: int) -> None:
    import ctypes

    call = getattr(_c(), "fallocate64", None) or _c().fallocate
    if call(fd, mode, ctypes.c_int64(start), ctypes.c_int64(size_bytes)) != 0:
        raise OSError(_errno(), os.strerror(_errno()))


def exit_of(status: int) -> Exit:
    """What a wait status says."""
    if os.WIFSIGNALED(status):
        return Exit(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return Exit(os.WEXITSTATUS(status), None, False)


def _usage(pid: int) -> Tuple[float, int]:
    """CPU seconds and peak memory of an ended child; zeros where the kernel can't be asked.

    The system call has a fifth argument that neither libc nor Python offers.
    """
    number = _WAITID.get(os.uname().machine)
    if number is None:
        return 0.0, 0
    import ctypes

    info = ctypes.create_string_buffer(_SIGINFO_BYTES)
    usage = ctypes.create_string_buffer(_RUSAGE_BYTES)
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    if _c().syscall(number, _P_PID, pid, info, options, usage) != 0:
        return 0.0, 0
    user_s, user_us, system_s, system_us, max_rss_kb = struct.unpack_from("5l", usage.raw)
    return user_s + system_s + (user_us + system_us) / 1e6, max_rss_kb * 1024


def _c() -> Any:
    global _libc
    if _libc is None:
        import ctypes

        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()
