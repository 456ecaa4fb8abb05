"""One world for the tests of a module; a test that breaks its server mends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ssh.world import World, world_in


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("world")) as made:
        yield made
