"""A workspace of its own for each scenario, used through the doors that a user has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from outlast import process
from outlast.sdk.handle import RunHandle
from outlast.sdk.start import start, stop
from outlast.sdk.workspace import Workspace
from outlast.transport.address import Address, find

# The big versions of the scenarios: minutes, not seconds.
IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"


class Place:
    """A workspace folder, its server, and the command line in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.workspace = Workspace(home)
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")
        }
        self.environ.update(OUTLAST_HOME=str(home), OUTLAST_PORT="0", NO_COLOR="1")

    def run(self, ref: str) -> RunHandle:
        return self.workspace.run(ref)

    def start_server(self) -> Address:
        return start(self.home, ["--port", "0"])

    def kill_server(self) -> None:
        server = find(self.home)
        assert server is not None, "no server to kill"
        pidfd = os.pidfd_open(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        wait_gone(pidfd)

    def stop_server(self) -> None:
        stop(self.home)

    def outlast(self, *arguments: str, check: bool = True, **options: Any) -> str:
        """What `outlast ARGUMENTS` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "outlast", *arguments],
            env=self.environ, stdout=subprocess.PIPE, text=True, check=check, timeout=60, **options,
        )  # fmt: skip
        return str(done.stdout)

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "outlast", *arguments], env=self.environ, **options
        )

    def folder(self, run_id: str) -> Path:
        return self.home / "runs" / run_id

    def supervisors(self, run_id: str) -> list[int]:
        """Both halves of the run's supervisor, as far as they live."""
        needle = str(self.folder(run_id))
        return [
            pid
            for pid in process.pids()
            if "supervisor/__main__.py" in (text := process.command_of(pid)) and needle in text
        ]

    def facts(self, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.outlast("show", "--json", run_id))
        return answer

    def wait_for(
        self, handle: RunHandle, wanted: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """The first state of the run for which `wanted` holds; fails when the run ends without."""
        found: dict[str, Any] = {}

        class Found(Exception):
            pass

        def look(state: dict[str, Any]) -> None:
            if wanted(state):
                found.update(state)
                raise Found

        try:
            handle.watch(look)
        except Found:
            return found
        pytest.fail(f"it never came to that: {handle.fetch()['state']}")


def wait_gone(pidfd: int) -> None:
    """Wait until the process behind `pidfd` has ended."""
    import select

    assert select.select([pidfd], [], [], 10)[0], "it didn't end"
    os.close(pidfd)


def end_runs(place: Place) -> None:
    """Cancel what is left, and wait until it has ended."""
    for handle in place.workspace.runs():
        if not handle.is_over:
            handle.cancel(force=True)
            handle.wait(raise_on_error=False)


@contextmanager
def _places() -> Iterator[Callable[[Path], Place]]:
    places: list[Place] = []

    def make(home: Path) -> Place:
        places.append(Place(home))
        places[-1].start_server()
        return places[-1]

    yield make
    for place in places:
        if find(place.home) is None:
            place.start_server()
        end_runs(place)
        place.workspace.close()
        place.stop_server()


def _home_in(folder: Path, database_url: str) -> Path:
    home = folder / "home"
    if database_url:
        home.mkdir(mode=0o700)
        (home / "config.toml").write_text(f'database_url = "{database_url}"\n')
    return home


@pytest.fixture
def place_at() -> Iterator[Callable[[Path], Place]]:
    """Workspaces with a server that runs; stopped at the end, their runs canceled."""
    with _places() as make:
        yield make


@pytest.fixture
def place(
    # In this order: the database goes last of all.
    workspace_database: str,
    tmp_path: Path,
    place_at: Callable[[Path], Place],
) -> Place:
    """A fresh workspace with a server that runs."""
    return place_at(_home_in(tmp_path, workspace_database))


@pytest.fixture(scope="module")
def module_place(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with _places() as make:
        yield make(_home_in(tmp_path_factory.mktemp("place"), module_database))


@pytest.fixture
def shared_place(module_place: Place) -> Iterator[Place]:
    """The workspace of a module whose tests look at nothing but their own runs.

    Its server runs, also when the test before has killed it; no run goes on.
    """
    module_place.start_server()
    yield module_place
    module_place.start_server()
    end_runs(module_place)
