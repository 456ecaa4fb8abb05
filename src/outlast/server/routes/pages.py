"""The pages of the studio: one document for each of its paths, and the files that it loads."""

from __future__ import annotations

from starlette.responses import Response

from outlast.errors import NotFound
from outlast.server.call import Call
from outlast.server.route import Route


async def page(call: Call) -> Response:
    """A page of the studio; what it shows, its script asks for."""
    return call.parts.studio.page(call.headers)


async def asset(call: Call) -> Response:
    """A script, style or picture of the studio."""
    found = call.parts.studio.asset(f"assets/{call.found.parts['file']}", call.headers)
    if found is None:
        raise NotFound("the studio has no such file", hint="reload the page: it is of an old build")
    return found


routes = [
    Route("GET", "/login", "public", page, is_page=True),
    Route("GET", "/assets/{file}", "public", asset, is_page=True),
    *(
        Route("GET", path, "read", page, is_page=True)
        for path in ("/", "/runs", "/runs/{id}", "/sessions", "/sessions/{id}")
    ),
]
