"""What a job takes over from the process that asks for it: environment and umask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from outlast.process import OF_ITS_RUN


def environ(variables: Mapping[str, str]) -> dict[str, str]:
    """A job's environment, made from a caller's: without what belongs to the caller's own run.

    Python writes its output at once unless the caller has decided otherwise; else a log that is
    followed live would lag by 8 KiB.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(OF_ITS_RUN)
        and name not in ("OUTLAST_DETACHED", "OUTLAST_TOKEN")
        # What isn't UTF-8 can't travel as JSON; such a variable is inherited by accident.
        and is_text(name + value)
    }
    kept.setdefault("PYTHONUNBUFFERED", "1")
    return kept


def is_text(word: str) -> bool:
    """Can this travel as JSON and stand in an environment?"""
    try:
        return "\0" not in word and bool(word.encode() or True)
    except UnicodeEncodeError:
        return False


def umask() -> int:
    """Of this process; os.umask could only tell by changing it, for all threads."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
