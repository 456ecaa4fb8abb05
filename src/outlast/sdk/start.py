"""Start the workspace's server when there is none, and wait until it answers.

Of many clients that want one at the same time, one starts it and the others wait for that: a lock
in the workspace, beside the server's own, which decides in the end. The server leaves its starter's
session and group, and carries OUTLAST_DETACHED, so that a job that starts one doesn't wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from outlast.errors import Invalid, Unreachable
from outlast.transport.address import Address, find

if TYPE_CHECKING:
    import subprocess

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
# The server tells by a file that it is ready, and the lock by being free: looked at so often.
LOOK_S = 0.02
# The exit code of a second server on one workspace: another one starts, or is still stopping.
ALREADY_RUNNING = 75
LOCK = "starting.lock"
SAID_CHARS = 2000


def start(home: Path, flags: list[str] | None = None) -> Address:
    """The server of this workspace, started if need be; ready to answer when this returns.

    Raises Unreachable with the end of its log when it stops while starting, Invalid when the
    folder can't be made.
    """
    found = find(home)
    if found is not None:
        return found
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + READY_TIMEOUT_S
        with _turn(home, deadline):
            return find(home) or _start(home, flags or [], deadline)
    except OSError as error:
        remedy = f"it can't be used as a workspace ({error.strerror}); set OUTLAST_HOME"
        raise Invalid.field("home", str(home), remedy) from None


@contextlib.contextmanager
def _turn(home: Path, deadline: float) -> Iterator[None]:
    """One starter at a time; when one takes too long, the next goes on without waiting for it."""
    fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while time.monotonic() < deadline and find(home) is None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOOK_S)
        yield
    finally:
        os.close(fd)


def _start(home: Path, flags: list[str], deadline: float) -> Address:
    log = home / "server.log"
    begin = log.stat().st_size if log.exists() else 0
    process = _spawn(home, flags, log)
    while time.monotonic() < deadline:
        found = find(home)
        if found is not None:
            # Not ours to wait for any more: it outlives this process.
            process.returncode = process.poll() or 0
            return found
        code = process.poll()
        if code == ALREADY_RUNNING:
            # Another has the workspace: it will be ready soon, or it is about to stop.
            time.sleep(10 * LOOK_S)
            if find(home) is None:
                process = _spawn(home, flags, log)
        elif code is not None:
            break
        time.sleep(LOOK_S)
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read()[-SAID_CHARS:].decode("utf-8", "replace").strip()
    raise Unreachable(
        f"the server didn't start: {said or 'it said nothing'}", hint=f"outlast up   (log: {log})"
    )


def _spawn(home: Path, flags: list[str], log: Path) -> subprocess.Popen[bytes]:
    import subprocess  # only who starts a server pays for it

    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "outlast.server", "--home", str(home), *flags],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=_environ(),
            start_new_session=True,
        )


def _environ() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OUTLAST_RUN") and name != "OUTLAST_TOKEN"
    }
    return {**kept, "OUTLAST_DETACHED": "1"}


def stop(home: Path) -> bool:
    """Stop the workspace's server and wait until it is gone; False when there is none.

    Runs go on. Raises Unreachable when it doesn't end within STOP_TIMEOUT_S.
    """
    found = find(home)
    if found is None:
        return False
    try:
        pidfd = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return True
    try:
        # By the descriptor, not the number: the number may be another process's by now.
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], STOP_TIMEOUT_S)[0]:
            raise Unreachable(
                f"the server (pid {found.pid}) didn't end within {STOP_TIMEOUT_S:g} s",
                hint=f"kill -9 {found.pid}   (runs go on)",
            )
    except ProcessLookupError:
        pass  # it ended just now
    finally:
        os.close(pidfd)
    return True
