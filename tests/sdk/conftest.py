"""The workspace that the tests of this folder share; those that stop its server have their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.place import Place, place_at


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the tester's own Outlast, and ports that nobody else wants."""
    for name in ("HOME", "URL", "TOKEN", "RUN", "RUN_ID", "DEBUG"):
        monkeypatch.delenv(f"OUTLAST_{name}", raising=False)
    monkeypatch.setenv("OUTLAST_PORT", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_at(tmp_path_factory.mktemp("place") / "home") as made:
        yield made


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    with place_at(tmp_path / "home") as made:
        yield made
