"""Who did what, from where, and with which result; rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.store.schema import audit

MAX_CHARS = 500


class Act(NamedTuple):
    """One thing that somebody did, or tried to do."""

    number: int
    t_ns: int
    who: str
    action: str
    target: str
    origin: str  # from where, as an address
    result: str  # done | refused | failed
    details: Mapping[str, Any]


def note(
    connection: Connection, *, t_ns: int, who: str, action: str, target: str = "",
    origin: str = "", result: str = "done", details: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Add a row, in the transaction of what it tells of. Long texts are cut."""
    texts = {"who": who, "action": action, "target": target, "origin": origin, "result": result}
    connection.execute(
        audit.insert().values(
            t_ns=t_ns,
            details=msgspec.json.encode(details or {}).decode(),
            **{field: _storable(text) for field, text in texts.items()},
        )
    )


def acts(
    connection: Connection, *, target: str = "", before: int = 0, limit: int = 100
) -> list[Act]:
    """The newest first; `before` is the number of the last one of the page before, 0 = none."""
    query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
    if target:
        query = query.where(audit.c.target == target)
    if before:
        query = query.where(audit.c.number < before)
    return [
        Act(*found)._replace(details=msgspec.json.decode(found.details))
        for found in connection.execute(query)
    ]


def _storable(text: str) -> str:
    """What a client sent may hold anything; a database doesn't take NUL or half a surrogate."""
    clean = text[:MAX_CHARS].encode("utf-8", "replace").decode()
    return clean.replace("\0", "\N{REPLACEMENT CHARACTER}")
