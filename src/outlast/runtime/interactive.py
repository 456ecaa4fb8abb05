"""Interactive runs: a folder made by the script itself, and a supervisor that watches its owner.

No server is needed: one that runs notices the new folder, one that starts later finds it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, List, Mapping, Optional, Sequence

from outlast.errors import Conflict, Unreachable
from outlast.ids import check_run_id, new_run_id
from outlast.process import Identity
from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec

# complete() must return within 2 s; what the supervisor hasn't done by then it does by itself.
FINISH_TIMEOUT_S = 1.8

# Supervisors that are told to finish and still do.
_ending: List[Any] = []


class Watcher:
    """The supervisor that watches this process for one interactive run."""

    def __init__(self, folder: RunFolder, process: Any) -> None:
        self.folder = folder
        self.owner_pid = os.getpid()
        self._process = process

    def finish(self, how: str, message: str, facts: Mapping[str, Any]) -> None:
        """Tell that the owner is done; return when the end is recorded, or after 1.8 s.

        A supervisor that can't be reached in this time finds the end record in the journal.
        """
        request = {"op": "finish", "how": how, "message": message, "facts": dict(facts)}
        deadline = time.monotonic() + FINISH_TIMEOUT_S
        while not os.path.exists(self.folder.file(names.SOCKET)):
            # It is still starting; it tells nobody when it is ready.
            if self._process.poll() is not None or time.monotonic() > deadline:
                return
            time.sleep(0.005)
        ask(self.folder, request, timeout_s=max(0.1, deadline - time.monotonic()))
        _leave(self._process)


def _leave(process: Any) -> None:
    """Let a supervisor end by itself; those that have ended are reaped in passing."""
    _ending.append(process)
    _ending[:] = [other for other in _ending if other.poll() is None]


def default_home() -> str:
    """The workspace's folder: OUTLAST_HOME, else ~/.outlast."""
    return os.environ.get("OUTLAST_HOME") or os.path.expanduser("~/.outlast")


def begin(
    home: str,
    *,
    name: str = "",
    experiment: str = "default",
    parent: Optional[str] = None,
    run_id: Optional[str] = None,
    tags: Optional[Mapping[str, Optional[str]]] = None,
    outputs: Sequence[Any] = (),
) -> Watcher:
    """Make the folder of an interactive run owned by this process, and start its supervisor.

    Raises Invalid for bad names, Conflict when the id is taken; nothing was made then.
    """
    spec = RunSpec.from_dict(
        {
            "id": run_id or new_run_id(),
            "experiment": experiment,
            "name": name,
            "kind": "interactive",
            "source": {"kind": "in_place", "folder": os.getcwd()},
            "tags": dict(tags or {}),
            "outputs": list(outputs),
            "parent": parent,
            "created_ns": time.time_ns(),
            "created_by": _user(),
        }
    )
    folder = _make(home, spec)
    return Watcher(folder, _watch(folder))


def experiment_of(folder: RunFolder) -> str:
    """The experiment of the run in this folder."""
    try:
        with open(folder.file(names.SPEC)) as file:
            return str(json.load(file)["experiment"])
    except (OSError, ValueError, KeyError):  # a run on another node may hide its spec
        return "default"


def stop(folder: RunFolder, reason: str) -> bool:
    """Ask the run's supervisor to end it."""
    return ask(folder, {"op": "stop", "reason": reason})


def ask(
    folder: RunFolder, request: Mapping[str, Any], *, timeout_s: float = FINISH_TIMEOUT_S
) -> bool:
    """One request to the run's supervisor; False when it doesn't answer in time."""
    from outlast.supervisor.control import ask as ask_supervisor

    try:
        ask_supervisor(folder, dict(request), timeout_s=timeout_s)
    except Unreachable:
        return False
    return True


def _make(home: str, spec: RunSpec) -> RunFolder:
    runs = os.path.join(os.path.abspath(home), "runs")
    os.makedirs(runs, mode=0o700, exist_ok=True)
    folder = RunFolder(os.path.join(runs, check_run_id(spec.id)))
    # Made whole under a name that nobody reads, so that a server never meets a run without a spec.
    making = os.path.join(runs, f".making-{spec.id}-{os.getpid()}")
    os.mkdir(making, 0o700)
    with open(os.path.join(making, names.SPEC), "w") as file:
        json.dump(spec.to_dict(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.rename(making, folder.path)
    except OSError:
        os.unlink(os.path.join(making, names.SPEC))
        os.rmdir(making)
        raise Conflict(f"id = {spec.id!r}: there is such a run already") from None
    return folder


def _watch(folder: RunFolder) -> Any:
    import subprocess

    me = Identity.of(os.getpid())
    assert me is not None, "this process is in /proc"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = os.path.join(root, "supervisor", "__main__.py")
    command = [
        sys.executable,
        "-I",
        "-S",
        program,
        folder.path,
        "--attempt",
        "1",
        "--mode",
        "watch",
    ]
    command += ["--owner", str(me.pid), str(me.start_ticks)]
    pidfd = _own_pidfd()
    command += ["--owner-fd", str(pidfd)] if pidfd >= 0 else []
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OUTLAST_RUN")}
    try:
        with open(folder.file(names.SUPERVISOR_LOG), "ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environ, "OUTLAST_DETACHED": "1"},
                start_new_session=True,
                pass_fds=(pidfd,) if pidfd >= 0 else (),
            )
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def _own_pidfd() -> int:
    """Tells how this process ends, even to a supervisor that starts after that; -1: no pidfds."""
    from outlast.supervisor.kernel import open_pidfd

    try:
        return open_pidfd(os.getpid())
    except OSError:
        return -1


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return str(os.getuid())
