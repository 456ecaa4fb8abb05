"""List runs, newest first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from outlast.cli import reach, show
from outlast.cli.options import listing

# Ages and durations change by the second, whatever the runs do.
REDRAW_S = 1.0
# Room for a second metric.
WIDE_COLUMNS = 100
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
NONE = "no runs yet   try: outlast run -- echo hello"
NONE_FIT = "no run fits   try: outlast ls"


@click.command()
@listing
@click.option("-w", "--watch", is_flag=True, help="Redraw every second, until Ctrl-C.")
def command(as_json: bool, quiet: bool, watch: bool, since: float | None, **filters: Any) -> None:
    """List runs, newest first.

    \b
    outlast ls --status Failed --since 2h
    outlast ls --where "metrics.loss < 0.1 and tags.team = 'vision'"
    outlast ls --sort metrics.loss --json
    """

    def rows() -> list[dict[str, Any]]:
        recent = {"since_ns": time.time_ns() - int(since * 1e9)} if since is not None else {}
        return list(reach.workspace().rows(**filters, **recent))

    if watch:
        _watch(lambda: _text(rows(), **filters))
    elif as_json:
        show.print_json(rows())
    elif quiet:
        click.echo("".join(f"{row['id']}\n" for row in rows()), nl=False)
    else:
        click.echo(_text(rows(), since=since, **filters))


def _text(rows: list[dict[str, Any]], *, limit: int, **filters: Any) -> str:
    if not rows:
        return NONE_FIT if any(value is not None for value in filters.values()) else NONE
    return _table(rows)


def _table(rows: list[dict[str, Any]]) -> str:
    # Said only where it tells runs apart.
    experiments = {row["experiment"] for row in rows}
    cells = [
        [
            row["id"],
            show.title(row),
            row["experiment"] if len(experiments) > 1 else "",
            show.status(row),
            show.age(row["created_ns"]),
            show.lasted(row),
            show.metrics(row, most=2 if show.width() >= WIDE_COLUMNS else 1),
        ]
        for row in rows
    ]
    headings = ["ID", "RUN", "EXPERIMENT", "STATUS", "AGE", "LASTED", "METRICS"]
    return show.table(headings, cells, paint_column=3, gives_way=(1, 2, 6))


def _watch(text: Callable[[], str]) -> None:
    """Draw over the same screen, without clearing it first: it doesn't flicker."""
    if not sys.stdout.isatty():
        raise click.UsageError("--watch draws on a terminal; this isn't one (leave --watch out)")
    sys.stdout.write(OTHER_SCREEN + HIDE_CURSOR)
    try:
        while True:
            room = os.get_terminal_size(sys.stdout.fileno()).lines - 1
            lines = text().splitlines()[:room]
            drawn = "".join(f"{line}{END_OF_LINE}\n" for line in lines)
            sys.stdout.write(HOME + drawn + END_OF_SCREEN + "Ctrl-C ends")
            sys.stdout.flush()
            time.sleep(REDRAW_S)
    except KeyboardInterrupt:
        return
    finally:
        sys.stdout.write(SHOW_CURSOR + FIRST_SCREEN)
        sys.stdout.flush()
