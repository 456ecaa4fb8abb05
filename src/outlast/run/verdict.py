"""How a run ended: one pure function from what was observed to outcome, cause and message.

The exit status of the main process decides, after everything that it started is over; then the
script's own word, the leftovers, the outputs and the logged errors. An unknown exit status is
`lost`: success is never invented.
"""

from __future__ import annotations

import signal as signals
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

# Every cause that a Failed or Canceled run may have, with what it means.
CAUSES: Dict[str, str] = {
    "exit_code": "the command ended with a code other than 0",
    "signal": "a signal ended the command",
    "memory": "the kernel, or the run's own limit, ended it for memory",
    "time_limit": "it ran longer than max_run_duration_s",
    "start_failed": "the command could not be started",
    "environment": "its environment could not be built",
    "launch_failed": "the executor could not start the supervisor",
    "lost": "nobody can tell how it ended",
    "owner_died": "the process that owned the interactive run died without ending it",
    "failed_by_script": "the script called fail()",
    "leftovers": "processes outlived the command, and the policy says fail",
    "output_missing": "a declared output was not produced",
    "output_foreign": "a declared output was there before and was not written by this run",
    "output_damaged": "an output is truncated or can't be collected, or its check failed",
    "logged_error": "errors were logged, and the policy says fail",
    "storage": "the outputs could not be stored in time",
    "canceled": "somebody canceled it",
    "closed": "somebody closed the session",
    "idle": "nobody used the session for as long as its idle_s allows",
    "hangup": "the session's terminal closed, since both of its supervisors were killed",
    "upstream_failed": "a run that had to be Completed first was not",
}

_PROBLEM_CAUSES = {"missing": "output_missing", "foreign": "output_foreign"}


class Observed(NamedTuple):
    """What the supervisor has seen by the time that not one process is left."""

    code: Optional[int] = None
    signal: Optional[int] = None
    is_exit_known: bool = True
    start_failure: str = ""
    start_reason: str = ""  # as in run.events.StartFailed
    stop_reason: str = ""  # of the first Stopping; "" if the run was never signalled
    stopped_main: bool = False  # the main process still ran when it was first signalled
    limit: str = ""  # the limit that was reached
    oom: Mapping[str, Any] = {}  # evidence of the out-of-memory killer; {} = none
    # complete | fail | cancel | exit | died, for interactive runs and scripts that said so
    owner: str = ""
    owner_message: str = ""
    owner_facts: Mapping[str, Any] = {}
    leftover_count: int = 0
    problems: Tuple[Tuple[str, str, str], ...] = ()  # fatal ones: (path, problem, message)
    logged_errors: int = 0
    is_hung_up: bool = False  # its terminal died with the supervisors that held it


class Verdict(NamedTuple):
    outcome: str  # completed | failed | canceled
    cause: str
    message: str


def judge(kind: str, leftovers: str, on_logged_error: str, seen: Observed) -> Verdict:
    """The outcome of a run of this kind (see run.spec.KINDS) under these policies."""
    if kind in ("session", "tunnel"):
        return _judge_session(seen)
    if seen.stop_reason == "cancel" or seen.owner == "cancel":
        return Verdict(
            "canceled",
            "canceled",
            "canceled" + (f": {seen.owner_message}" if seen.owner_message else ""),
        )
    limited = _judge_limit(seen)
    if limited is not None:
        return limited
    if seen.start_failure:
        return _failed(_start_cause(seen), seen.start_failure)
    status = _judge_owner(seen) if kind == "interactive" else _judge_exit(seen)
    return status or _judge_rest(leftovers, on_logged_error, seen)


def _judge_session(seen: Observed) -> Verdict:
    """A shell's exit code is no failure; nor is what it left behind or printed."""
    if seen.stop_reason == "cancel":
        return Verdict("canceled", "closed", "closed")
    if seen.limit == "idle_s":
        return Verdict("canceled", "idle", "closed: nobody used it for as long as idle_s allows")
    if seen.limit or seen.start_failure:
        return _judge_limit(seen) or _failed(_start_cause(seen), seen.start_failure)
    if seen.is_hung_up:
        return _failed("hangup", "both of its supervisors were killed, and its terminal with them")
    if seen.is_exit_known and seen.signal is None:
        return Verdict("completed", "", "")
    return _judge_exit(seen) or Verdict("completed", "", "")


def _judge_limit(seen: Observed) -> Optional[Verdict]:
    if seen.limit == "max_run_duration_s":
        return _failed(
            "time_limit", "it reached its time limit (max_run_duration_s) and was stopped"
        )
    if seen.limit == "memory_bytes":
        return _failed("memory", "its processes together used more memory than memory_bytes allows")
    if seen.limit == "prepare_s":
        return _failed("environment", "its environment wasn't ready within prepare_s")
    return None


def _start_cause(seen: Observed) -> str:
    return "environment" if seen.start_reason == "environment" else "start_failed"


def _judge_owner(seen: Observed) -> Optional[Verdict]:
    if seen.owner == "died":
        return _failed("owner_died", seen.owner_message or "its owner died without complete()")
    if seen.owner == "fail":
        return _failed("failed_by_script", seen.owner_message or "the script called fail()")
    return _judge_exit(seen) if seen.owner == "exit" else None


def _judge_exit(seen: Observed) -> Optional[Verdict]:
    if not seen.is_exit_known:
        return _failed("lost", "its supervisor was killed, so its exit status can't be learnt")
    if seen.signal is not None:
        name = signal_name(seen.signal)
        if seen.oom:
            return _failed("memory", f"the kernel's out-of-memory killer ended it ({name})")
        return _failed("signal", f"it was ended by {name}, which Outlast did not send")
    if seen.code != 0:
        return _failed("exit_code", f"the command ended with exit code {seen.code}")
    if seen.owner == "fail":
        return _failed("failed_by_script", seen.owner_message or "the script called fail()")
    return None


def _judge_rest(leftovers: str, on_logged_error: str, seen: Observed) -> Verdict:
    if seen.leftover_count and leftovers == "fail":
        return _failed("leftovers", f"{seen.leftover_count} processes outlived the command")
    if seen.problems:
        path, problem, message = seen.problems[0]
        more = f" (and {len(seen.problems) - 1} more)" if len(seen.problems) > 1 else ""
        cause = _PROBLEM_CAUSES.get(problem, "output_damaged")
        return _failed(cause, f"output {path}: {message}{more}")
    if seen.logged_errors and on_logged_error == "fail":
        return _failed("logged_error", f"{seen.logged_errors} errors were logged in its output")
    return Verdict("completed", "", "")


def _failed(cause: str, message: str) -> Verdict:
    return Verdict("failed", cause, message)


def signal_name(number: int) -> str:
    """ "SIGKILL" for 9; "signal 99" for a number without a name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
