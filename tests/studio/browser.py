"""A real browser on the studio: what goes wrong in it is kept, and fails the test."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, BrowserType, ConsoleMessage, Page

from tests.server.running import Server

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
REBOUND = "rebound.example"
# A server that is away, a login that is refused, or a machine that is busy (xterm.js tells how late
# its work was done) is no fault of the page's.
EXPECTED = (
    "Failed to load resource", "GPU stall", "WebSocket connection to", "task queue exceeded",
)  # fmt: skip


def program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def launch(chromium: BrowserType, *more: str) -> Browser:
    # REBOUND stands for a name whose owner lets it point here all of a sudden.
    rule = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    return chromium.launch(executable_path=program(), args=[*ARGUMENTS, rule, *more])


class Watched:
    """One browser of one person; `faults` are the errors that its pages told."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.context = context
        self.server = server
        self.faults: list[str] = []
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _heard(self, message: ConsoleMessage) -> None:
        is_expected = any(part in message.text for part in EXPECTED)
        if message.type in ("error", "warning") and not is_expected:
            self.faults.append(message.text)

    def url(self, path: str) -> str:
        return f"http://{self.server.host}{path}"

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.goto(self.url(path))
        return page

    def log_in(self, token: str = "") -> Page:
        """In by a one-time link, as `outlast studio` makes it."""
        code = self.server.ask("POST", "/api/logins", {}, token=token).json["code"]
        page = self.open(f"/login#{code}")
        page.wait_for_url("**/runs")
        page.get_by_role("heading", name="Runs").wait_for()
        return page


@contextlib.contextmanager
def watched(browser: Browser, server: Server, **options: Any) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    one = Watched(context, server)
    try:
        yield one
    finally:
        context.close()
    assert one.faults == [], one.faults


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
