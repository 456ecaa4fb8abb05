"""Tokens beside the workspace's own: made, listed and revoked by whoever may manage."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.server import logins
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route
from outlast.store import tokens


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """What the token is for."""

    scope: Annotated[
        str,
        Meta(
            pattern=r"^(admin|read|run:[A-Za-z0-9][A-Za-z0-9._-]{0,99})$",
            description="admin, read, or run:ID",
        ),
    ]
    label: Annotated[str, Meta(min_length=1, max_length=255)]
    expires_s: Annotated[float, Meta(ge=0, le=1e9, description="0 = never")] = 0


class Made(msgspec.Struct):
    token: str


class Listed(msgspec.Struct):
    tokens: list[dict[str, Any]]


async def make_token(call: Call) -> Response:
    """A new token; this is the only time that it is shown."""
    wanted = await call.body_as(NewToken)
    now_ns = time.time_ns()
    expires_ns = now_ns + int(wanted.expires_s * 1e9) if wanted.expires_s else 0
    made = await call.parts.write(
        tokens.make, wanted.scope, label=wanted.label, now_ns=now_ns, expires_ns=expires_ns
    )
    return json_answer({"token": made}, 201)


async def list_tokens(call: Call) -> Response:
    """Every token by its fingerprint; the tokens themselves are kept nowhere."""
    found = await call.parts.read(tokens.listed)
    return json_answer({"tokens": [token._asdict() for token in found]})


async def revoke_token(call: Call) -> Response:
    """End a token, by the first 8 digits of its fingerprint or more, and its studio sessions."""
    now_ns = time.time_ns()
    ended = await call.parts.write(tokens.revoke, call.found.parts["fingerprint"], now_ns)
    await call.parts.write(logins.end_all, now_ns, of=ended.label)
    call.parts.keys.forget()
    return Response(None, 204)


routes = [
    Route("POST", "/api/tokens", "manage", make_token, body=NewToken, answer=Made, status=201),
    Route("GET", "/api/tokens", "manage", list_tokens, answer=Listed),
    Route("DELETE", "/api/tokens/{fingerprint}", "manage", revoke_token, status=204),
]
