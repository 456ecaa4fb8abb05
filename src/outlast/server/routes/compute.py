"""Compute targets: named pools of nodes, and instances; who is on them and who waits for them."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from outlast.errors import Conflict, Invalid
from outlast.run.spec import Resources
from outlast.scheduler import pools, sizes
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.parts import Parts
from outlast.server.route import Route
from outlast.store import compute
from outlast.store.compute import Target


class TargetRow(msgspec.Struct):
    """A compute target as it stands."""

    name: str
    kind: Literal["pool", "instance"]
    size: Annotated[str, Meta(description="as it was named; empty for none")]
    node: Annotated[dict[str, Any], Meta(description="what a run on one node holds here")]
    asked: Annotated[dict[str, Any], Meta(description="what a node should have; 0 = equal part")]
    notes: Annotated[list[str], Meta(description="how a node differs from what was asked for")]
    min_nodes: int
    max_nodes: int
    busy_nodes: int
    runs: Annotated[list[str], Meta(description="ids of the runs that are on it")]
    waiting: Annotated[list[str], Meta(description="ids of the runs that wait for it")]
    idle_s: float
    is_stopped: bool
    settings: Annotated[dict[str, Any], Meta(description="kept, not acted on")]
    tags: dict[str, str | None]
    created_ns: int
    created_by: str
    changed_ns: int


class Targets(msgspec.Struct):
    targets: list[TargetRow]
    machine: Annotated[dict[str, Any], Meta(description="what there is to share out")]


class Sizes(msgspec.Struct):
    sizes: list[dict[str, Any]]


class NewTarget(msgspec.Struct, forbid_unknown_fields=True):
    """A pool or an instance; its nodes by a size's name, or by what each has."""

    name: str
    kind: Literal["pool", "instance"] = "pool"
    size: Annotated[str, Meta(description="as STANDARD_D2_V2; GET /api/sizes lists them")] = ""
    cpus: Annotated[float, Meta(ge=0, le=1e6, description="0 = an equal part")] = 0.0
    memory_bytes: Annotated[int, Meta(ge=0, le=1 << 60)] = 0
    gpus: Annotated[int, Meta(ge=0, le=10_000)] = 0
    min_nodes: Annotated[int, Meta(ge=0)] = 0
    max_nodes: Annotated[int, Meta(ge=1, description="runs on it at once")] = 1
    idle_s: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    settings: dict[str, Any] = {}
    tags: dict[str, str | None] = {}


class TargetChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to set; the rest stays."""

    min_nodes: int | UnsetType = UNSET
    max_nodes: int | UnsetType = UNSET
    idle_s: Annotated[float, Meta(ge=0, le=1e9)] | UnsetType = UNSET
    is_stopped: bool | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    tags: dict[str, str | None] | UnsetType = UNSET


async def list_targets(call: Call) -> Response:
    """Every compute target in the order of names, and the machine that they share."""
    found = await call.parts.read(compute.every)
    rows = [_row(call.parts, target) for target in found]
    return json_answer({"targets": rows, "machine": _plain(call.parts.scheduler.totals)})


async def list_sizes(call: Call) -> Response:
    """The names of sizes, with what a node of each has."""
    return json_answer(
        {"sizes": [{"name": name, **sizes.share(name)._asdict()} for name in sizes.names()]}
    )


async def create_target(call: Call) -> Response:
    """Make a compute target; runs may wait for its nodes from now on."""
    wanted, now_ns = await call.body_as(NewTarget), time.time_ns()
    node = Resources(wanted.cpus, wanted.memory_bytes, wanted.gpus)
    if wanted.size:
        if any(node):
            raise Invalid.field("size", wanted.size, "give a size, or cpus, memory_bytes and gpus")
        node = sizes.share(wanted.size)
    target = Target(
        wanted.name, wanted.kind, wanted.size, node, wanted.min_nodes, wanted.max_nodes,
        wanted.idle_s, False, wanted.settings, wanted.tags, created_by=call.principal.name,
    )  # fmt: skip
    made = await call.parts.write(compute.create, target, now_ns)
    call.parts.scheduler.set_target(made)
    return json_answer(_row(call.parts, made), 201)


async def get_target(call: Call) -> Response:
    """One compute target: its nodes, the runs on it, those that wait for it."""
    return json_answer(_row(call.parts, await call.parts.read(compute.get, _name(call))))


async def change_target(call: Call) -> Response:
    """Set how many nodes it has, stop or start it; runs that are on it stay."""
    asked = await call.body_as(TargetChange)
    fields = {
        field: value for field, value in msgspec.structs.asdict(asked).items() if value is not UNSET
    }
    changed = await call.parts.write(compute.change, _name(call), fields, time.time_ns())
    call.parts.scheduler.set_target(changed)
    return json_answer(_row(call.parts, changed))


async def delete_target(call: Call) -> Response:
    """Remove a compute target; refused while a run is on it or waits for it."""
    name, scheduler = _name(call), call.parts.scheduler
    on, waiting = scheduler.runs_of_target(name)
    if on or waiting:
        first = (on or waiting)[0]
        raise Conflict(
            f"{name}: {len(on)} on it and {len(waiting)} waiting for it; "
            f"a target is deleted when none is (one is {first})",
            hint=f"outlast cancel {first}",
        )
    await call.parts.write(compute.delete, name, call.principal.name, time.time_ns())
    scheduler.drop_target(name)
    return Response(None, 204)


def _name(call: Call) -> str:
    return call.found.parts["name"]


def _row(parts: Parts, target: Target) -> dict[str, Any]:
    scheduler = parts.scheduler
    on, waiting = scheduler.runs_of_target(target.name)
    cut = pools.cut(target.node, target.max_nodes, scheduler.totals)
    return {
        **{field: value for field, value in target._asdict().items() if field != "node"},
        "node": _plain(cut.node),
        "asked": _plain(target.node),
        "notes": list(cut.notes),
        "busy_nodes": scheduler.busy_nodes(target.name),
        "runs": on,
        "waiting": waiting,
    }


def _plain(amounts: Any) -> dict[str, Any]:
    """Of slots: their numbers, GPUs counted."""
    fields = amounts._asdict()
    gpus = fields["gpus"]
    return {**fields, "gpus": gpus if isinstance(gpus, int) else len(gpus)}


_ONE = "/api/compute/{name}"

routes = [
    Route("GET", "/api/compute", "read", list_targets, answer=Targets),
    Route(
        "POST", "/api/compute", "manage", create_target,
        body=NewTarget, answer=TargetRow, status=201,
    ),
    Route("GET", "/api/sizes", "read", list_sizes, answer=Sizes),
    Route("GET", _ONE, "read", get_target, answer=TargetRow),
    Route("PATCH", _ONE, "manage", change_target, body=TargetChange, answer=TargetRow),
    Route("DELETE", _ONE, "manage", delete_target, status=204),
]  # fmt: skip
