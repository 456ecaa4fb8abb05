"""The command ended with exit code 0 though errors were logged in its output: how many, the last
of them, and what the policy on_logged_error says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.state import COMPLETED, FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import traceback_fact

RANK = 20
ANSWERS = True


def rule(evidence: Evidence) -> Finding | None:
    state, told = evidence.state, _told(evidence)
    is_cause = state.status == FAILED and state.cause == "logged_error"
    if not is_cause and (state.status != COMPLETED or not told):
        return None
    number = told.get("found")
    some = "errors were"
    if isinstance(number, int):
        some = "1 error was" if number == 1 else f"{number:,} errors were"
    how = "the command ended with exit code 0"
    if state.kind == "interactive":
        how = "it was ended by complete()"
    policy = evidence.spec.policy.on_logged_error
    consequence = "a failure" if is_cause else "a warning, not a failure"
    change = "warn" if is_cause else "fail"
    return Finding(
        rule="logged_errors",
        claim=f"{how[0].upper()}{how[1:]}, but {some} logged in its output.",
        evidence=(*_last(told), *traceback_fact(evidence)),
        since_ns=state.ended_ns,
        next=f"The policy on_logged_error = {policy} makes that {consequence}.",
        command=f"outlast run --on-logged-error {change} -- …",
        severity="problem" if is_cause else "warning",
    )


def _told(evidence: Evidence) -> Mapping[str, Any]:
    """What the supervisor found in the whole output: found, last_offset, last_line; {} if none."""
    for warned in evidence.each(ev.Warned):
        told = warned.event.facts.get("logged_errors")
        if warned.event.code == "logged_errors" and isinstance(told, dict):
            return told
    told = evidence.state.facts.get("logged_errors")
    return told if isinstance(told, dict) else {}


def _last(told: Mapping[str, Any]) -> tuple[Fact, ...]:
    line, offset = str(told.get("last_line", "")), told.get("last_offset")
    if not line:
        return ()
    where = offset if isinstance(offset, int) else None
    return (Fact(f"the last of them: {one_line(line)}", "output", where),)
