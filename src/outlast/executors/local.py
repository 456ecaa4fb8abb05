"""Runs on this machine: a supervisor is a process of its own session.

It shares nothing with the server: no descriptor, no variable, no session, and under systemd no
unit, so that a restart of the server's unit doesn't end it. Whether a run is supervised is read
from /proc, never from what this object remembers: a restarted server sees the same.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from outlast import process
from outlast.errors import Unreachable
from outlast.executors.executor import ALIVE, GONE, REBOOTED, Mode, Sight
from outlast.process import Identity
from outlast.run.folder import LEASE, SUPERVISOR_LOG, RunFolder
from outlast.supervisor import control

_log = logging.getLogger(__name__)

# All that a supervisor gets from here; the job's own environment stands in launch.json. A Python
# outside the system's folders may need the fourth to start at all.
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER")
# What systemd-run needs to find the user's own systemd.
_SYSTEMD_VARIABLES = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
_ANSWER_S = 3.0  # a supervisor answers within a millisecond unless it is stopped
_PROBE_S = 5.0
_KILL_S = 2.0  # what is left by then sits in the kernel


class LocalExecutor:
    """Starts supervisors as processes of this machine."""

    name = "local"

    def __init__(self, kit: str, *, python: str = sys.executable) -> None:
        """`kit` is the folder that `executors.kit.stage` returned."""
        self._main = str(Path(kit, "outlast", "supervisor", "__main__.py"))
        self._python = python
        self._children: set[int] = set()

    def launch(self, folder: RunFolder, attempt: int, *, mode: Mode = "command") -> Identity:
        arguments = [*_scope(folder), self._python, "-I", "-S", self._main, folder.path]
        arguments += ["--attempt", str(attempt), "--mode", mode]
        try:
            log = os.open(
                folder.file(SUPERVISOR_LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
            )
            try:
                started = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=_environ(),
                    start_new_session=True,
                    umask=0o077,
                )
            finally:
                os.close(log)
        except OSError as error:
            raise Unreachable(
                f"the supervisor can't be started: {error.strerror or error}"
            ) from error
        identity = Identity.of(started.pid)  # ours until reaped, so it is there
        if identity is None:
            raise Unreachable(f"the supervisor (pid {started.pid}) vanished as it was started")
        # It is reaped by its number; the object would complain about a child that goes on.
        started.returncode = 0
        self._children.add(started.pid)
        return identity

    def poll(self, folder: RunFolder, supervisor: Identity | None) -> Sight:
        heartbeat_ns = heartbeat_of(folder)
        if supervisor is not None:
            if supervisor.boot_id != process.boot_id():
                return Sight(REBOOTED, None, heartbeat_ns)
            if supervisor.is_alive():
                return Sight(ALIVE, supervisor, heartbeat_ns)
        for pid in supervisors_of(folder):
            other = Identity.of(pid)
            if other is not None and other.is_alive():
                return Sight(ALIVE, other, heartbeat_ns)
        return Sight(GONE, None, heartbeat_ns)

    def stop(self, folder: RunFolder, reason: str, *, force: bool = False) -> bool:
        request = {"op": "stop", "reason": reason, "force": force}
        try:
            control.ask(folder, request, timeout_s=_ANSWER_S)
        except Unreachable:
            # A supervisor that doesn't listen yet has nothing to kill, and everything to start.
            return force and self._kill(folder) and not supervisors_of(folder)
        return True

    def remains(self, folder: RunFolder) -> list[int]:
        supervising = set(supervisors_of(folder))
        own = process.with_environ(_entry(folder))
        return [pid for pid in own if pid not in supervising and _is_job(pid)]

    def reap(self) -> None:
        for pid in list(self._children):
            try:
                is_reaped = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                is_reaped = True
            if is_reaped:
                self._children.discard(pid)

    def explain(self, folder: RunFolder, supervisor: Identity | None) -> str:
        sight = self.poll(folder, supervisor)
        if sight.found == REBOOTED:
            return "the machine was started anew since; nothing of the run can be left"
        if sight.supervisor is None:
            return "no supervisor of this run is alive on this machine"
        stat = process.read_stat(sight.supervisor.pid)
        is_stopped = stat is not None and stat.state in "Tt"
        doing = "is stopped (by SIGSTOP or a debugger)" if is_stopped else "is alive"
        return f"its supervisor (pid {sight.supervisor.pid}) {doing}"

    def _kill(self, folder: RunFolder) -> bool:
        """End the run's processes without its supervisor; True when none is left.

        A stopped supervisor is woken: it then sees that everything ended, and says so.
        """
        for pid in supervisors_of(folder):
            _wake(pid)
        until_s = time.monotonic() + _KILL_S
        # Again until a look finds nothing: a process may start another before the signal comes.
        while pids := self.remains(folder):
            if time.monotonic() > until_s:
                return False
            for pid in pids:
                _kill_one(pid, _entry(folder), until_s)
        return True


def heartbeat_of(folder: RunFolder) -> int:
    """The mtime of the run's lease in nanoseconds; 0 when there is none."""
    try:
        return os.stat(folder.file(LEASE)).st_mtime_ns
    except OSError:
        return 0


