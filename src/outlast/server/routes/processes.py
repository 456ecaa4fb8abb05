"""The live processes of a run."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from outlast.run.folder import RunFolder
from outlast.run.state import RunState
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.store import runs
from outlast.why.processes import look

SAMPLE_S = 0.1  # how long they are watched for their use of the processor


class Processes(msgspec.Struct):
    processes: list[dict[str, Any]]


async def processes(call: Call) -> Response:
    """The run's process tree as it is now, parents first."""
    folder = call.folder
    _, state = await call.parts.read(runs.state_of, folder.run_id)
    return json_answer({"processes": await call.parts.in_thread(_live, folder, state)})


def _live(folder: RunFolder, state: RunState) -> list[dict[str, Any]]:
    supervisor_pid = state.supervisor.pid if state.supervisor else 0
    main_pid = state.main.pid if state.main else 0
    seen = look(folder, supervisor_pid, main_pid, (), SAMPLE_S)
    return [process._asdict() for process in seen]


routes = [Route("GET", "/api/runs/{id}/processes", "read", processes, answer=Processes)]
