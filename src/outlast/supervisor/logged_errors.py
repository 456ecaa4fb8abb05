"""Errors that a job logged in its output: tracebacks, and lines of level ERROR or CRITICAL.

The output is searched in windows, so memory stays flat; a line without such a word costs one pass
of bytes.find. A level counts when it stands as a word among a line's first 200 bytes.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple

from outlast.errors import JournalError
from outlast.journal.trim import first_offset

_WINDOW_BYTES = 1 << 20
_HEAD_BYTES = 200
_TRACEBACK = b"Traceback (most recent call last)"
_LEVELS = (b"ERROR", b"CRITICAL")
_SHOWN_CHARS = 300
_TRACE_BYTES = 64 << 10
# Beyond this many the rest is only counted, so that an output of nothing but errors costs no more.
_JUDGED = 10_000


class LoggedErrors(NamedTuple):
    """What was found; offsets are the output's."""

    found: int = 0
    first_offset: int = 0
    last_offset: int = 0
    last_line: str = ""

    def facts(self) -> Dict[str, Any]:
        """For the facts of an `ended` event; {} when there were none."""
        return {"logged_errors": self._asdict()} if self.found else {}


def find(path: str, start: int) -> LoggedErrors:
    """The errors in the output from offset `start` on; none when it can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return LoggedErrors()
    try:
        return _find(fd, max(start, _first(path)))
    finally:
        os.close(fd)


def _first(path: str) -> int:
    try:
        return first_offset(path)  # what retention has dropped is a hole
    except JournalError:
        return 0


def _find(fd: int, start: int) -> LoggedErrors:
    lines: List[int] = []  # where the first and the last such line begin
    count, at = 0, start
    while True:
        window = os.pread(fd, _WINDOW_BYTES, at)
        is_last = len(window) < _WINDOW_BYTES
        # A line that is cut by the window's edge belongs to the next one.
        end = len(window) if is_last else window.rfind(b"\n") + 1 or len(window)
        if count < _JUDGED:
            found = _error_lines(window, end)
            count += len(found)
            lines = [*lines[:1], *(at + line for line in found[:1] + found[-1:])]
            lines = lines[:1] + lines[-1:]
        else:
            last = max(window.rfind(word, 0, end) for word in (_TRACEBACK, *_LEVELS))
            count += sum(window.count(word, 0, end) for word in (_TRACEBACK, *_LEVELS))
            lines = lines[:1] + ([at + _line_start(window, last)] if last >= 0 else lines[-1:])
        if is_last:
            break
        at += end
    if not count:
        return LoggedErrors()
    return LoggedErrors(count, lines[0], lines[-1], _last_line(fd, lines[-1]))


def _error_lines(window: bytes, end: int) -> List[int]:
    """Where in the window the lines begin that tell an error, each once."""
    found = set()
    at = window.find(_TRACEBACK, 0, end)
    while at >= 0:
        line = _line_start(window, at)
        if not _follows_level(window, line):
            found.add(line)
        at = window.find(_TRACEBACK, at + 1, end)
    for level in _LEVELS:
        at = window.find(level, 0, end)
        while at >= 0:
            line = _line_start(window, at)
            if at - line <= _HEAD_BYTES and _is_word(window, at, at + len(level)):
                found.add(line)
            at = window.find(level, at + 1, end)
    return sorted(found)


def _line_start(window: bytes, at: int) -> int:
    return window.rfind(b"\n", 0, at) + 1


def _follows_level(window: bytes, line: int) -> bool:
    """Is this traceback the second line of a message that counts already?"""
    before = window[_line_start(window, line - 1) : line] if line else b""
    return any(level in before[:_HEAD_BYTES] for level in _LEVELS)


def _is_word(window: bytes, start: int, end: int) -> bool:
    before, after = window[start - 1 : start] if start else b"", window[end : end + 1]
    return not before.isalnum() and not after.isalnum() and b"_" not in (before, after)


def _last_line(fd: int, offset: int) -> str:
    """The line to show: of a traceback, the one that names the exception."""
    text = os.pread(fd, _TRACE_BYTES, offset).decode("utf-8", "replace")
    lines = text.split("\n")
    shown = lines[0]
    start = next((i for i, line in enumerate(lines[:2]) if _TRACEBACK.decode() in line), -1)
    if start >= 0:
        told = (line for line in lines[start + 1 :] if line and not line.startswith(" "))
        shown = next(told, shown)
    return shown.strip()[:_SHOWN_CHARS]
