"""The log of a build: what is done, and every line of the programs that do it, as it comes.

Written to a run's journal `environment` (or a terminal), and to a file that stays beside the
environment. It also keeps the end of what a program said, since a reason for a failure is in there.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from typing import Callable, List, Mapping, NamedTuple, Optional, Sequence

_KEPT_BYTES = 64 << 10
_REASON_CHARS = 600
# From here on uv, conda and pip give the reason; before it they tell what they did.
_REASON = re.compile(
    r"^\s*(?:\u00d7|error:|Error:|ERROR:|\w*Error:|critical|CondaError)", re.MULTILINE
)
_FRAME = re.compile("[\u00d7\u2500-\u257f\u25b6]+")  # the lines that uv draws
_PASSWORD = re.compile(r"(\w+://)[^/\s@]+@")


class Done(NamedTuple):
    """How a program ended."""

    code: int  # negative: minus the signal
    text: str  # the end of what it printed
    is_late: bool = False  # it was ended after its time

    @property
    def reason(self) -> str:
        """Why it failed, in its own words, on one line."""
        text = self.text.strip()
        starts = [found.start() for found in _REASON.finditer(text)]
        text = text[starts[0] :] if starts else "\n".join(text.splitlines()[-5:])
        words = " ".join(_FRAME.sub(" ", text).split())
        for label in ("error: ", "Error: ", "ERROR: "):
            words = words[len(label) :] if words.startswith(label) else words
        words = words.replace(" cause: ", ": ")
        if not words:
            words = f"it ended with code {self.code}, without a word"
        return words if len(words) <= _REASON_CHARS else words[: _REASON_CHARS - 1] + "…"


class Log:
    """Where a build tells what it does."""

    def __init__(self, fd: int, told: Optional[Callable[[str], None]] = None) -> None:
        """Lines go to `fd`; `told` gets each sentence of ours as well."""
        self._fds = [fd]
        self._told = told

    def copy_to(self, path: str) -> int:
        """From now on write into this file too; returns what `uncopy` takes."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fds.append(os.open(path, flags, 0o600))
        return self._fds[-1]

    def uncopy(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def say(self, text: str) -> None:
        """One line of our own."""
        self._write(text.encode("utf-8", "replace") + b"\n")
        if self._told is not None:
            self._told(text)

    def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        folder: str = "/",
        within_s: float = 0.0,
        is_quiet: bool = False,
    ) -> Done:
        """Run a program to its end, or for `within_s` seconds at most.

        What it prints is logged, unless `is_quiet`: then it is only returned.
        """
        if not is_quiet:
            shown = _PASSWORD.sub(r"\1…@", " ".join(command))
            self._write(b"+ " + shown.encode("utf-8", "replace") + b"\n")
        until_s = time.monotonic() + within_s if within_s else 0.0
        with subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if is_quiet else subprocess.STDOUT,
            env=dict(environ),
            cwd=folder,
        ) as program:
            assert program.stdout is not None, "a pipe was asked for"
            if is_quiet:
                return _finished(program, within_s)
            try:
                text, is_late = self._follow(program.stdout.fileno(), until_s)
            except BaseException:  # this process is asked to end: so is what it waits for
                program.kill()
                raise
            if is_late:
                program.kill()
            return Done(program.wait(), text.decode("utf-8", "replace"), is_late)

    def _follow(self, fd: int, until_s: float) -> tuple[bytes, bool]:
        pieces: List[bytes] = []
        while True:
            if until_s:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
                    return b"".join(pieces)[-_KEPT_BYTES:], True
            piece = os.read(fd, 1 << 16)
            if not piece:
                return b"".join(pieces)[-_KEPT_BYTES:], False
            self._write(piece)
            pieces = [b"".join(pieces)[-_KEPT_BYTES:], piece]

    def _write(self, data: bytes) -> None:
        for fd in self._fds:
            rest = data
            while rest:
                rest = rest[os.write(fd, rest) :]


def _finished(program: subprocess.Popen[bytes], within_s: float) -> Done:
    try:
        told, complaint = program.communicate(timeout=within_s or None)
    except subprocess.TimeoutExpired:
        program.kill()
        told, complaint = program.communicate()
        return Done(-signal.SIGKILL, (told + complaint).decode("utf-8", "replace"), True)
    text = told if program.returncode == 0 else told + complaint
    return Done(program.returncode, text.decode("utf-8", "replace"))
