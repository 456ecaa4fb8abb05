"""python -I -S outlast/environments/__main__.py FOLDER --attempt N

Makes the environment that the run in FOLDER asked for; its supervisor starts this before the
command. What it does goes to stdout; where it stands, and the end, into `environment.json` of the
run's folder, replaced at each step: {"attempt", "step", "about", "since_ns", "place", "reason"}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Dict, List

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from outlast.environments import cache
from outlast.environments.build import Build
from outlast.environments.log import Log
from outlast.errors import OutlastError
from outlast.run import folder as names
from outlast.run.environment import Environment
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec

READY, FAILED, UNUSABLE = 0, 1, 2


def main(arguments: List[str]) -> int:
    """Make it; the exit code of this process, which `environment.json` explains."""
    try:
        path, word, attempt = arguments
        standing = Standing(RunFolder(path), int(attempt))
    except ValueError:
        print(f"usage: {__doc__.splitlines()[0] if __doc__ else ''}", file=sys.stderr)
        return UNUSABLE
    if word != "--attempt":
        return UNUSABLE
    # So that what is half built is removed by who built it, where it gets the time.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    log = Log(1)
    try:
        place = _made(standing, log)
    except (OutlastError, OSError) as error:
        reason = error.message if isinstance(error, OutlastError) else str(error)
        log.say(f"failed: {reason}")
        standing.write("failed", "", reason=reason)
        return FAILED
    standing.write("ready", "", place=place)
    return READY


def _made(standing: Standing, log: Log) -> Dict[str, Any]:
    with open(standing.folder.file(names.SPEC), "rb") as file:
        spec = RunSpec.from_dict(json.load(file))
    home = os.path.dirname(os.path.dirname(standing.folder.path))
    build = Build(cache.Cache(home), os.environ, log, standing.write, who=spec.id)
    return build.make(Environment.of(spec.environment)).to_dict()


class Standing:
    """Where this build stands, for whoever looks into the run's folder."""

    def __init__(self, folder: RunFolder, attempt: int) -> None:
        self.folder = folder
        self._attempt = attempt

    def write(self, step: str, about: str, **more: Any) -> None:
        """From now on it stands at this step."""
        since = {"attempt": self._attempt, "step": step, "about": about, "since_ns": time.time_ns()}
        cache.write(self.folder.file(names.ENVIRONMENT_STATE), {**since, **more})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
