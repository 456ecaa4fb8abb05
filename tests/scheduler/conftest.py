"""A fresh workspace for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, workspace_database: str) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "home", database_url=workspace_database)
    yield made
    made.kill_everything()
