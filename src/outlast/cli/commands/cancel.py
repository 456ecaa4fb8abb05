"""Stop runs: TERM, then KILL after their grace."""

from __future__ import annotations

import click

from outlast.cli import reach, show


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="KILL at once, without waiting for the grace.")
@click.option("--reason", default="", help="Kept with the run.")
def command(runs: tuple[str, ...], force: bool, reason: str) -> None:
    """Ask for RUNS to be stopped, with everything that they started: TERM, then KILL.

    \b
    outlast cancel @last --reason "the wrong data"
    outlast cancel $(outlast ls -q --status Queued)
    """
    for handle in map(reach.run, runs):
        if handle.is_over:
            show.say(f"{handle.id} is over already ({handle.status})")
            continue
        handle.cancel(reason, force=force)
        _, state = handle.state()
        if state["status"] == "Finalizing":
            show.say(
                f"{handle.id} has done its work and goes on storing its outputs: nothing of it is "
                f"left to stop   see: outlast why {handle.id}"
            )
        else:
            click.echo(f"canceling {handle.id}   see: outlast why {handle.id}")
