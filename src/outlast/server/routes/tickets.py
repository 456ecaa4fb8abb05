"""Tickets: a browser can't send a token with a WebSocket, so it fetches a pass for one first."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from outlast.server.answers import json_answer
from outlast.server.auth import TICKET_S
from outlast.server.call import Call
from outlast.server.route import Route


class Ticket(msgspec.Struct):
    ticket: str
    expires_s: float


async def make_ticket(call: Call) -> Response:
    """A pass for one WebSocket: good once, for 30 seconds, with the permissions of the caller."""
    ticket = call.parts.tickets.make(call.principal)
    return json_answer({"ticket": ticket, "expires_s": TICKET_S}, 201)


routes = [Route("POST", "/api/tickets", "read", make_ticket, answer=Ticket, status=201)]
