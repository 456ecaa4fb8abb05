"""python -I -S outlast/runtime/ranks/__main__.py FOLDER --attempt N -- COMMAND...

Starts COMMAND for every rank that the run in FOLDER asked for, and ends as they did: with 0 when
all did, else as the first that failed, by the same exit code or signal. `ranks.json` of the run's
folder says who they are, and which failed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import List

sys.path.insert(
    0,
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
)

from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.runtime.ranks.starting import Ranks

UNUSABLE = 2


def main(arguments: List[str]) -> int:
    """Start them and stay until all are over; the exit code of this process."""
    try:
        path, word, attempt, dashes, *command = arguments
        if (word, dashes) != ("--attempt", "--") or not command:
            raise ValueError(word)
        folder, number = RunFolder(path), int(attempt)
    except ValueError:
        print(f"usage: {__doc__.splitlines()[0] if __doc__ else ''}", file=sys.stderr)
        return UNUSABLE
    with open(folder.file(names.SPEC), "rb") as file:
        spec = RunSpec.from_dict(json.load(file))
    return Ranks(folder, number, spec, command).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
