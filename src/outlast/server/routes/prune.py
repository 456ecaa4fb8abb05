"""Free what no run names any more; who asked for it is in the audit trail."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.artifacts.blobs import GRACE_S
from outlast.scheduler import prune
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.route import Route


class Prune(msgspec.Struct, forbid_unknown_fields=True):
    """What may go."""

    older_than_s: Annotated[
        float, Meta(ge=prune.LEAST_AGE_S, description="since it was stored")
    ] = GRACE_S
    is_sole_user: Annotated[
        bool, Meta(description="no other workspace uses a blobs_folder outside the workspace")
    ] = False
    is_dry_run: Annotated[bool, Meta(description="count only")] = False


class Freed(msgspec.Struct):
    files: int
    size_bytes: int
    is_dry_run: bool


async def prune_blobs(call: Call) -> Response:
    """Delete stored contents that neither the index nor any run's folder names, or count them."""
    asked, parts = await call.body_as(Prune), call.parts
    freed = await parts.in_thread(
        lambda: prune.prune(
            parts.settings, parts.database, parts.blobs, **msgspec.structs.asdict(asked)
        )
    )
    return json_answer({**freed._asdict(), "is_dry_run": asked.is_dry_run})


routes = [Route("POST", "/api/prune", "manage", prune_blobs, body=Prune, answer=Freed)]
