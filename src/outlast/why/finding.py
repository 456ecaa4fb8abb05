"""What `why` answers: findings with their evidence, under one sentence for the state.

Plain values that travel as JSON. Every text in here is safe to show (see `outlast.printable`): it
is cleaned when a Finding or an Explanation is made, whoever makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from outlast.printable import printable

Severity = Literal["problem", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the worst first


def _clean(item: object, *names: str) -> None:
    for name in names:
        object.__setattr__(item, name, printable(getattr(item, name)))


@dataclass(frozen=True)
class Fact:
    """One thing that was seen; `journal` and `offset` (bytes) lead to it where it was written."""

    text: str
    journal: str = ""
    offset: int | None = None
    t_ns: int = 0  # 0 = no time of its own

    def __post_init__(self) -> None:
        _clean(self, "text", "journal")


@dataclass(frozen=True)
class Finding:
    """One claim about the run, why it is believed, what happens next, and what changes it."""

    rule: str
    claim: str
    evidence: tuple[Fact, ...] = ()
    since_ns: int = 0
    next: str = ""  # what happens by itself; "" = nothing more
    next_ns: int = 0  # by when; 0 = no such time
    command: str = ""  # what to type to change it; "" = nothing to change
    severity: Severity = "info"

    def __post_init__(self) -> None:
        _clean(self, "claim", "next", "command")


@dataclass(frozen=True)
class Explanation:
    """The whole answer: one sentence, then the findings, the gravest first."""

    headline: str
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _clean(self, "headline")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as GET /api/runs/{id}/why answers; `from_dict` reads it back."""
        return {
            "headline": self.headline,
            "findings": [_finding_to_dict(finding) for finding in self.findings],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Explanation:
        """Fields that this version doesn't know are left out."""
        findings = tuple(_finding_from_dict(item) for item in data.get("findings", ()))
        return cls(str(data.get("headline", "")), findings)


def _finding_to_dict(finding: Finding) -> dict[str, Any]:
    return {
        **{name: getattr(finding, name) for name in Finding.__dataclass_fields__},
        "evidence": [
            {name: getattr(fact, name) for name in Fact.__dataclass_fields__}
            for fact in finding.evidence
        ],
    }


def _finding_from_dict(data: Mapping[str, Any]) -> Finding:
    values = {name: data[name] for name in Finding.__dataclass_fields__ if name in data}
    values["evidence"] = tuple(
        Fact(**{name: item[name] for name in Fact.__dataclass_fields__ if name in item})
        for item in data.get("evidence", ())
    )
    return Finding(**values)
