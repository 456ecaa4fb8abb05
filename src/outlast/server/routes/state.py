"""The state of a run, now or as soon as it is another."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.server.shapes import Wait
from outlast.store import runs


class Since(Wait):
    version: Annotated[
        int | None, Meta(description="of the state that is known already: wait for another")
    ] = None


class Versioned(msgspec.Struct):
    version: int
    state: dict[str, Any]


async def state(call: Call) -> Response:
    """The state; with `version` and `wait`, once it is another or the time is up."""
    query = call.query_as(Since)
    parts, run_id = call.parts, call.run_id
    if query.version is None:
        await call.catch_up()
    await parts.read(runs.key_of, run_id)  # NotFound now, not after waiting
    changes = parts.scheduler.changes
    seconds = min(query.wait, parts.settings.max_wait_s)
    version = changes.version(run_id)
    if query.version == version and seconds > 0 and not parts.stopping.is_set():
        waiting = asyncio.create_task(changes.wait(run_id, version, seconds))
        stopping = asyncio.create_task(parts.stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, stopping):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    # Taken before the state is read: a change in between is told the next time.
    version = changes.version(run_id)
    _, found = await parts.read(runs.state_of, run_id)
    return json_answer({"version": version, "state": found.to_dict()})


routes = [Route("GET", "/api/runs/{id}/state", "read", state, Since, answer=Versioned)]
