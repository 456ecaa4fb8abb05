"""The one form in which the server says that something went wrong.

`{"error": {"code", "message", "hint", "field", "id", …}}`. The id stands in the server's log as
well; a trace, a query or a stack never leaves the process.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from starlette.responses import Response

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
from outlast.server.answers import json_answer

log = logging.getLogger(__name__)

# Facts of an error that a client may need to go on.
_SHOWN_FACTS = ("asked", "first", "expected")


class HttpError(OutlastError):
    """An answer with a status of its own; raised by the layers below the routes."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None,
        hint: str | None = None, **facts: Any,
    ) -> None:  # fmt: skip
        super().__init__(message, hint=hint, **facts)
        self.status = status
        self.code = code
        self.headers = headers or {}


# Error class -> (status, code); the first that fits.
_KINDS: tuple[tuple[type[OutlastError], int, str], ...] = (
    (Trimmed, 410, "trimmed"),
    (DiskFull, 507, "disk_full"),
    (Invalid, 400, "invalid"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Refused, 403, "refused"),
    (Unreachable, 503, "unavailable"),
)


def too_large(limit_bytes: int) -> HttpError:
    return HttpError(
        413, "too_large", f"the body is larger than {limit_bytes} bytes",
        headers={"Connection": "close"},
    )  # fmt: skip


def new_id() -> str:
    """Names one failed request, in the answer and in the log."""
    return os.urandom(6).hex()


def form(error: BaseException) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, the `error` object and headers for an exception. Logs those that nobody expected."""
    error_id = new_id()
    if isinstance(error, HttpError):
        status, code, headers = error.status, error.code, dict(error.headers)
    else:
        status, code = next(
            ((s, c) for kind, s, c in _KINDS if isinstance(error, kind)), (500, "internal")
        )
        headers = {}
    if status == 500 or not isinstance(error, OutlastError):
        log.error("unexpected error id=%s", error_id, exc_info=error)
        message = "something went wrong inside the server; its log tells more under this id"
        return 500, _object("internal", message, None, {}, error_id), {"Connection": "close"}
    if status in (503, 507):
        headers.setdefault("Retry-After", "2")
        log.warning("%s id=%s: %s", code, error_id, error.message)
    return status, _object(code, error.message, error.hint, error.facts, error_id), headers


def _object(
    code: str, message: str, hint: str | None, facts: dict[str, Any], error_id: str
) -> dict[str, Any]:
    shown = {name: facts[name] for name in _SHOWN_FACTS if name in facts}
    field = facts.get("field", "")
    told = {"code": code, "message": message, "hint": hint or "", "field": field, "id": error_id}
    return {**told, **shown}


def answer(error: BaseException) -> Response:
    """The HTTP answer for an exception."""
    status, shown, headers = form(error)
    return json_answer({"error": shown}, status, headers)
