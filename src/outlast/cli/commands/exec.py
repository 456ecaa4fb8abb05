"""Run a script written for Azure ML SDK v1 unchanged, here."""

from __future__ import annotations

import os
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", metavar="SCRIPT")
@click.argument("arguments", metavar="[ARGUMENTS]...", nargs=-1, type=click.UNPROCESSED)
def command(script: str, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT as `python SCRIPT` would, by this interpreter, with the azureml names in place.

    What it submits and logs is kept in the workspace. Exits as SCRIPT does.
    """
    sys.stdout.flush()
    # A process of its own nature: the script meets nothing of the command line's modules.
    words = [sys.executable, "-m", "outlast.azureml", script, *arguments]
    os.execv(sys.executable, words)
