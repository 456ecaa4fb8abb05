"""List sessions: who is there, what runs in them, when they printed last."""

from __future__ import annotations

from typing import Any

import click

from outlast import units
from outlast.cli import reach, show
from outlast.printable import one_line

NONE = "no session is open   try: outlast shell"


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only, one a line.")
def command(everything: bool, as_json: bool, quiet: bool) -> None:
    """List open sessions, newest first. They stay until `close`, or until a limit stated here."""
    from outlast.sdk import sessions

    rows = sessions.sessions(everything=everything, workspace=reach.workspace())
    if as_json:
        show.print_json(rows)
    elif quiet:
        click.echo("".join(f"{row['id']}\n" for row in rows), nl=False)
    elif not rows:
        click.echo(NONE)
    else:
        click.echo(_table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    headings = ["ID", "NAME", "STATUS", "RUNS", "FOR", "LAST BYTE", "DRIVER", "VIEWERS", "LIMITS"]
    cells = [
        [
            row["id"],
            row["name"],
            _status(row),
            one_line(row["foreground"]["command"]) if row["foreground"] else _resting(row),
            show.age(row["foreground"]["since_ns"]) if row["foreground"] else "",
            show.age(row["last_byte_ns"]),
            row["driver"] or "",
            str(len(row["viewers"])) if row["viewers"] else "",
            _limits(row),
        ]
        for row in rows
    ]
    return show.table(headings, cells, paint_column=2, gives_way=(1, 3, 6, 8))


def _status(row: dict[str, Any]) -> str:
    if row["exit_code"] is not None and row["ended_ns"]:
        return f"{row['status']}: exit {row['exit_code']}"
    return str(row["status"])


def _resting(row: dict[str, Any]) -> str:
    """It waits for a command; of one that is over, what it was."""
    return str(row["shell"]) if row["ended_ns"] else f"({one_line(row['shell'])})"


def _limits(row: dict[str, Any]) -> str:
    kept = f"{units.size(row['kept_bytes'])} of {units.size(row['quota_bytes'])}"
    return f"{kept}, idle {units.duration(row['idle_s'])}" if row["idle_s"] else kept
