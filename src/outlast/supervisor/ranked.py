"""The command of a run with ranks: a program of ours that starts it once for each rank.

It is in the kit beside this file (`runtime/ranks`), and runs on the supervisor's own Python, since
the command may be any program. Whether the command can be found is asked here, before.
"""

from __future__ import annotations

import os
import sys
from typing import Mapping

from outlast.run.folder import RunFolder
from outlast.supervisor import command
from outlast.supervisor.assignment import Launch

_KIT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(_KIT, "runtime", "ranks", "__main__.py")


def started_by(
    launch: Launch, environ: Mapping[str, str], folder: RunFolder, attempt: int
) -> Launch:
    """The launch with the program before its command. Raises command.CannotStart."""
    if launch.command and os.path.isdir(launch.folder):
        command.find(launch.command[0], environ.get("PATH"), launch.folder)
    words = (sys.executable, "-I", "-S", PROGRAM, folder.path, "--attempt", str(attempt), "--")
    return launch._replace(command=(*words, *launch.command))
