"""The ranks of a distributed run as `ranks.json` tells them: how many, and which failed first."""

from __future__ import annotations

import json
from typing import NamedTuple

from outlast.run.folder import RANKS, RunFolder


class RanksSeen(NamedTuple):
    """What is known of a run's ranks."""

    number: int
    failed: int = -1  # the rank that failed first, and by that ended the others
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""  # why it couldn't be started


def look(folder: RunFolder, attempt: int) -> RanksSeen | None:
    """What can be read of this attempt's; None where nothing can."""
    try:
        with open(folder.file(RANKS), encoding="utf-8") as file:
            told = json.load(file)
        if told["attempt"] != attempt:
            return None
        failed = told["failed"] or {"rank": -1}
        return RanksSeen(
            len(told["ranks"]),
            int(failed["rank"]),
            failed.get("exit_code"),
            failed.get("signal"),
            str(failed.get("message", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
