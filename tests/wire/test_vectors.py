"""The vectors that a twin in another language passes are what ClientHalf does."""

from __future__ import annotations

import json

import pytest

from tests.wire.vectors import FOLDER, files

MADE = files()


@pytest.mark.parametrize("name", list(MADE))
def test_the_client_does_what_its_vector_says(name: str) -> None:
    kept = json.loads((FOLDER / name).read_text())
    made = json.loads(MADE[name])
    for at, step in enumerate(made.get("steps", [])):
        assert kept["steps"][at] == step, f"step {at}"
    assert made == kept


def test_no_vector_is_left_over() -> None:
    kept = {path.name for path in FOLDER.glob("client-*.json")}
    assert kept == {name for name in MADE if name.startswith("client-")}
