"""A progress bar on a terminal's stderr, nothing elsewhere: click's, counting bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from outlast import units

STEPS = 200  # how often it is drawn at most


@contextmanager
def bar(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with each number of bytes done."""
    if not sys.stderr.isatty():  # where click would print `what` alone
        yield lambda _done: None
        return
    label = f"{what} ({units.size(total_bytes)})"
    step_bytes = max(1, total_bytes // STEPS)
    with click.progressbar(
        length=total_bytes, label=label, file=sys.stderr, update_min_steps=step_bytes
    ) as shown:
        yield shown.update
