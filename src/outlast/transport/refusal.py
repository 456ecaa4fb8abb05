"""From an HTTP answer that isn't a success to the error that the caller can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from outlast.errors import (
    Conflict,
    DiskFull,
    Invalid,
    NotFound,
    OutlastError,
    Refused,
    Trimmed,
    Unreachable,
)

_BY_STATUS: dict[int, type[OutlastError]] = {
    400: Invalid,
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    416: Invalid,
    422: Invalid,
    429: Unreachable,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
    507: DiskFull,
}
MESSAGE_CHARS = 2000


def error_of(status: int, data: bytes, path: str) -> OutlastError:
    """The error that an answer stands for; an answer in another form than Outlast's still is one.

    Its facts are what the server told beside message and hint, and `status`.
    """
    try:
        told: Mapping[str, Any] = dict(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        told = {"message": f"the server answered {status} to {path.partition('?')[0]}"}
    if told.get("code") == "trimmed" and "asked" in told and "first" in told:
        return Trimmed(asked=int(told["asked"]), first=int(told["first"]))
    message = str(told.get("message") or f"the server answered {status}")[:MESSAGE_CHARS]
    hint = told.get("hint") or _HINTS.get(status)
    facts = {name: value for name, value in told.items() if name not in ("message", "hint")}
    kind = _BY_STATUS.get(status, OutlastError)
    return kind(message, hint=str(hint) if hint else None, **{**facts, "status": status})


_HINTS = {401: "outlast doctor   (or set OUTLAST_TOKEN for a server at OUTLAST_URL)"}
