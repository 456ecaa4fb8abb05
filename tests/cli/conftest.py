"""The workspace that the tests of this folder share, and the command line in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.cli.terminal import Piped, Terminal, terminal
from tests.sdk.place import Place, place_at


def environ_of(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        kept.pop(name, None)
    return {**kept, "OUTLAST_HOME": str(home), "OUTLAST_PORT": "0", "TERM": "xterm"}


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTLAST_PORT", "0")
        with place_at(tmp_path_factory.mktemp("cli") / "home") as made:
            yield made


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in place leave their outputs in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(place: Place) -> Piped:
    return Piped(environ_of(place.home))


@pytest.fixture
def tty(place: Place) -> Callable[..., AbstractContextManager[Terminal]]:
    return partial(terminal, environ_of(place.home))