def supervisors_of(folder: RunFolder) -> list[int]:
    """The live processes whose command line says that they supervise this folder."""
    return [pid for pid, path in supervised_folders().items() if path == folder.path]


def supervised_folders() -> dict[int, str]:
    """Every live supervisor of this machine that this user may see, with its run's folder.

    One look costs about 20 us a process; a zombie has no command line and so is none.
    """
    found = {}
    for pid in process.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read(8192).split(b"\0")
        except OSError:
            continue
        for index, argument in enumerate(arguments[:-1]):
            if argument.endswith(b"outlast/supervisor/__main__.py") or (
                argument == b"outlast.supervisor"
            ):
                found[pid] = os.fsdecode(arguments[index + 1])
                break
    return found


def _is_job(pid: int) -> bool:
    """Alive, and not one of Outlast's own that merely inherited the entry."""
    stat = process.read_stat(pid)
    if stat is None or stat.state == "Z":
        return False
    return not process.with_environ(b"OUTLAST_DETACHED=1", among=(pid,))


def _entry(folder: RunFolder) -> bytes:
    return b"OUTLAST_RUN=" + os.fsencode(folder.path)


def _wake(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)


def _kill_one(pid: int, entry: bytes, until_s: float) -> None:
    """KILL this process if it is (still) one of the run's, and wait until it is dead."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Asked after opening: the number may have come to belong to another process.
        if process.with_environ(entry, among=(pid,)):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            dead = select.poll()
            dead.register(fd, select.POLLIN)
            dead.poll(max(0.0, until_s - time.monotonic()) * 1000)
    except ProcessLookupError:
        return
    except PermissionError:
        _log.warning("a process of the run may not be killed pid=%d", pid)
    finally:
        os.close(fd)


def _environ() -> dict[str, str]:
    names = KEPT_VARIABLES + (_SYSTEMD_VARIABLES if _is_in_unit() else ())
    environ = {name: os.environ[name] for name in names if name in os.environ}
    environ["OUTLAST_DETACHED"] = "1"
    return environ


def _is_in_unit() -> bool:
    return "INVOCATION_ID" in os.environ


def _scope(folder: RunFolder) -> list[str]:
    """The words before the command that give it a systemd scope of its own, where that is needed.

    systemd ends everything in a unit's cgroup when the unit is restarted; own sessions don't help.
    """
    if not _is_in_unit() or not _can_scope():
        return []
    return [*_systemd_run(), f"--description=Outlast run {folder.run_id}", "--"]


def _systemd_run() -> list[str]:
    user = () if os.geteuid() == 0 else ("--user",)
    return ["systemd-run", *user, "--scope", "--quiet", "--collect"]


@functools.cache
def _can_scope() -> bool:
    try:
        probe = subprocess.run(
            [*_systemd_run(), "--", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
            env=_environ(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    else:
        if probe.returncode == 0:
            return True
        problem = probe.stderr.decode("utf-8", "replace").strip()
    _log.warning("systemd-run does not work: a restart of this unit will end its runs: %s", problem)
    return False
