"""A progress bar on a terminal, nothing elsewhere: it stands on stderr and leaves nothing there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlast import units
from outlast.cli import show

REDRAW_S = 0.1
BAR_COLUMNS = 30
LINE_START, END_OF_LINE = "\r", "\x1b[K"


@contextmanager
def bar(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with each number of bytes done."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    began_s = drawn_s = time.monotonic()
    done_bytes = 0

    def advance(more_bytes: int) -> None:
        nonlocal done_bytes, drawn_s
        done_bytes += more_bytes
        now_s = time.monotonic()
        if now_s - drawn_s >= REDRAW_S:
            drawn_s = now_s
            _draw(line(what, done_bytes, total_bytes, now_s - began_s)[: show.width() - 1])

    try:
        yield advance
    finally:
        _draw("")


def line(what: str, done_bytes: int, total_bytes: int, lasted_s: float) -> str:
    """How far it is: a bar, bytes of bytes, bytes a second."""
    filled = BAR_COLUMNS * min(done_bytes, total_bytes) // max(total_bytes, 1)
    drawn = "━" * filled + "─" * (BAR_COLUMNS - filled)
    pace = units.size(done_bytes / lasted_s) if lasted_s else "0 bytes"
    return f"{what} {drawn} {units.size(done_bytes)} of {units.size(total_bytes)}, {pace}/s"


def _draw(text: str) -> None:
    sys.stderr.write(LINE_START + text + END_OF_LINE)
    sys.stderr.flush()
