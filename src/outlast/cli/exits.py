"""Exit codes: a run's own where there is one, else what kept the command from its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.errors import Conflict, NotFound, OutlastError, Refused, Unreachable

OK = 0
FAILED = 1  # the run is Failed for another reason than its exit code; or any other error
USAGE = 2
CANCELED = 3
LOST = 4
NOT_FOUND = 5
CONFLICT = 6
UNREACHABLE = 69  # EX_UNAVAILABLE of sysexits.h
REFUSED = 77  # EX_NOPERM
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def of_error(error: OutlastError) -> int:
    """The exit code for an error that ended a command."""
    by_kind = (
        (NotFound, NOT_FOUND),
        (Conflict, CONFLICT),
        (Refused, REFUSED),
        (Unreachable, UNREACHABLE),
    )
    return next((code for kind, code in by_kind if isinstance(error, kind)), FAILED)


def of_run(facts: Mapping[str, Any]) -> int:
    """The exit code that a run's end stands for: its command's own wherever that is known."""
    state = facts.get("state", facts)
    code, signal = state.get("exit_code"), state.get("exit_signal")
    if facts["status"] == "Completed":
        return OK
    if facts["status"] == "Canceled":
        return CANCELED
    if facts["cause"] == "lost":
        return LOST
    if facts["cause"] == "start_failed":
        return 127  # as a shell says of a command that it can't find
    if signal is not None:
        return 128 + int(signal)
    return int(code) if code else FAILED
