"""Processes that kill -9 themselves in the middle of what they do to a database."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import sqlalchemy as sa

ROOT = Path(__file__).parents[2]  # where `python -c` finds this module


def die_at(statement: int, *events: str) -> None:
    """From now on: kill -9 of this process before the statement of this number, the first being 1.

    What is in `events` counts as well, as "commit".
    """
    statements = itertools.count(1)

    def count(*_: object) -> None:
        if next(statements) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    for event in ("before_cursor_execute", *events):
        sa.event.listen(sa.Engine, event, count)
