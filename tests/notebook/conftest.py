"""The workspace that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sdk.place import Place, place_at


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTLAST_PORT", "0")
        with place_at(tmp_path_factory.mktemp("notebook") / "home") as made:
            yield made
