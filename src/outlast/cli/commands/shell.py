"""Open a shell, or a command, on a terminal that outlasts the connection.

It goes on when this terminal is closed, the network breaks or the server restarts; `attach` comes
back to it from anywhere.
"""

from __future__ import annotations

import os

import click

from outlast.cli import attached, exits, reach, show
from outlast.errors import NotFound

HERE = ("local", "localhost", os.uname().nodename)


class BehindDashes(click.Command):
    """What stands behind `--` is the command, whatever it looks like."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        context.meta[BEHIND] = tuple(args[at + 1 :])
        return super().parse_args(context, args[:at])


BEHIND = "outlast.behind"


@click.command(cls=BehindDashes)
@click.option("-d", "--detach", is_flag=True, help="Print the session's id and return at once.")
@click.option("--run", metavar="RUN", default="", help="In this run's folder and environment.")
@click.option("--compute", metavar="NAME", default="", help="On this compute instance.")
@click.option("--name", default="", help="A name for it, to attach by.")
@click.option("--cwd", metavar="FOLDER", help="In this folder instead of the current one.")
@attached.escape_option
@click.argument("target", nargs=-1, metavar="[TARGET] [-- COMMAND...]")
@click.pass_context
def command(
    context: click.Context, target: tuple[str, ...], detach: bool, run: str, compute: str,
    name: str, cwd: str | None, escape: str,
) -> int:  # fmt: skip
    """Open a session and sit down at it: your shell, or COMMAND.

    \b
    outlast shell                        a shell here, that outlasts this window
    outlast shell --run @last            in that run's folder and environment
    outlast shell -d -- python train.py  only open it; later: outlast attach ID

    Exits as the shell or COMMAND did.
    """
    from outlast.sdk import sessions

    words = context.meta[BEHIND]
    if len(target) > 1:
        raise click.UsageError(f"a command stands behind --: outlast shell -- {' '.join(target)}")
    if target and target[0] not in HERE:
        there = "local is (the server's machine)"
        raise NotFound(f"target {target[0]!r} isn't known; {there}", hint="outlast shell local")
    attached.escape_key(escape)
    columns, rows = 80, 24
    if not detach:
        columns, rows = attached.size()  # before anything is opened: is there a terminal at all?
    workspace = reach.workspace()
    row = sessions.open_session(
        words, name=name, run=reach.run(run).id if run else "", folder=cwd,
        compute=compute, columns=columns, rows=rows, workspace=workspace,
    )  # fmt: skip
    if row["missing_variables"]:
        show.say(f"secret, so not set here: {row['missing_variables']}")
    if detach:
        click.echo(row["id"])
        return exits.OK
    return attached.sit_at(row, is_driver=True, escape=escape)
