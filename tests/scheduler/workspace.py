"""A workspace with a scheduler, for tests: real folders, a real database, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from outlast.artifacts.blobs import Blobs
from outlast.config import Settings
from outlast.executors.local import supervised_folders
from outlast.journal.cursor import Cursor
from outlast.process import Identity, with_environ
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import RunState
from outlast.scheduler.scheduler import Scheduler
from outlast.store.database import Database, metadata
from tests.executors.contract import wait_dead

WAIT_S = 30.0
PAUSE = "import signal; signal.pause()"


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


class Workspace:
    """One workspace folder; `running()` gives a scheduler that looks after it."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.work = home / "project"
        self.work.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(**{"home": str(home), "cpus": 8.0, "gpus": 0, **settings})

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[Scheduler]:
        database = Database.open(self.settings.database)
        scheduler = Scheduler(self.settings, database, Blobs(self.settings.blobs), **more)
        try:
            await scheduler.start()
            yield scheduler
        finally:
            await scheduler.stop()
            database.close()

    def launch(self, command: list[str], **environ: str) -> dict[str, Any]:
        return {
            "command": command,
            "environ": {"PATH": os.environ["PATH"], **environ},
            "folder": str(self.work),
        }

    async def submit(self, scheduler: Scheduler, code: str, **spec: Any) -> str:
        """Queue a run of this Python code in the project's folder; returns its id."""
        made = await scheduler.submit(spec, self.launch(python(code)))
        return made.id

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(str(self.home / "runs" / run_id))

    def text(self, run_id: str, name: str) -> str:
        return Path(self.folder(run_id).file(name)).read_text()

    def mode(self, run_id: str, name: str) -> int:
        return stat.S_IMODE(Path(self.folder(run_id).file(name)).stat().st_mode)

    def names(self, run_id: str = "") -> list[str]:
        """What is in the folder of runs, or of one run."""
        folder = Path(self.settings.runs_folder, run_id)
        return sorted(entry.name for entry in folder.iterdir())

    def records(self, run_id: str, journal: str) -> list[dict[str, Any]]:
        with Cursor(self.folder(run_id).file(journal)) as cursor:
            return [dict(record) for record in cursor.read_records().records]

    def swap(self, run_id: str, name: str, content: bytes) -> bytes:
        """Put something else into a file; returns what was in it."""
        path = Path(self.folder(run_id).file(name))
        before = path.read_bytes()
        path.write_bytes(content)
        return before

    def forget_index(self) -> None:
        """Empty the database: all must be found in the folders."""
        database = Database.open(self.settings.database)
        try:
            with database.write() as connection:
                metadata.drop_all(connection)
        finally:
            database.close()

    def hide_blobs(self) -> None:
        """As if the disk of the blobs were gone."""
        blobs = Path(self.settings.blobs)
        blobs.rename(blobs.with_name("away"))

    def show_blobs(self) -> None:
        blobs = Path(self.settings.blobs)
        blobs.with_name("away").rename(blobs)

    def kill_everything(self) -> None:
        """End what a failed test has left, supervisors first."""
        for pid, path in supervised_folders().items():
            if path.startswith(str(self.home)):
                _kill(pid)
        for folder in (self.home / "runs").glob("*"):
            for pid in with_environ(b"OUTLAST_RUN=" + os.fsencode(str(folder))):
                _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def wait_state(
    scheduler: Scheduler, run_id: str, is_it: Callable[[RunState], bool]
) -> RunState:
    """The first state that is it; fails with the last one when it doesn't come."""
    until_s = time.monotonic() + WAIT_S
    while True:
        version = scheduler.changes.version(run_id)
        state = await scheduler.state(run_id)
        if state is not None and is_it(state):
            return state
        left_s = until_s - time.monotonic()
        assert left_s > 0, f"it stays {state}"
        await scheduler.changes.wait(run_id, version, min(left_s, 1.0))


async def wait_until(is_it: Callable[[], bool]) -> None:
    """For what no event tells."""
    until_s = time.monotonic() + WAIT_S
    while not is_it():
        assert time.monotonic() < until_s
        await asyncio.sleep(0.01)


async def wait_status(scheduler: Scheduler, run_id: str, *statuses: str) -> RunState:
    return await wait_state(scheduler, run_id, lambda state: state.status in statuses)


async def wait_over(scheduler: Scheduler, run_id: str) -> RunState:
    return await wait_state(scheduler, run_id, lambda state: state.is_over)


def spec_of(run_id: str, **fields: Any) -> RunSpec:
    return RunSpec.from_dict({"id": run_id, "command": ["true"], **fields})


def run(story: Any) -> None:
    """One asynchronous story, within a time."""

    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S * 2):
            await story

    asyncio.run(bounded())


def supervisors(workspace: Workspace, run_id: str) -> list[int]:
    path = workspace.folder(run_id).path
    return [pid for pid, folder in supervised_folders().items() if folder == path]


def kill_supervisors(workspace: Workspace, run_id: str) -> None:
    """All of them: one that takes over as well."""
    while pids := supervisors(workspace, run_id):
        for pid in pids:
            identity = Identity.of(pid)
            os.kill(pid, signal.SIGKILL)
            if identity is not None:
                wait_dead(identity)
