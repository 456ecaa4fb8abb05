"""The command ended with exit code 0 though errors were logged in its output: how many, the last
of them, and what the policy on_logged_error says.
"""

from __future__ import annotations

import re

from outlast.printable import one_line
from outlast.run import events as ev
from outlast.run.state import COMPLETED, FAILED, FINALIZING
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact, traceback_fact

RANK = 20
ANSWERS = True
CODES = ("logged_errors", "logged_error")
_ERROR = re.compile(r"(?:^|[\s\[|:])(?:ERROR|CRITICAL|FATAL)(?:[\s\]|:]|$)")


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    is_cause = state.status == FAILED and state.cause == "logged_error"
    if not is_cause and (state.status not in (COMPLETED, FINALIZING) or state.exit_code):
        return None
    if evidence.spec.policy.on_logged_error == "ignore" and not is_cause:
        return None
    told = next((f for f in evidence.each(ev.Warned) if f.event.code in CODES), None)
    lines = [line for line in evidence.lines if _ERROR.search(line.text)]
    if not (told or lines or evidence.traceback or is_cause):
        return None
    number = _number(told.event.facts if told else state.facts, len(lines))
    were = "error was" if number == 1 else "errors were"
    some = f"{number:,} {were}" if number else "an exception was"
    facts: list[Fact] = [fact(told, told.event.message)] if told else []
    facts += [Fact(one_line(line.text), "output", line.offset) for line in lines[-1:]]
    policy = evidence.spec.policy.on_logged_error
    well = "The command ended with exit code 0"
    if state.kind == "interactive":
        well = "It was ended by complete()"
    return Finding(
        rule="logged_errors",
        claim=f"{well}, but {some} logged in its output.",
        evidence=(*facts, *traceback_fact(evidence)),
        since_ns=state.ended_ns,
        next="The policy on_logged_error = fail makes that a failure."
        if is_cause
        else f"The policy on_logged_error = {policy} makes that a warning, not a failure.",
        command=f"outlast logs {evidence.id}"
        if is_cause
        else "outlast run --on-logged-error fail -- …",
        severity="problem" if is_cause else "warning",
    )


def _number(facts: object, seen: int) -> int:
    told = facts.get("count", 0) if isinstance(facts, dict) else 0
    return told if isinstance(told, int) and told else seen
