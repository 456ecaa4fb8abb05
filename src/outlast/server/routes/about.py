"""The server itself: its version, whether it answers, what it does, and the way to stop it."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from starlette.responses import Response

from outlast import __version__
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.openapi import document
from outlast.server.route import Route

API = 1


class Version(msgspec.Struct):
    name: str
    version: str
    api: int


class Health(msgspec.Struct):
    status: str


class Status(msgspec.Struct):
    pid: int
    url: str
    version: str
    workspace: str
    database: str
    started_ns: int
    slots: dict[str, Any]
    queue: list[Any]


async def version(call: Call) -> Response:
    """What answers here."""
    return json_answer({"name": "outlast", "version": __version__, "api": API})


async def health(call: Call) -> Response:
    """Whether the server answers."""
    return json_answer({"status": "ok"})


async def status(call: Call) -> Response:
    """What the server does: its slots and its queue."""
    parts = call.parts
    return json_answer(
        {
            "pid": os.getpid(),
            "url": parts.url,
            "version": __version__,
            "workspace": parts.settings.home,
            "database": parts.database.url,
            "started_ns": parts.started_ns,
            **parts.scheduler.queue_view(),
        }
    )


async def shutdown(call: Call) -> Response:
    """Stop the server; runs go on."""
    call.parts.stop()
    return json_answer({"status": "stopping"})


async def openapi(call: Call) -> Response:
    """This API as an OpenAPI 3.1 document."""
    from outlast.server.app import routes as all_routes

    return json_answer(document(all_routes()))


routes = [
    Route("GET", "/api/version", "public", version, answer=Version),
    Route("GET", "/api/health", "public", health, answer=Health),
    Route("GET", "/api/status", "read", status, answer=Status),
    Route("POST", "/api/shutdown", "manage", shutdown, answer=Health),
    Route("GET", "/api/openapi.json", "read", openapi, answer=dict[str, Any]),
]
