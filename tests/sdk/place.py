"""A workspace of its own with a real server: what the tests of the SDK and of the CLI work on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

from outlast.sdk.start import start, stop
from outlast.sdk.workspace import Workspace
from outlast.transport.address import Address, find

END_TIMEOUT_S = 20.0


class Place:
    """A workspace folder, its server, and handles on its runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.workspace = Workspace(home)

    def start_server(self) -> Address:
        return start(self.home, ["--port", "0"])

    def kill_server(self) -> None:
        """With -9; it is gone when this returns."""
        server = find(self.home)
        assert server is not None
        pidfd = os.pidfd_open(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        assert select.select([pidfd], [], [], END_TIMEOUT_S)[0]
        os.close(pidfd)

    def stop_server(self) -> None:
        stop(self.home)

    def folder(self, run_id: str) -> Path:
        return self.home / "runs" / run_id

    def clear(self) -> None:
        """End every run that isn't over."""
        for handle in self.workspace.runs():
            if not handle.is_over:
                handle.cancel(force=True)
                handle.wait(raise_on_error=False)


@contextlib.contextmanager
def place_at(home: Path) -> Iterator[Place]:
    """A place whose server runs; stopped at the end, its runs ended."""
    place = Place(home)
    place.start_server()
    try:
        yield place
        place.start_server()  # where a test has stopped it
        place.clear()
    finally:
        place.workspace.close()
        place.stop_server()
