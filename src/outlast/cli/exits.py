"""Exit codes: a run's own where there is one, else what kept the command from its work.

docs/cli.md lists them. A code of Outlast's own is never given silently: stderr says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.errors import Conflict, Invalid, NotFound, OutlastError, Refused, Unreachable

OK = 0
FAILED = 1  # the run is Failed for another reason than its exit code; or any other error
USAGE = 2
CANCELED = 3
LOST = 4
NOT_FOUND = 5
CONFLICT = 6
UNREACHABLE = 69  # EX_UNAVAILABLE of sysexits.h
REFUSED = 77  # EX_NOPERM
NOT_STARTED = 127  # as a shell says of a command that it can't find
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
HUNG_UP = 129  # 128 + SIGHUP: the terminal of `attach` or `shell` is gone
BROKEN_PIPE = 141  # 128 + SIGPIPE
TERMINATED = 143  # 128 + SIGTERM

_BY_ERROR: tuple[tuple[type[OutlastError], int], ...] = (
    (Invalid, USAGE),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (Refused, REFUSED),
    (Unreachable, UNREACHABLE),
)


def of_error(error: OutlastError) -> int:
    """The exit code for an error that ended a command."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILED)


def of_run(facts: Mapping[str, Any]) -> int:
    """The exit code that a run's end stands for: its command's own wherever that is known."""
    state = facts["state"]
    if facts["status"] == "Completed":
        return OK
    if facts["status"] == "Canceled":
        return CANCELED
    if facts["cause"] == "lost":
        return LOST
    if facts["cause"] == "start_failed":
        return NOT_STARTED
    if state.get("exit_signal") is not None:
        return 128 + int(state["exit_signal"])
    return int(state.get("exit_code") or FAILED)
