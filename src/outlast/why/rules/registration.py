"""The run asked for models that aren't registered: why they can't be, or what they wait for."""

from __future__ import annotations

from outlast.run import events as ev
from outlast.units import count
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import fact

RANK = 75
ANSWERS = False
FAILED = "not_registered"  # the warning's code


def rule(evidence: Evidence) -> Finding | None:
    failed = [message for code, message in evidence.state.warnings if code == FAILED]
    if failed:
        return _failed(evidence, failed)
    return _waiting(evidence) if evidence.registrations else None


def _failed(evidence: Evidence, messages: list[str]) -> Finding:
    told = {found.event.message: found for found in evidence.each(ev.Warned)}
    more = f" ({len(messages) - 1} more below)" if len(messages) > 1 else ""
    return Finding(
        rule="registration",
        claim=f"{messages[0].rstrip('.')}{more}.".replace("model", "Model", 1),
        evidence=tuple(
            fact(told[message], message) if message in told else Fact(message)
            for message in messages[:20]
        ),
        command=f"outlast models register NAME PATH --run {evidence.id}",
        severity="warning",
    )


def _waiting(evidence: Evidence) -> Finding:
    wishes = evidence.registrations
    first = wishes[0]
    is_over = evidence.state.is_over
    waits_for = "its outputs are stored" if not is_over else "its outputs can be stored"
    return Finding(
        rule="registration",
        claim=f"{count(len(wishes), 'model')} will be registered once {waits_for}.",
        evidence=tuple(
            Fact(f"model {wish.name!r} from {wish.path!r}", t_ns=wish.t_ns) for wish in wishes[:20]
        ),
        since_ns=first.t_ns,
        next="" if is_over else "The server does it before the run is Completed.",
        command=f"outlast outputs push {evidence.id}" if is_over else "",
        severity="warning" if is_over else "info",
    )
