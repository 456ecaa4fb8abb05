"""Run a command supervised and follow it: nohup done right.

It runs in the current folder and goes on whatever becomes of this terminal. Ctrl-C detaches;
twice within 2 s cancels.
"""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import follow
from outlast.cli.options import AskingCommand, asking, request


@click.command(
    cls=AskingCommand,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@asking
@click.option("-d", "--detach", is_flag=True, help="Print the run's id and return at once.")
@click.argument("command_", metavar="-- COMMAND...", nargs=-1, required=True)
def command(command_: tuple[str, ...], detach: bool, **asked: Any) -> int:
    """Run COMMAND supervised, here, and follow its output.

    Ctrl-C detaches and the run goes on; twice within 2 s cancels it. Exits as COMMAND did.
    """
    from outlast.sdk import submit

    run = submit(list(command_), in_place=True, after=follow.ids(asked["after"]), **request(asked))
    if detach:
        click.echo(run.id)
        return 0
    return follow.to_the_end(run)
