"""Which files of a source folder are known by content already, so that they needn't be read again.

A file is the same when inode, size, mtime and ctime are (no program can set a ctime). A file that
was touched in the last two seconds isn't remembered: it may change again within one tick of the
clock and look the same. Losing this memory costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from hashlib import sha256
from typing import NamedTuple

_FORMAT = 1
_SETTLED_NS = (
    2_000_000_000  # FAT counts in steps of two seconds; ticks and network clocks are finer
)


class _Known(NamedTuple):
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


class Unchanged:
    """The memory of one source folder, in one small file below `memory_folder`."""

    def __init__(self, memory_folder: str, source: str) -> None:
        name = sha256(os.fsencode(os.path.realpath(source))).hexdigest()[:24]
        self._file = os.path.join(memory_folder, f"{name}.json")
        self._before = _load(self._file)
        self._now: dict[str, _Known] = {}

    def sha256(self, path: str, found: os.stat_result) -> str | None:
        """The content of this file if it is as it was, else None."""
        known = self._before.get(path)
        if known is None or known[:4] != _seen(found):
            return None
        self._now[path] = known
        return known.sha256

    def remember(self, path: str, found: os.stat_result, content: str) -> None:
        """Note what a file holds; `found` is as it was both before and after it was read."""
        if max(found.st_mtime_ns, found.st_ctime_ns) + _SETTLED_NS < time.time_ns():
            self._now[path] = _Known(*_seen(found), content)

    def save(self) -> None:
        """Write the memory down, if it changed. A full disk only makes the next time slower."""
        if self._now == self._before:
            return
        temporary = f"{self._file}.{secrets.token_hex(4)}"
        data = {
            "format": _FORMAT,
            "files": {path: list(known) for path, known in self._now.items()},
        }
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            with open(temporary, "x", encoding="ascii") as file:
                json.dump(data, file, separators=(",", ":"))
            os.rename(temporary, self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _seen(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _load(file: str) -> dict[str, _Known]:
    try:
        with open(file, encoding="ascii") as opened:
            data = json.load(opened)
        if data["format"] != _FORMAT:
            return {}
        return {path: _Known(*known) for path, known in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # absent or damaged: everything is read again
