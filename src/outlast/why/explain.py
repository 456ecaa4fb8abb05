"""The answer to "why?": every rule looks at the evidence, and one sentence says it all first. Pure.

The rules are the files of `rules/`, found by listing. There is an answer for every state: where no
rule knows more, the state's own cause and message speak.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol, cast

from outlast import catalog
from outlast.run import state as st
from outlast.run.verdict import CAUSES
from outlast.units import between, count, duration
from outlast.why.evidence import Evidence
from outlast.why.finding import SEVERITIES, Explanation, Finding
from outlast.why.wording import ending, ran_s


class Rule(Protocol):
    """A file on the shelf `rules/`."""

    RANK: int
    ANSWERS: bool
    __name__: str
    __doc__: str | None

    def rule(self, evidence: Evidence) -> Finding | None: ...


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of RANK, then of names."""
    rules = (cast(Rule, module) for module in catalog.load("outlast.why.rules"))
    return tuple(sorted(rules, key=lambda rule: rule.RANK))


def explain(evidence: Evidence) -> Explanation:
    """Say why the run is as it is; never raises, whatever its state and story."""
    found: list[tuple[Rule, Finding]] = []
    for module in all_rules():
        finding = module.rule(evidence)
        if finding is not None:
            found.append((module, finding))
    found.sort(key=lambda pair: SEVERITIES.index(pair[1].severity))  # stable: RANK within
    lead = next((finding for module, finding in found if _answers(module, evidence)), None)
    if evidence.state.status in (st.FAILED, st.CANCELED):
        found.sort(key=lambda pair: pair[1] is not lead)
    headline = _headline(evidence, lead, [finding for _, finding in found])
    return Explanation(headline, tuple(finding for _, finding in found))


def _answers(module: Rule, evidence: Evidence) -> bool:
    """May its claim say why the run is in its state?

    A rule that has the name of a cause speaks of that cause: a canceled run may also miss an
    output, but that isn't why it is canceled.
    """
    name = module.__name__.rpartition(".")[2]
    return module.ANSWERS and (name not in CAUSES or name == evidence.state.cause)


def _headline(evidence: Evidence, lead: Finding | None, findings: list[Finding]) -> str:
    state = evidence.state
    if state.status == st.COMPLETED:
        warnings = sum(finding.severity != "info" for finding in findings)
        done = next((f.claim for f in findings if f.rule == "completed"), "Completed.")
        return done + (f" {count(warnings, 'warning')} below." if warnings else "")
    claim = _inside(lead.claim) if lead else _plain(evidence)
    return f"{_opening(evidence)}: {claim}" + _rest(evidence, lead)


def _opening(evidence: Evidence) -> str:
    state, now_ns = evidence.state, evidence.now_ns
    age = between(state.since_ns, now_ns)
    if state.status in (st.FAILED, st.CANCELED):
        ran = f" after {duration(ran_s(evidence))}" if state.started_ns else ""
        return f"{state.status}{ran}"
    if state.status in st.WAITING:
        waited = between(state.queued_ns or state.since_ns or state.created_ns, now_ns)
        return f"Waiting for {waited}"
    if state.status == st.RUNNING:
        return f"Running for {duration(ran_s(evidence))}"
    words = {
        st.CANCEL_REQUESTED: "Being canceled",
        st.NOT_RESPONDING: "Not responding",
        st.FINALIZING: "Not finished yet",
    }
    return words.get(state.status) or f"{state.status} for {age}"


def _rest(evidence: Evidence, lead: Finding | None) -> str:
    """The exit code, where the claim tells the deeper reason."""
    state = evidence.state
    if lead is None or state.status != st.FAILED or state.cause != "exit_code":
        return ""
    return "" if lead.rule == "exit_code" else f" The command ended with {ending(evidence)}."


# The first words of claims that aren't names; within a sentence they are written small.
_SMALL = frozenset(("The", "It", "Its", "A", "An", "Slots", "Attempt", "This", "Every"))


def _inside(claim: str) -> str:
    first = claim.partition(" ")[0]
    return claim[0].lower() + claim[1:] if first in _SMALL else claim


def _plain(evidence: Evidence) -> str:
    """What the state itself says, where no rule knows more."""
    state = evidence.state
    said = state.message or CAUSES.get(state.cause, "") or "nothing more is known yet"
    return f"{said.rstrip('.')}."
