"""Run again what a run was asked to do."""

from __future__ import annotations

import click

from outlast.cli import follow, reach


@click.command()
@click.argument("run")
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Show its output until its end.")
def command(run: str, is_followed: bool) -> int:
    """Queue a new run with the same spec as RUN; print its id."""
    again = reach.run(run).retry()
    click.echo(again.id)
    return follow.to_the_end(again) if is_followed else 0
