"""The server that the tests of this folder share; those that kill it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), database_url=module_database) as started:
        yield started
