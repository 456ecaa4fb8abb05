"""One WebSocket of a terminal: who may join which session as what, and until when.

What is said on it is `wire.relay`'s business, how it is carried `sessions.relay`'s. Here stands
what a server decides: a client without the right to type is refused as a driver, one whose token is
revoked is cut off, an unknown session is final, and a server that has just started, or a supervisor
that isn't there yet, is a matter of trying again.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from outlast.errors import Invalid, Refused, Unreachable
from outlast.ids import check_run_id
from outlast.run.folder import SPEC, RunFolder
from outlast.run.spec import RunSpec, Terminal
from outlast.run.state import RunState
from outlast.server.auth import MAY, REVOKED, Principal, until_revoked
from outlast.server.parts import Parts
from outlast.server.together import until_first
from outlast.server.websocket import WebSocket
from outlast.sessions.relay import Fate, Relay, goodbye
from outlast.wire.frame import Malformed, decode
from outlast.wire.relay import Hello
from outlast.wire.terminal import DRIVER

HELLO_S = 10.0
# How long a client waits here for a session that is being started, or taken over.
PATIENCE_S = 10.0
LOOK_S = 0.1  # a socket is there a moment before its owner listens on it
RETRY_S = 0.5
UNKNOWN = "there is no such session in this workspace"


class CannotJoin(Exception):
    """Why a client isn't served, for itself to read."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.is_final = is_final


async def join(scope: dict[str, Any], receive: Any, parts: Parts) -> None:
    """Serve one client of one session until either goes."""
    socket: WebSocket = scope["extensions"]["outlast.socket"]
    principal: Principal = scope["outlast.principal"]
    run_id: str = scope["outlast.found"].parts["id"]
    role = ""
    try:
        hello = await _hello(receive)
        if hello is None:
            return
        role = hello.role
        _check_role(principal, role)
        folder, spec = await parts.in_thread(_session, parts.settings.runs_folder, run_id)
        if hello.output is None:
            parts.screens.prepare()
        relay = Relay(socket, folder, hello, server=_server_id(parts), screens=parts.screens)
        try:
            await _attach(relay, parts, folder, spec)
            parts.note(principal.name, f"attach {relay.role}", run_id, scope["outlast.ip"], "done")
            socket.hand_to(relay)
            await _serve(relay, parts, principal)
        finally:
            relay.close()
    except CannotJoin as error:
        reason = str(error)
        parts.note(principal.name, f"attach {role}", run_id, scope["outlast.ip"], "refused")
        socket.write(goodbye(reason, is_final=error.is_final, retry_s=RETRY_S).encode())
    finally:
        socket.finish()


async def _hello(receive: Any) -> Hello | None:
    """What the client says first; None when it went instead."""
    try:
        async with asyncio.timeout(HELLO_S):
            message = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        return Hello.of(decode(message.get("bytes") or b""))
    except TimeoutError:
        raise CannotJoin("no HELLO came", is_final=False) from None
    except Malformed as error:
        raise CannotJoin(f"HELLO isn't understood: {error}", is_final=True) from None


def _check_role(principal: Principal, role: str) -> None:
    if role == DRIVER and "manage" not in MAY[principal.scope]:
        raise CannotJoin("this token may only look on: attach read-only", is_final=True)


def _session(runs_folder: str, run_id: str) -> tuple[RunFolder, RunSpec]:
    try:
        folder = RunFolder(os.path.join(runs_folder, check_run_id(run_id)))
        with open(folder.file(SPEC), "rb") as file:
            spec = RunSpec.from_dict(json.load(file))
    except (Invalid, OSError, ValueError):
        raise CannotJoin(UNKNOWN, is_final=True) from None
    if spec.kind != "session":
        raise CannotJoin("this run has no terminal: its output is a file", is_final=True)
    return folder, spec


async def _attach(relay: Relay, parts: Parts, folder: RunFolder, spec: RunSpec) -> None:
    """Join it at its supervisor; where there will be none any more, show what it left."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + PATIENCE_S
    with parts.followers.watching(folder, lambda _: changed.set()):
        while True:
            changed.clear()
            try:
                await relay.attach()
                return
            except Refused as error:
                raise CannotJoin(error.message, is_final=False) from None
            except Unreachable as error:
                reason = error.message
            # Looked at after the try: a supervisor that ended in between has told how by then.
            state = await parts.scheduler.state(folder.run_id)
            fate = None if state is None else _fate(state)
            if fate is not None:
                asked = spec.terminal or Terminal()
                relay.show(fate, asked.columns, asked.rows)
                return
            if parts.stopping.is_set() or loop.time() > until_s:
                raise CannotJoin(reason, is_final=False)
            try:
                async with asyncio.timeout(LOOK_S):
                    await changed.wait()
            except TimeoutError:
                continue


def _fate(state: RunState) -> Fate | None:
    """How the session ended; None while it goes on, or its supervisor has still to tell."""
    if not state.is_over and not state.outcome:
        return None
    status = state.status if state.is_over else state.outcome.capitalize()
    message = state.message
    if not message and state.exit_code is not None:
        message = f"the shell ended with exit code {state.exit_code}"
    ended_ns = state.ended_ns or state.since_ns
    return Fate(state.exit_code, state.exit_signal, ended_ns, message, status)


async def _serve(relay: Relay, parts: Parts, principal: Principal) -> None:
    """Until the client goes, the server stops, or the client's token is revoked."""
    await until_first(relay.serve(), _stop(relay, parts), _revoke(relay, parts, principal))


async def _stop(relay: Relay, parts: Parts) -> None:
    await parts.stopping.wait()
    relay.say_goodbye("the server restarts", retry_s=RETRY_S)


async def _revoke(relay: Relay, parts: Parts, principal: Principal) -> None:
    await until_revoked(parts.keys, principal)
    relay.say_goodbye(REVOKED, is_final=True)


def _server_id(parts: Parts) -> str:
    """Names this process of the server: who comes back sees that it is another one."""
    return f"{os.getpid()}-{parts.started_ns}"
