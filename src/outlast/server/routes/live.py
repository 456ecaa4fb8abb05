"""The WebSocket that follows many cursors; what is said on it stands in server/live.py."""

from __future__ import annotations

from typing import Any

from outlast.server.live import Client
from outlast.server.route import Route


async def live(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Follow journals, states, metrics and lists over one WebSocket."""
    parts = scope["outlast.parts"]
    await Client(parts, scope["outlast.principal"], send).run(receive)
    if parts.stopping.is_set():
        await send({"type": "websocket.close", "code": 1012, "reason": "the server restarts"})


routes = [Route("WEBSOCKET", "/api/live", "read", live)]
