"""Run a command supervised and follow it: nohup done right.

It runs in the current folder and goes on whatever becomes of this terminal. Ctrl-C detaches;
twice within 2 s cancels.
"""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import exits, follow
from outlast.cli.options import AskingCommand, asking
from outlast.cli.submitting import submitted


@click.command(
    cls=AskingCommand,
    context_settings={"allow_interspersed_args": False},
)
@asking
@click.option("-d", "--detach", is_flag=True, help="Print the run's id and return at once.")
@click.argument("command_", metavar="-- COMMAND...", nargs=-1, required=True)
def command(command_: tuple[str, ...], detach: bool, **asked: Any) -> int:
    """Run COMMAND supervised, here, and follow its output.

    \b
    outlast run -- python train.py --lr 0.1
    outlast run -d --name night -- ./long-job.sh
    outlast run --output model.pt --max-time 2h -- python train.py

    Ctrl-C detaches and the run goes on; twice within 2 s cancels it. Exits as COMMAND did.
    """
    run = submitted(command_, asked, in_place=True)
    if detach:
        click.echo(run.id)
        return exits.OK
    return follow.to_the_end(run)
