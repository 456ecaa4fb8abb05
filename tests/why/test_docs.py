"""docs/why.md has an entry for each rule, in the words of its docstring."""

from __future__ import annotations

import re
from pathlib import Path

from outlast.why.explain import all_rules

PAGE = Path(__file__).parents[2] / "docs" / "why.md"


def test_every_rule_is_on_its_page_in_its_own_words() -> None:
    entries = dict(re.findall(r"^- `(\w+)`: (.+)$", PAGE.read_text(), re.M))
    rules = {
        module.__name__.rpartition(".")[2]: " ".join((module.__doc__ or "").split())
        for module in all_rules()
    }
    assert entries == rules
