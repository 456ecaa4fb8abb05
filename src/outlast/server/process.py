"""Start and stop the server of a workspace.

One process, one loop. The order at the start: lock, token, socket, database, scheduler, then
`server.json` says that it answers; at the end the reverse. Runs are not touched by any of it: they
live apart. It exits with ALREADY_RUNNING when another server has the workspace.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from outlast import config
from outlast.errors import Invalid, OutlastError
from outlast.printable import printable
from outlast.server.workspace import AlreadyRunning, Lock, make_folder, token

ALREADY_RUNNING = 75  # EX_TEMPFAIL: the same may work later
CANNOT_START = 78  # EX_CONFIG
FAILED = 70  # EX_SOFTWARE


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop (SIGTERM, SIGINT, POST /api/shutdown). Returns the exit code."""
    _leave_the_run(arguments)
    os.umask(0o077)
    try:
        flags = _flags(arguments)
        found = config.sources(flags)
        settings = config.Settings(**{name: item.value for name, item in found.items()})
        make_folder(settings.home)
        lock = Lock(settings.home)
    except AlreadyRunning as error:
        return _say(error, ALREADY_RUNNING)
    except OutlastError as error:
        return _say(error, CANNOT_START)
    try:
        # Imported now: a second server has found out by here that it isn't wanted.
        from outlast.server.serving import listen, serve

        gc.freeze()  # what is imported never becomes garbage
        gc.enable()
        secret = token(settings.home)
        with listen(settings, is_port_chosen=found["port"].source != "default") as socket:
            return serve(settings, socket, secret, lock)
    except OutlastError as error:
        return _say(error, CANNOT_START)
    except Exception as error:
        traceback.print_exc()  # into server.log, or before whoever started it
        print(f"outlast: the server failed: {printable(repr(error))}", file=sys.stderr)
        return FAILED
    finally:
        lock.release()


def _leave_the_run(arguments: Sequence[str]) -> None:
    """Start anew with an environment that marks this process as nobody's job.

    A run counts every process whose *start* environment names it; a server started on demand by a
    job must not be ended with that job, nor keep it from ending.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_RUN")}
    kept["OUTLAST_DETACHED"] = "1"
    if kept != dict(os.environ):
        os.execve(sys.executable, [sys.executable, "-m", "outlast.server", *arguments], kept)


def check(arguments: Sequence[str]) -> None:
    """Raise Invalid for a flag that is no setting; what their values may be, `main` tells."""
    unknown = _parser().parse_known_args(list(arguments))[1]
    if unknown:
        raise Invalid(
            f"{unknown[0]}: there is no such setting",
            hint="outlast config show   (each is a flag, as --port 9000)",
        )


def _flags(arguments: Sequence[str]) -> dict[str, Any]:
    return vars(_parser().parse_args(list(arguments)))


def _parser() -> argparse.ArgumentParser:
    """Every setting is a flag: --port 9000, --insecure-bind."""
    parser = argparse.ArgumentParser(prog="outlast up", allow_abbrev=False)
    for name, default in config.Settings()._asdict().items():
        flag = "--" + name.replace("_", "-")
        about = config.ABOUT[name].replace("%", "%%")
        if isinstance(default, bool):
            parser.add_argument(flag, dest=name, action="store_const", const=True, help=about)
        else:
            parser.add_argument(flag, dest=name, help=about)
    return parser


def _say(error: OutlastError, code: int) -> int:
    print(f"outlast: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  try: {error.hint}", file=sys.stderr)
    return code
