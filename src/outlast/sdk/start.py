"""Start the workspace's server when there is none, and wait until it answers.

The server leaves this process's session and group, and carries OUTLAST_DETACHED, so that a job that
starts one doesn't wait for it to end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from outlast.errors import Unreachable
from outlast.transport.connection import Address, find

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
# The exit code of a second server on one workspace: another client started one just now.
ALREADY_RUNNING = 75


def start(home: Path, flags: list[str] | None = None) -> Address:
    """The server of this workspace, started if need be; ready to answer when this returns.

    Raises Unreachable with the end of its log when it stops while starting.
    """
    found = find(home)
    if found is not None:
        return found
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = home / "server.log"
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "outlast.server", "--home", str(home), *(flags or [])],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=_environ(),
            start_new_session=True,
        )
    return _wait_ready(home, process, log, begin)


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_RUN")}
    return {**kept, "OUTLAST_DETACHED": "1"}


def _wait_ready(home: Path, process: subprocess.Popen[bytes], log: Path, begin: int) -> Address:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        found = find(home)
        if found is not None:
            # Not ours to wait for any more: it outlives this process.
            process.returncode = 0 if found.pid == process.pid else process.returncode
            return found
        if process.poll() not in (None, ALREADY_RUNNING):
            break
        time.sleep(0.02)  # the server tells by a file that it is ready; there is nothing to wait on
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read()[-2000:].decode("utf-8", "replace").strip()
    raise Unreachable(
        f"the server didn't start: {said or 'it said nothing'}", hint=f"outlast up  (log: {log})"
    )


def stop(home: Path) -> bool:
    """Stop the workspace's server and wait until it is gone; False when there is none.

    Runs go on. Raises Unreachable when it doesn't end within STOP_TIMEOUT_S.
    """
    found = find(home)
    if found is None:
        return False
    pidfd = os.pidfd_open(found.pid)
    try:
        os.kill(found.pid, signal.SIGTERM)
        if not select.select([pidfd], [], [], STOP_TIMEOUT_S)[0]:
            raise Unreachable(
                f"the server (pid {found.pid}) didn't end within {STOP_TIMEOUT_S:g} s",
                hint=f"kill -9 {found.pid}  (runs go on)",
            )
    finally:
        os.close(pidfd)
    return True
