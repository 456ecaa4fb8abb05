"""List runs, newest first."""

from __future__ import annotations

import time
from typing import Any

import click

from outlast.cli import follow, show
from outlast.cli.options import listing

WATCH_PAUSE_S = 1.0


@click.command()
@listing
@click.option("-w", "--watch", is_flag=True, help="Redraw as things change, until Ctrl-C.")
def command(as_json: bool, quiet: bool, watch: bool, since: float | None, **filters: Any) -> None:
    """List runs, newest first."""
    from outlast.sdk import Workspace

    workspace = Workspace()
    if since is not None:
        filters["since_ns"] = time.time_ns() - int(since * 1e9)
    while True:
        rows = list(workspace.rows(**filters))
        if as_json:
            follow.print_json(rows)
        elif quiet:
            click.echo("".join(f"{row['id']}\n" for row in rows), nl=False)
        else:
            text = _table(rows) if rows else "no runs yet   try: outlast run -- echo hello"
            if watch:
                click.clear()
            click.echo(text)
        if not watch:
            return
        time.sleep(WATCH_PAUSE_S)


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["id"],
            show.title(row, max_chars=32),
            show.status(row),
            show.age(row["created_ns"]),
            show.lasted(row),
            show.metrics(row),
        ]
        for row in rows
    ]
    headings = ["ID", "RUN", "STATUS", "CREATED", "LASTED", "METRICS"]
    return show.table(headings, cells, paint_column=2)
