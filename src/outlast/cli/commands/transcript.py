"""Read back what a session printed: as text, searched, by command, or as a recording."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from outlast import units
from outlast.cli import exits, reach, show
from outlast.printable import one_line


@click.command()
@click.argument("session")
@click.option("--search", metavar="TEXT", help="Only lines with TEXT; a capital in it counts.")
@click.option("--commands", "by_command", is_flag=True, help="Its commands: code, time, folder.")
@click.option(
    "--export", type=click.Choice(["asciicast", "text"]), help="All of it, to stdout, as a file."
)
@click.option("--json", "as_json", is_flag=True, help="Hits or commands as JSON, one a line.")
def command(
    session: str, search: str | None, by_command: bool, export: str | None, as_json: bool
) -> int:
    """Show what SESSION printed, also when it is over.

    \b
    outlast transcript @last --commands
    outlast transcript train --search error
    outlast transcript train --export asciicast > train.cast
    """
    from outlast.sdk import sessions

    if (search is not None) + by_command + (export is not None) > 1:
        raise click.UsageError("give one of --search, --commands and --export")
    if as_json and export is None and search is None and not by_command:
        raise click.UsageError("--json is for --search and --commands")
    workspace = reach.workspace()
    session = sessions.session(session, workspace=workspace)["id"]
    if not by_command and (first := sessions.first_kept(session, workspace=workspace)):
        show.say(
            f"the first {units.size(first)} were given up: the session keeps what its quota holds"
        )
    if search is not None:
        return _print(sessions.search(session, search, workspace=workspace), as_json, _hit)
    if by_command:
        return _print(sessions.commands(session, workspace=workspace), as_json, _command)
    for piece in sessions.export(session, export or "text", workspace=workspace):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return exits.OK


def _print(rows: Iterable[dict[str, Any]], as_json: bool, line: Any) -> int:
    import json

    count = 0
    for row in rows:
        count += 1
        click.echo(json.dumps(row) if as_json else line(row))
    if not count:
        show.say("nothing found")
    return exits.OK if count else exits.FAILED


def _hit(hit: dict[str, Any]) -> str:
    when = f"{show.age(hit['t_ns'])} ago" if hit["t_ns"] else ""
    return f"{hit['at']:>10}  {when:>9}  {one_line(hit['line'], max_chars=400)}"


def _command(row: dict[str, Any]) -> str:
    took = units.between(row["start_ns"], row["end_ns"]) if row["end_ns"] else ""
    code = "" if row["exit_code"] is None else str(row["exit_code"])
    where = one_line(row["cwd"])
    return f"{row['number']:>5}  {code:>4}  {took:>9}  {one_line(row['command'])}   [{where}]"
