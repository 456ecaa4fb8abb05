"""What names there are: experiments, and the run that a reference means."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.errors import NotFound
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.store import runs


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    ref: Annotated[str, Meta(description="an id, its beginning, a name, @last, @-2")]


class Resolved(msgspec.Struct):
    id: str


class Experiment(msgspec.Struct):
    name: str
    runs: int
    over: int
    last_ns: int


class Experiments(msgspec.Struct):
    experiments: list[Experiment]


async def resolve(call: Call) -> Response:
    """The id of the run that a reference means."""
    ref = call.query_as(Reference).ref
    try:
        return json_answer({"id": await call.parts.read(runs.resolve, ref)})
    except NotFound:
        if not await call.parts.scheduler.meet(ref):
            raise
        return json_answer({"id": ref})


async def experiments(call: Call) -> Response:
    """Every experiment with its number of runs."""
    return json_answer({"experiments": await call.parts.read(runs.experiments)})


routes = [
    Route("GET", "/api/resolve", "read", resolve, Reference, answer=Resolved),
    Route("GET", "/api/experiments", "read", experiments, answer=Experiments),
]
