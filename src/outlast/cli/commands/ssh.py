"""Log in by SSH that outlasts the connection."""

from __future__ import annotations

import os
import shutil
import sys

import click

from outlast.cli import reach
from outlast.errors import NotFound


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(target: str, arguments: tuple[str, ...]) -> None:
    """Log in to TARGET with the system's ssh, or run a command there.

    \b
    outlast ssh local
    outlast ssh local nvidia-smi
    outlast ssh local -L 8888:localhost:8888

    ARGUMENTS are ssh's own. When the network breaks or the server restarts, it waits and goes on.
    """
    from outlast.ssh import config, targets

    program = shutil.which("ssh")
    if program is None:
        raise NotFound("there is no ssh here", hint="install OpenSSH's client")
    workspace = reach.workspace()
    file = targets.write_block(workspace.connection, workspace.home, target, workspace.url)
    workspace.close()
    sys.stdout.flush()
    name = config.alias(target, workspace.url)
    os.execv(program, [program, "-F", str(file), name, *arguments])
