"""Close sessions: what runs in them is hung up, then ended."""

from __future__ import annotations

import click

from outlast.cli import reach


@click.command()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@click.option("--force", is_flag=True, help="Kill what is in it at once.")
def command(sessions: tuple[str, ...], force: bool) -> None:
    """End SESSIONS: HUP, then KILL after 5 s. What they printed is kept."""
    from outlast.sdk import sessions as sdk

    for ref in sessions:
        row = sdk.close_session(ref, force=force, workspace=reach.workspace())
        is_over = row["ended_ns"] > 0
        click.echo(f"{row['id']} {'is over' if is_over else 'is being closed'}")
