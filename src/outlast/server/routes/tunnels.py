"""Tunnels: a stream of bytes to a target that the server knows, and one may come back to.

A target is a name, never an address: what it leads to is decided here, so that a tunnel is no way
into the server's network.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.errors import Invalid, NotFound
from outlast.server import tunnel
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.parts import Parts
from outlast.server.route import Route
from outlast.ssh import daemon, keys
from outlast.store import pages
from outlast.supervisor import stream

LOCAL = "local"
TARGETS = (LOCAL,)  # the server's own machine, as the account that the server runs as
SETTLED = ("Completed", "Failed", "Canceled")
KEPT_S = 7 * 24 * 3600.0  # after their end
FORGOTTEN_AT_ONCE = 20
# Never reached: a tunnel ends when its client says so or is gone for good.
ENDLESS_S = 100 * 365 * 24 * 3600.0


class Target(msgspec.Struct):
    name: str
    user: str
    host_key: str


class Targets(msgspec.Struct):
    targets: list[Target]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Where to, and who will log in."""

    target: Annotated[str, Meta(description="as GET /api/targets lists it")]
    public_key: Annotated[
        str, Meta(description="a line of a .pub file: it alone opens the door")
    ] = ""


class Tunnel(msgspec.Struct):
    id: str
    token: Annotated[str, Meta(description="for HELLO; it is shown once")]
    target: str
    user: str
    host_key: str


async def list_targets(call: Call) -> Response:
    """What a tunnel may lead to, as which account, and with which host key."""
    return json_answer({"targets": [await call.parts.in_thread(_target, call.parts, LOCAL)]})


async def open_tunnel(call: Call) -> Response:
    """Start an sshd for one client; the stream to it is a WebSocket at /api/tunnels/{id}."""
    wanted = await call.body_as(Wanted)
    if wanted.target not in TARGETS:
        raise Invalid.field("target", wanted.target, f"use one of: {', '.join(TARGETS)}")
    parts = call.parts
    found = await parts.in_thread(
        daemon.prepare, parts.settings.home, wanted.target, wanted.public_key
    )
    token = os.urandom(32).hex()
    spec, launch = _run(found, wanted.target, token)
    run = await parts.scheduler.submit(spec, launch)
    parts.scheduler.spawn(_forget_old(parts))
    answer = {
        "id": run.id, "token": token, "target": wanted.target,
        "user": found.user, "host_key": found.host_key,
    }  # fmt: skip
    return json_answer(answer, 201)


async def pass_tunnel(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Frames of a tunnel's stream, as FORMATS.md tells them; come back whenever it breaks."""
    parts: Parts = scope["outlast.parts"]
    run_id = scope["outlast.found"].parts["id"]
    principal = scope["outlast.principal"]
    parts.note(principal.name, "attach tunnel", run_id, scope["outlast.ip"], "done")
    await tunnel.relay(parts, run_id, scope["extensions"]["outlast.socket"], principal)


async def _forget_old(parts: Parts) -> None:
    """Delete tunnels that have been over for long: each `scp` makes one, and nobody looks at it."""
    over = pages.Query(kind="tunnel", status=SETTLED, sort="created", limit=FORGOTTEN_AT_ONCE)
    page = await parts.read(pages.page, over)
    since_ns = time.time_ns() - int(KEPT_S * 1e9)
    for row in page.rows:
        if row["ended_ns"] and row["ended_ns"] < since_ns:
            with contextlib.suppress(NotFound):  # somebody else was faster
                await parts.scheduler.delete(row["id"])


def _target(parts: Parts, name: str) -> dict[str, str]:
    host_key = keys.host_key(parts.settings.home, name)
    return {"name": name, "user": daemon.account(), "host_key": keys.public_of(host_key)}


def _run(found: daemon.Daemon, target: str, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The spec and the launch of the run that the tunnel is."""
    spec = {
        "kind": "tunnel",
        "resources": {"cpus": 0},
        "limits": {
            "max_run_duration_s": ENDLESS_S,
            "leftovers_s": ENDLESS_S,
            "idle_leftovers_s": ENDLESS_S,
        },
        "policy": {"on_logged_error": "ignore"},
        "properties": {
            "tunnel.target": target,
            stream.TOKEN_SHA256: hashlib.sha256(token.encode()).hexdigest(),
        },
    }
    environ = {name: os.environ[name] for name in ("PATH", "TZ", "LANG") if name in os.environ}
    return spec, {"command": list(found.command), "environ": environ, "folder": "/"}


routes = [
    Route("GET", "/api/targets", "read", list_targets, answer=Targets),
    Route("POST", "/api/tunnels", "manage", open_tunnel, body=Wanted, answer=Tunnel, status=201),
    Route("WEBSOCKET", "/api/tunnels/{id}", "manage", pass_tunnel),
]
