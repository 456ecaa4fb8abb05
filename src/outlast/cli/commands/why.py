"""Say why a run is as it is: waiting, silent, failed, completed."""

from __future__ import annotations

import click

from outlast.cli import reach, show


@click.command()
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="JSON, with all evidence.")
def command(run: str, as_json: bool) -> None:
    """Why RUN is as it is, with evidence, what happens next, and what changes it."""
    why = reach.run(run).why()
    if as_json:
        show.print_json(why)
    else:
        click.echo(show.explanation(why))
