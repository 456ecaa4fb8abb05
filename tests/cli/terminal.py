"""The command line as a user has it: in a pipe, or in a terminal of 80 columns with Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

TIMEOUT_S = 40.0
CTRL_C = b"\x03"
COMMAND = [sys.executable, "-m", "outlast"]


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Piped:
    """Runs verbs with pipes, in one workspace."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def __call__(self, *arguments: str, **variables: str) -> Done:
        done = subprocess.run(
            [*COMMAND, *arguments], env={**self.environ, **variables}, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Still running; use it in a `with`."""
        return subprocess.Popen(
            [*COMMAND, *arguments], env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


class Terminal:
    """One verb in a terminal: stdin, stdout and stderr are it."""

    def __init__(self, environ: Mapping[str, str], *arguments: str, columns: int = 80) -> None:
        self.seen = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                os.execve(sys.executable, [*COMMAND, *arguments], dict(environ))
            finally:
                os._exit(127)
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.code: int | None = None

    def until(self, text: str) -> str:
        """Everything seen once `text` is there; fails when the verb ends or takes too long."""
        deadline = time.monotonic() + TIMEOUT_S
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.seen.decode()}"
            assert self._read(deadline), f"it ended without {text!r}: {self.seen.decode()}"
        return self.text

    @property
    def text(self) -> str:
        return self.seen.decode().replace("\r\n", "\n")

    def press(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._read(deadline):
            pass
        self._reap()
        assert self.code is not None
        return self.code

    def hang_up(self) -> None:
        """Close the terminal, as a window is closed; returns once the verb is gone."""
        os.close(self.fd)
        self.fd = -1
        self._reap()

    def close(self) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._reap()
        if self.fd >= 0:
            os.close(self.fd)

    def _reap(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)

    def _read(self, deadline: float) -> bool:
        if not select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"it takes too long: {self.seen.decode()}")
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.seen += data
        return bool(data)


@contextlib.contextmanager
def terminal(environ: Mapping[str, str], *arguments: str, columns: int = 80) -> Iterator[Terminal]:
    opened = Terminal(environ, *arguments, columns=columns)
    try:
        yield opened
    finally:
        opened.close()
