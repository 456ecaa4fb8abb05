"""Datastores: named roots of data, kept and told; nothing here opens one."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy.engine import Connection
from starlette.responses import Response

from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.store import datastores
from outlast.store.datastores import Datastore


class DatastoreRow(msgspec.Struct):
    """A named root."""

    name: str
    root: Annotated[str, Meta(description="a folder of the server's machine, or a URL")]
    facts: Annotated[dict[str, str], Meta(description="what it stands for")]
    is_default: bool
    is_built_in: bool
    created_ns: int
    created_by: str


class Datastores(msgspec.Struct):
    datastores: list[DatastoreRow]


class DatastoreRegistration(msgspec.Struct, forbid_unknown_fields=True):
    """A new datastore."""

    name: str
    root: Annotated[
        str, Meta(description="absolute folder or URL; empty: a folder in the workspace")
    ] = ""
    facts: dict[str, str] = {}
    overwrite: bool = False


class DatastoreChange(msgspec.Struct, forbid_unknown_fields=True):
    """What may change."""

    is_default: Annotated[bool, Meta(description="only true: another one takes its place")]


async def list_datastores(call: Call) -> Response:
    """Every datastore, by name."""
    found = await call.parts.read(datastores.listed, call.parts.settings.home)
    return json_answer({"datastores": [one._asdict() for one in found]})


async def register_datastore(call: Call) -> Response:
    """Add a datastore."""
    wanted, home = await call.body_as(DatastoreRegistration), call.parts.settings.home
    who, now_ns = call.principal.name, time.time_ns()

    def work(connection: Connection) -> Datastore:
        return datastores.register(
            connection, home, wanted.name, wanted.root, facts=wanted.facts, by=who, now_ns=now_ns,
            is_overwriting=wanted.overwrite,
        )  # fmt: skip

    return json_answer((await call.parts.write(work))._asdict(), 201)


async def get_datastore(call: Call) -> Response:
    """One datastore."""
    found = await call.parts.read(datastores.get, *_of(call))
    return json_answer(found._asdict())


async def change_datastore(call: Call) -> Response:
    """Let it be the default, in place of the one that was."""
    wanted, (home, name) = await call.body_as(DatastoreChange), _of(call)
    who, now_ns = call.principal.name, time.time_ns()

    def work(connection: Connection) -> Any:
        if not wanted.is_default:
            return datastores.get(connection, home, name)
        return datastores.set_default(connection, home, name, by=who, now_ns=now_ns)

    return json_answer((await call.parts.write(work))._asdict())


async def remove_datastore(call: Call) -> Response:
    """Forget a datastore; its data stay where they are."""
    (home, name), who, now_ns = _of(call), call.principal.name, time.time_ns()

    def work(connection: Connection) -> None:
        datastores.remove(connection, home, name, by=who, now_ns=now_ns)

    await call.parts.write(work)
    return Response(None, 204)


def _of(call: Call) -> tuple[str, str]:
    return call.parts.settings.home, call.found.parts["name"]


_ONE = "/api/datastores/{name}"

routes = [
    Route("GET", "/api/datastores", "read", list_datastores, answer=Datastores),
    Route(
        "POST", "/api/datastores", "manage", register_datastore,
        body=DatastoreRegistration, answer=DatastoreRow, status=201,
    ),
    Route("GET", _ONE, "read", get_datastore, answer=DatastoreRow),
    Route("PATCH", _ONE, "manage", change_datastore, body=DatastoreChange, answer=DatastoreRow),
    Route("DELETE", _ONE, "manage", remove_datastore, status=204),
]  # fmt: skip
