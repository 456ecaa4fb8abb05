"""The application: every route behind the guard, every failure in the one error form.

Routes are found by listing `routes/`; each file there has `routes = [Route(…), …]`. What a request
passes before it comes here is in `server/__init__`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from outlast import catalog
from outlast.printable import one_line
from outlast.server.answers import secured
from outlast.server.auth import Guard
from outlast.server.call import Call
from outlast.server.errors import HttpError, answer, form
from outlast.server.parts import Parts
from outlast.server.route import Route, Table

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Any], Any]

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


def routes() -> list[Route]:
    """Every route of the shelf. Raises ValueError for one that isn't fully declared."""
    found: list[Route] = []
    for module in catalog.load("outlast.server.routes"):
        found += module.routes
    return found


class App:
    """The ASGI application of one server."""

    def __init__(self, parts: Parts, port: int) -> None:
        self.parts = parts
        self.table = Table(routes())
        self.guard = Guard(
            self._dispatch, self.table, parts.settings, port, parts.keys, parts.tickets, parts.note,
            parts.studio.public_paths,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        status = 0

        async def send_secured(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": secured(message["headers"])}
            await send(message)

        try:
            await self.guard(scope, receive, send_secured)
        except Exception as error:
            if status:  # the answer has begun: only a broken connection can say that it failed
                raise
            await self._refusal(scope, error)(scope, receive, send_secured)
        self._after(scope, status, (time.perf_counter() - begin) * 1000)

    def _refusal(self, scope: Scope, error: Exception) -> Response:
        """The answer for an exception; who isn't let in with a browser gets the page to log in."""
        is_unknown = isinstance(error, HttpError) and error.status == 401
        headers = Headers(scope=scope)
        is_page = scope["method"] == "GET" and not scope["raw_path"].startswith(b"/api")
        if not is_unknown or not is_page or "text/html" not in headers.get("accept", ""):
            return answer(error)
        return self.parts.studio.page(headers, 401)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_accepted = False

        async def send_noting(message: Any) -> None:
            nonlocal is_accepted
            is_accepted = is_accepted or message["type"] == "websocket.accept"
            await send(message)

        try:
            await self.guard(scope, receive, send_noting)
        except Exception as error:
            if is_accepted:
                _, shown, _ = form(error)
                reason = f"{shown['code']} {shown['id']}"
                await send({"type": "websocket.close", "code": 1011, "reason": reason})
                return
            await _refuse_handshake(answer(error), send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["outlast.parts"] = self.parts
        found = scope["outlast.found"]
        if scope["type"] == "websocket":
            await found.route.handler(scope, receive, send)
            return
        call = Call(scope, receive)
        if found.route.body is None and call.has_body:
            await call.read_json()  # nothing is wanted; what comes must be harmless all the same
        response: Response = await found.route.handler(call)
        await response(scope, receive, send)

    def _after(self, scope: Scope, status: int, took_ms: float) -> None:
        """The log's line, without the query, and the audit's line for whatever may change."""
        path = one_line(scope["raw_path"].decode("latin-1"))
        log.debug("%s %s status=%d took_ms=%.1f", scope["method"], path, status, took_ms)
        found = scope.get("outlast.found")
        if found is None or scope["method"] in SAFE or found.route.permission == "append":
            return
        if not found.route.is_act:
            return
        principal = scope["outlast.principal"]
        result = "done" if status < 400 else f"refused {status}"
        self.parts.note(
            principal.name,
            found.route.name,
            "/".join(found.parts.values()),
            scope["outlast.ip"],
            result,
        )


async def _refuse_handshake(response: Response, send: Send) -> None:
    headers = secured(list(response.raw_headers))
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})
