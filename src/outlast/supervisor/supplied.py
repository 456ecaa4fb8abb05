"""The command of a run with inputs: a program of ours brings them, and becomes the command.

It is in the kit beside this file (`runtime/inputs.py`), and runs on the supervisor's own Python.
Whether the command can be found is asked here, before.
"""

from __future__ import annotations

import os
import sys
from typing import Mapping

from outlast.run.folder import RunFolder
from outlast.supervisor import command
from outlast.supervisor.assignment import Launch

_KIT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(_KIT, "runtime", "inputs.py")


def started_by(launch: Launch, environ: Mapping[str, str], folder: RunFolder) -> Launch:
    """The launch with the program before its command. Raises command.CannotStart."""
    if launch.command and os.path.isdir(launch.folder):
        command.find(launch.command[0], environ.get("PATH"), launch.folder)
    # With the packages of that Python: what lies in an object store is read by one of them.
    words = (sys.executable, "-I", PROGRAM, folder.path, "--")
    return launch._replace(command=(*words, *launch.command))
