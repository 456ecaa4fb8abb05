"""The browser and the server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from outlast.server.studio import Studio
from tests.server.running import Server, running
from tests.studio.browser import Watched, launch, program, watched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of this module alone: while Playwright runs, its thread has an event loop of Playwright's,
    and whatever test comes next could have none of its own."""
    if program() is None:
        pytest.skip("no browser: install Debian's package chromium")
    if Studio().index is None:
        pytest.skip("the studio isn't built: scripts/studio")
    with sync_playwright() as playwright:
        launched = launch(playwright.chromium)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("studio")) as started:
        yield started


@pytest.fixture
def person(browser: Browser, server: Server) -> Iterator[Watched]:
    """Somebody with a browser of their own."""
    with watched(browser, server) as one:
        yield one
