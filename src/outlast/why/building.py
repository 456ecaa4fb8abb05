"""How the build of a run's environment stands: its step, and the last line of its log."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from outlast.run.folder import ENVIRONMENT, ENVIRONMENT_STATE, RunFolder

_TAIL_BYTES = 8 << 10


class Building(NamedTuple):
    """What `environment.json` and the journal `environment` say."""

    step: str = ""  # waiting | resolving | installing | ready | failed; "" before the first
    about: str = ""  # waiting: for the build of this run; "" when it isn't a run's
    since_ns: int = 0
    line: str = ""  # the last that was written
    offset: int = 0  # where it begins
    t_ns: int = 0  # when


def look(folder: RunFolder, attempt: int) -> Building:
    """What can be read; empty where nothing can."""
    told = _standing(folder.file(ENVIRONMENT_STATE), attempt)
    line, offset, t_ns = _last_line(folder.file(ENVIRONMENT))
    since_ns = told.get("since_ns")
    return Building(
        str(told.get("step", "")),
        str(told.get("about", "")),
        since_ns if isinstance(since_ns, int) else 0,
        line,
        offset,
        t_ns,
    )


def _standing(path: str, attempt: int) -> dict[str, object]:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and told.get("attempt") == attempt else {}


def _last_line(path: str) -> tuple[str, int, int]:
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            start = max(0, stat.st_size - _TAIL_BYTES)
            file.seek(start)
            tail = file.read(_TAIL_BYTES)
    except OSError:
        return "", 0, 0
    whole = tail.rstrip()
    begin = whole.rfind(b"\n") + 1
    return whole[begin:].decode("utf-8", "replace"), start + begin, stat.st_mtime_ns
