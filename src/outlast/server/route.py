"""What a route declares, and how a request finds its route.

Method, path, permission, and the shapes of query, body and answer stand in one place, which the
guard, the router, and the OpenAPI document all read. A path is split before it is decoded, and
decoded once: no encoded slash or dot ever becomes structure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import unquote_to_bytes

import msgspec

from outlast.errors import NotFound
from outlast.server.errors import HttpError

# public: anyone. read: look. append: add to one's own run. manage: change anything.
Permission = Literal["public", "read", "append", "manage"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET")

JSON = "application/json"
BYTES = "application/octet-stream"


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The route takes no query."""


class Route(NamedTuple):
    """One operation. The first line of the handler's docstring is its summary."""

    method: str
    path: str  # as "/api/runs/{id}/outputs/{path*}"; a part with * takes the rest of the path
    permission: Permission
    handler: Callable[..., Awaitable[Any]]
    query: type[msgspec.Struct] = NoQuery
    body: Any = None  # a Struct for JSON, BYTES, or None
    answer: Any = None  # a type for JSON, BYTES, or None
    status: int = 200
    is_page: bool = False  # of the studio: shown to people, so not in the API's document
    is_act: bool = True  # what changes something has a line in the audit trail, unless it says no

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class Found(NamedTuple):
    """The route of a request, with the parts of its path."""

    route: Route
    parts: dict[str, str]


class Table:
    """Every route; built once, and refused as a whole when a declaration is not complete."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._by_length: dict[int, list[tuple[list[str], Route]]] = {}
        self._open_ended: list[tuple[list[str], Route]] = []
        seen: set[str] = set()
        for route in routes:
            _check(route)
            if route.name in seen:
                raise ValueError(f"{route.name} is declared twice")
            seen.add(route.name)
            pattern = route.path.split("/")[1:]
            if pattern[-1].endswith("*}"):
                self._open_ended.append((pattern, route))
            else:
                self._by_length.setdefault(len(pattern), []).append((pattern, route))

    def find(self, method: str, raw_path: bytes) -> Found:
        """The route for a request. Raises NotFound, or HttpError 405 with what is allowed."""
        parts = _split(raw_path)
        allowed: set[str] = set()
        for pattern, route in [*self._by_length.get(len(parts), ()), *self._open_ended]:
            named = _match(pattern, parts)
            if named is None:
                continue
            if route.method == method or (route.method == "GET" and method == "HEAD"):
                return Found(route, named)
            allowed.add(route.method)
        allowed.discard("WEBSOCKET")
        if not allowed:
            raise NotFound("there is nothing at this path", hint="GET /api/openapi.json lists all")
        if "GET" in allowed:
            allowed.add("HEAD")
        shown = ", ".join(sorted(allowed))
        raise HttpError(405, "method_not_allowed", f"use one of: {shown}", headers={"Allow": shown})


def _check(route: Route) -> None:
    if route.permission not in get_args(Permission):
        raise ValueError(f"{route.name}: permission {route.permission!r} is not one of them")
    if route.method not in METHODS:
        raise ValueError(f"{route.name}: unknown method")
    if not route.path.startswith("/") or not route.handler.__doc__:
        raise ValueError(f"{route.name}: needs a path from / and a handler with a docstring")


def _split(raw_path: bytes) -> list[str]:
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw_path.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise NotFound("there is nothing at this path: it isn't UTF-8") from None
    return parts


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    named: dict[str, str] = {}
    for index, wanted in enumerate(pattern):
        if wanted.endswith("*}"):
            rest = parts[index:]
            # An encoded slash would join what the client had kept apart.
            if not rest or any("/" in part for part in rest):
                return None
            named[wanted[1:-2]] = "/".join(rest)
            return named
        if index >= len(parts):
            return None
        if wanted.startswith("{"):
            if not parts[index]:
                return None
            named[wanted[1:-1]] = parts[index]
        elif wanted != parts[index]:
            return None
    return named if len(pattern) == len(parts) else None
