"""What a running server consists of: made once in `process`, handed to every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from sqlalchemy.engine import Connection

from outlast.artifacts.blobs import Blobs
from outlast.config import Settings
from outlast.errors import NotFound
from outlast.scheduler.scheduler import Scheduler
from outlast.server.auth import Tickets
from outlast.server.follow import Followers
from outlast.server.keys import WorkspaceKeys
from outlast.server.logins import Codes
from outlast.server.pace import Pace
from outlast.server.studio import Studio
from outlast.sessions.screens import Screens
from outlast.store.database import Database

Result = TypeVar("Result")
Args = ParamSpec("Args")


class Parts(NamedTuple):
    """The parts of one server."""

    settings: Settings
    url: str
    started_ns: int
    database: Database
    scheduler: Scheduler
    blobs: Blobs
    followers: Followers
    pace: Pace
    screens: Screens
    tickets: Tickets
    codes: Codes
    studio: Studio
    threads: ThreadPoolExecutor
    stopping: asyncio.Event  # set when the server is going to stop: nobody waits any longer
    stop: Callable[[], None]
    keys: WorkspaceKeys
    note: Callable[..., None]  # the audit trail: (who, action, target, origin, result)

    async def in_thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run what blocks, away from the loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *args)

    async def is_over(self, run_id: str) -> bool:
        """Is the run Completed, Failed or Canceled? Raises NotFound."""
        state = await self.scheduler.state(run_id)
        if state is None:
            raise NotFound("there is no such run in this workspace")
        return state.is_over

    async def read(
        self,
        work: Callable[Concatenate[Connection, Args], Result],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> Result:
        """`work(connection, …)` on a snapshot of the database, away from the loop."""

        def look() -> Result:
            with self.database.read() as connection:
                return work(connection, *args, **kwargs)

        return await self.in_thread(look)

    async def write(
        self,
        work: Callable[Concatenate[Connection, Args], Result],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> Result:
        """`work(connection, …)` in one transaction; on the disk when this returns."""

        def change() -> Result:
            with self.database.write() as connection:
                return work(connection, *args, **kwargs)

        return await self.in_thread(change)
