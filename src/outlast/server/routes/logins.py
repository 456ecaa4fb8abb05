"""A browser's way in and out: a one-time code, the session that it begins, and its end."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.errors import Invalid, Refused
from outlast.server import logins
from outlast.server.answers import json_answer
from outlast.server.auth import cookie_of
from outlast.server.call import Call
from outlast.server.route import Route


class Code(msgspec.Struct):
    code: Annotated[str, Meta(description="good once")]
    expires_s: float


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """Who comes in: exactly one of the two."""

    code: Annotated[str, Meta(max_length=200, description="of POST /api/logins")] = ""
    token: Annotated[str, Meta(max_length=200)] = ""


class Session(msgspec.Struct):
    scope: str
    expires_s: float


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No field is taken."""


class Ended(msgspec.Struct):
    ended: int


async def make_code(call: Call) -> Response:
    """A code that lets one browser in, once, within 60 seconds, with the caller's permissions."""
    await call.body_as(Nothing)
    _refuse_jobs(call.principal.scope)
    code = call.parts.codes.make(call.principal)
    return json_answer({"code": code, "expires_s": logins.CODE_S}, 201)


async def log_in(call: Call) -> Response:
    """Begin a session of the studio; it is set as a cookie that scripts can't read."""
    wanted = await call.body_as(Login)
    if bool(wanted.code) == bool(wanted.token):
        raise Invalid("give either a code or a token", field="code")
    if wanted.code:
        shown = call.parts.codes.take(wanted.code)
    else:
        shown = await call.parts.keys.principal(wanted.token)
    guard = call.scope["outlast.guard"]
    principal = guard.known(shown, call.scope["outlast.ip"])
    _refuse_jobs(principal.scope)
    session = await call.parts.write(logins.begin, principal, time.time_ns())
    call.parts.note(principal.name, "login", "", call.scope["outlast.ip"], "done")
    answer = json_answer({"scope": principal.scope, "expires_s": logins.SESSION_S}, 201)
    answer.set_cookie(
        guard.cookie, session, max_age=logins.SESSION_S, path="/",
        httponly=True, samesite="strict", secure=_is_tls(call),
    )  # fmt: skip
    return answer


def _refuse_jobs(scope: str) -> None:
    if scope not in ("admin", "read"):
        raise Refused("a run's token opens no studio", hint="outlast studio")


def _is_tls(call: Call) -> bool:
    # The guard has checked the origin: only a proxy's https differs from what is spoken here.
    return call.settings.has_tls or call.headers.get("origin", "").startswith("https://")


async def who(call: Call) -> Response:
    """Who asks, and what they may do."""
    return json_answer({"name": call.principal.name, "scope": call.principal.scope})


async def log_out(call: Call) -> Response:
    """End the session of the cookie."""
    await call.body_as(Nothing)
    name = call.scope["outlast.guard"].cookie
    session = cookie_of(call.scope["headers"], name)
    if logins.is_session(session):
        await call.parts.write(logins.end, session, time.time_ns())
        call.parts.keys.forget()
    answer = Response(None, 204)
    answer.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=_is_tls(call))
    return answer


async def end_sessions(call: Call) -> Response:
    """End every session of the studio, in whichever browser."""
    await call.body_as(Nothing)
    ended = await call.parts.write(logins.end_all, time.time_ns())
    call.parts.keys.forget()
    return json_answer({"ended": ended})


class Who(msgspec.Struct):
    name: str
    scope: str


routes = [
    Route("POST", "/api/logins", "read", make_code, body=Nothing, answer=Code, status=201),
    Route("POST", "/api/logins/end", "manage", end_sessions, body=Nothing, answer=Ended),
    Route("POST", "/api/login", "public", log_in, body=Login, answer=Session, status=201),
    Route("POST", "/api/logout", "read", log_out, body=Nothing, status=204),
    Route("GET", "/api/me", "read", who, answer=Who),
]
