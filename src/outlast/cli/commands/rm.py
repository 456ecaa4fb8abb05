"""Delete runs that are over, with their files and metrics."""

from __future__ import annotations

import click

from outlast.cli import reach


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def command(runs: tuple[str, ...], yes: bool) -> None:
    """Delete RUNS for good: folders, stored outputs, metrics."""
    handles = [reach.run(run) for run in runs]
    if not yes:
        click.confirm(f"Delete {', '.join(handle.id for handle in handles)} for good?", abort=True)
    for handle in handles:
        handle.delete()
        click.echo(f"deleted {handle.id}")
