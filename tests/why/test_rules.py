"""Each rule has a recorded evidence that fires it, and fires on others only where they list it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outlast.why.evidence import Evidence
from outlast.why.explain import all_rules, explain
from outlast.why.finding import Explanation
from tests.why import scenes

VECTORS = sorted(scenes.VECTORS.glob("*.json"))
RULES = [module.__name__.rpartition(".")[2] for module in all_rules()]


def _load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_vector_that_fires_it(name: str) -> None:
    assert name in _load(scenes.VECTORS / f"{name}.json")["fires"]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_vector_fires_exactly_the_rules_it_lists(path: Path) -> None:
    data = _load(path)
    found = explain(Evidence.from_dict(data["evidence"]))
    assert [finding.rule for finding in found.findings] == data["fires"]
    assert path.stem.partition(".")[0] in data["fires"]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_evidence_survives_its_recording(path: Path) -> None:
    evidence = Evidence.from_dict(_load(path)["evidence"])
    again = Evidence.from_dict(json.loads(json.dumps(evidence.to_dict())))
    assert repr(again) == repr(evidence)  # NaN isn't equal to itself


def test_the_vectors_are_those_of_the_scenes() -> None:
    """After changing a scene: `python -m tests.why.scenes`, and read the difference."""
    recorded = {path.stem: _load(path)["evidence"] for path in VECTORS}
    made = {name: item.to_dict() for name, item in scenes.scenes().items()}
    assert json.loads(json.dumps(made)) == recorded


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_an_explanation_travels_as_json(path: Path) -> None:
    found = explain(Evidence.from_dict(_load(path)["evidence"]))
    assert Explanation.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_findings_name_their_rule_end_as_sentences_and_lead_somewhere(path: Path) -> None:
    for finding in explain(Evidence.from_dict(_load(path)["evidence"])).findings:
        assert finding.rule in RULES
        assert finding.claim[-1] in ".?"
        assert not finding.next or finding.next.endswith(".")
        assert ".." not in finding.claim.replace("…", "")
        assert finding.severity == "info" or finding.evidence or finding.command
