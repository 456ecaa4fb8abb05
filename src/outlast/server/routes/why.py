"""Why a run is as it is: the evidence is gathered when somebody asks."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import WAITING, RunState
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.store import registrations, runs
from outlast.why.evidence import Wish, gather
from outlast.why.explain import explain
from outlast.why.place import QueuePlace


class Explanation(msgspec.Struct):
    headline: str
    findings: list[dict[str, Any]]


async def why(call: Call) -> Response:
    """A sentence, then findings with their evidence, what happens next, and what changes it."""
    folder = call.folder
    await call.catch_up()
    spec = await call.parts.read(runs.spec_of, folder.run_id)
    _, state = await call.parts.read(runs.state_of, folder.run_id)
    queue = await _place(call, folder.run_id) if state.status in WAITING else None
    waiting = await call.parts.read(registrations.of_run, folder.run_id, registrations.WAITING)
    wishes = [Wish(one.asked.name, one.asked.path, one.asked.t_ns) for one in waiting]
    return json_answer(await call.parts.in_thread(_explained, folder, spec, state, queue, wishes))


async def _place(call: Call, run_id: str) -> QueuePlace | None:
    facts = call.parts.scheduler.queue_facts(run_id)
    if facts is None:
        return None
    states = {needed: await call.parts.scheduler.state(needed) for needed in facts.upstream}
    statuses = {needed: state.status for needed, state in states.items() if state is not None}
    return QueuePlace.of(facts, statuses)


def _explained(
    folder: RunFolder,
    spec: RunSpec,
    state: RunState,
    queue: QueuePlace | None,
    wishes: list[Wish],
) -> dict[str, Any]:
    return explain(gather(folder, spec, state, queue=queue, registrations=wishes)).to_dict()


routes = [Route("GET", "/api/runs/{id}/why", "read", why, answer=Explanation)]
