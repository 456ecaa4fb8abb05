"""The bytes of FORMATS.md, as files that any implementation can be held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Corrupt
from outlast.journal.cursor import Cursor
from outlast.journal.line import pack, pack_json, unpack
from outlast.journal.trim import first_offset

VECTORS = Path(__file__).parents[1] / "vectors" / "journal"
LINES: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "lines.json").read_text())


@pytest.mark.parametrize("vector", LINES["packed"], ids=lambda vector: vector["why"])
def test_a_record_has_exactly_these_bytes(vector: dict[str, Any]) -> None:
    line = vector["line"].encode()
    assert unpack(line) == vector["record"]
    assert pack(vector["record"]) == line


@pytest.mark.parametrize("vector", LINES["allowed"], ids=lambda vector: vector["why"])
def test_lines_of_other_writers_are_read(vector: dict[str, Any]) -> None:
    line = vector["line"].encode()
    assert unpack(line) == vector["record"]
    assert pack_json(vector["body"].encode()) == line


@pytest.mark.parametrize("vector", LINES["refused"], ids=lambda vector: vector["why"])
def test_damaged_lines_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        unpack(vector["line"].encode())


def test_a_damaged_journal_is_read_around_the_damage() -> None:
    expected = json.loads((VECTORS / "damaged.expected.json").read_text())
    with Cursor(str(VECTORS / "damaged")) as cursor:
        batch = cursor.read_records()
        assert batch.records == expected["records"]
        assert batch.ends == expected["ends"]
        assert batch.corrupt == [tuple(span) for span in expected["corrupt"]]
        assert batch.offset == expected["offset"]
        assert cursor.size() == expected["size"]


def test_the_first_offset_is_a_record_of_its_own() -> None:
    assert first_offset(str(VECTORS / "trimmed")) == 8192
