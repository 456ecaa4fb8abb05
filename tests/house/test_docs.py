"""What exists is in the docs: verbs, settings, rules, events, routes and public names."""

from __future__ import annotations

from pathlib import Path

import pytest

import outlast
from outlast import config
from outlast.run.events import KINDS
from outlast.run.state import STATUSES
from outlast.run.verdict import CAUSES

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "outlast"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def listed(folder: str) -> list[str]:
    return sorted(path.stem for path in (SOURCE / folder).glob("[a-z]*.py"))


@pytest.mark.parametrize("verb", listed("cli/commands"))
def test_every_verb_is_in_the_docs(verb: str) -> None:
    assert f"`{verb.replace('_', '-')}" in page("cli.md")


@pytest.mark.parametrize("setting", config.Settings._fields)
def test_every_setting_is_in_the_docs_as_its_sentence_says(setting: str) -> None:
    assert f"`{setting}`" in page("settings.md")
    assert config.ABOUT[setting] in page("settings.md")


@pytest.mark.parametrize("rule", listed("why/rules"))
def test_every_rule_is_in_the_docs(rule: str) -> None:
    assert rule in page("why.md")


@pytest.mark.parametrize("event", KINDS)
def test_every_event_is_in_the_docs(event: str) -> None:
    assert event in page("runs.md")


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_in_the_docs(status: str) -> None:
    assert status in page("runs.md")


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_in_the_docs(cause: str) -> None:
    assert f"`{cause}`" in page("runs.md")


@pytest.mark.parametrize("name", [name for name in outlast.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_docs(name: str) -> None:
    assert f"`{name}`" in page("python.md")
