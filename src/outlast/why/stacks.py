"""What each thread of a silent Python process does, by py-spy (the extra `outlast[pyspy]`).

py-spy reads the memory of the process from outside and doesn't stop it (--nonblocking), so a stack
may now and then be unreadable. It needs the right to trace: the same user and a permissive
ptrace_scope, or root.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

DUMP_S = 5.0
TRIES = 2  # a thread that moves while it is read


class PythonThread(NamedTuple):
    """One thread, innermost frame first."""

    name: str
    is_idle: bool
    frames: tuple[str, ...]  # "recv (socket.py:123)"


def py_spy() -> str | None:
    """The path of the py-spy program, of this installation first; None when there is none."""
    own = Path(sysconfig.get_path("scripts")) / "py-spy"
    return str(own) if own.exists() else shutil.which("py-spy")


def dump(program: str, pid: int) -> tuple[str, str]:
    """The stacks of a process as py-spy writes them, and "", or "" and why not (a sentence)."""
    problem = ""
    for _ in range(TRIES):
        try:
            done = subprocess.run(
                [program, "dump", "--nonblocking", "--pid", str(pid)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=DUMP_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return "", f"py-spy could not look at process {pid}: {error}"
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace"), ""
        problem = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
    return "", f"py-spy could not look at process {pid}: {problem}"


_THREAD = re.compile(r'^Thread [^ ]+ \((?P<state>[^)]*)\)(?:: "(?P<name>.*)")?')


def threads(text: str) -> tuple[PythonThread, ...]:
    """The threads in what `dump` gave."""
    found: list[PythonThread] = []
    for line in text.splitlines():
        begin = _THREAD.match(line)
        if begin:
            found.append(PythonThread(begin["name"] or "a thread", "idle" in begin["state"], ()))
        elif found and line.startswith("    ") and not line.startswith("     "):
            found[-1] = found[-1]._replace(frames=(*found[-1].frames, line.strip()))
    return tuple(found)


_OWN = re.compile(r"\((?!.*(?:site-packages|/lib/python\d|<frozen)).*\)$")
# py-spy shortens paths: of the standard library only the file's name is left.
_STANDARD = frozenset(
    (
        "threading.py", "queue.py", "socket.py", "ssl.py", "selectors.py", "subprocess.py",
        "connection.py", "popen_fork.py", "popen_spawn_posix.py", "process.py", "pool.py",
        "base_events.py", "runners.py", "_base.py", "thread.py", "client.py", "request.py",
        "util.py", "synchronize.py",
    )
)  # fmt: skip


def own_frame(thread: PythonThread) -> str:
    """The innermost frame that isn't of the standard library, as far as names tell; "" if none."""
    for frame in thread.frames:
        file = frame.rpartition("(")[2].partition(":")[0]
        if _OWN.search(frame) and file.rpartition("/")[2] not in _STANDARD:
            return frame
    return ""
