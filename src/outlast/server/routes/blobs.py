"""Contents on their way in from a client, by their sha256; what they are for is told elsewhere."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.artifacts import arriving
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import BYTES, Route

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Piece(msgspec.Struct, forbid_unknown_fields=True):
    """Where the bytes belong."""

    size: Annotated[int, Meta(ge=0, description="bytes of the whole content")]
    at: Annotated[int, Meta(ge=0, description="offset of the first byte")] = 0


class Arrived(msgspec.Struct):
    size_bytes: Annotated[int, Meta(description="where the next piece belongs")]
    is_stored: bool


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Contents that are about to be used."""

    sha256s: Annotated[list[Sha256], Meta(max_length=10_000)]


class Missing(msgspec.Struct):
    missing: list[str]


async def put_piece(call: Call) -> Response:
    """Take a piece of a content; the last one stores it. Goes on where it broke off, by `at`."""
    piece, data = call.query_as(Piece), await call.read_batch()
    parts, sha = call.parts, call.found.parts["sha"]
    found = await parts.in_thread(arriving.take, parts.blobs, sha, piece.size, piece.at, data)
    return json_answer(found._asdict())


async def list_missing(call: Call) -> Response:
    """Which of these contents aren't stored yet; the others are spared by a clean-up for a day."""
    wanted, blobs = await call.body_as(Wanted), call.parts.blobs

    def missing() -> list[str]:
        return [sha for sha in dict.fromkeys(wanted.sha256s) if not blobs.keep(sha)]

    return json_answer({"missing": await call.parts.in_thread(missing)})


routes = [
    Route(
        "PUT", "/api/blobs/{sha}", "manage", put_piece, Piece,
        body=BYTES, answer=Arrived, is_act=False,
    ),
    Route(
        "POST", "/api/blobs/missing", "manage", list_missing,
        body=Wanted, answer=Missing, is_act=False,
    ),
]  # fmt: skip
