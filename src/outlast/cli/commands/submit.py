"""Queue a command on a snapshot of the folder, and return at once."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import follow, show
from outlast.cli.options import AskingCommand, asking
from outlast.cli.submitting import submitted


@click.command(cls=AskingCommand, context_settings={"allow_interspersed_args": False})
@asking
@click.option("--follow", "is_followed", is_flag=True, help="Show its output until it is over.")
@click.option("--wait", "is_awaited", is_flag=True, help="Wait until it is over.")
@click.argument("command_", metavar="-- COMMAND...", nargs=-1, required=True)
def command(command_: tuple[str, ...], is_followed: bool, is_awaited: bool, **asked: Any) -> int:
    """Queue COMMAND to run on a snapshot of the folder; print the run's id.

    \b
    outlast submit --cpus 2 --retries 3 -- python train.py
    outlast submit --after @last -- python evaluate.py
    outlast submit --env requirements.txt --follow -- python train.py
    """
    run = submitted(command_, asked, in_place=False)
    click.echo(run.id)
    if left_out := run.fetch()["spec"]["source"]["left_out"]:
        show.say(f"not in the snapshot: {'; '.join(left_out)}")
    if is_followed:
        return follow.to_the_end(run)
    return follow.until_over(run) if is_awaited else 0
