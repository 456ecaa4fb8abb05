"""What happens in the workspace, as it happens: one WebSocket that follows many things.

It goes on over a restart of the server: journals from the byte they had reached, states, metrics
and lists with what they are by then. Nothing is polled; `receive` waits for the next news. What may
be followed, and what messages hold, is told in `server.live` and docs/api.md. For one thread.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

from outlast.errors import Refused, Unreachable
from outlast.transport.connection import Connection
from outlast.transport.websocket import WebSocket

Entry = dict[str, Any]

PING_S = 10.0  # without news
SILENT_S = 30.0  # without an answer to a ping: the link is dead
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


class Live:
    """One follower of a workspace's server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._socket: WebSocket | None = None
        self._entries: dict[str, Entry] = {}
        self._heard_s = self._pinged_s = self._lost_s = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def follow(self, *entries: Entry) -> None:
        """Follow these too, as {"run": id, "state": True}; from the next `receive` on."""
        for entry in entries:
            self._entries[_key(entry)] = dict(entry)
        self._say({"follow": list(entries)})

    def unfollow(self, *entries: Entry) -> None:
        """Follow these no more."""
        for entry in entries:
            self._entries.pop(_key(entry), None)
        self._say({"unfollow": list(entries)})

    def receive(self, timeout_s: float, *, or_when: int = -1) -> list[dict[str, Any]]:
        """The next messages; [] after `timeout_s`, or when the descriptor `or_when` has news.

        Of a journal a message has `data`, its bytes. While the server is away it is tried again and
        again; whoever has less patience asks `lost_for_s`. Raises Refused, for a wrong token.
        """
        if self._socket is None and not self._open(timeout_s, or_when):
            return []
        try:
            return self._receive(min(timeout_s, PING_S), or_when)
        except Unreachable:
            self._lose()
            return []

    @property
    def lost_for_s(self) -> float:
        """For how long the server hasn't answered; 0 while it does."""
        return 0.0 if self._socket is not None else time.monotonic() - self._lost_s

    def close(self) -> None:
        """Close the connection; `receive` would open another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self, timeout_s: float, or_when: int) -> list[dict[str, Any]]:
        socket = self._socket
        assert socket is not None
        messages = socket.receive()
        if not messages:
            writing = [socket] if socket.wants_write else []
            ready, writable, _ = select.select(_reading(socket, or_when), writing, [], timeout_s)
            if writable:
                socket.flush()
            messages = socket.receive() if socket in ready else []
        now_s = time.monotonic()
        if messages:
            self._heard_s = now_s
        elif now_s - self._heard_s > SILENT_S:
            raise Unreachable("the server doesn't answer")
        elif now_s - max(self._heard_s, self._pinged_s) > PING_S:
            self._pinged_s = now_s
            self._say({"ping": 1})
        told = [self._read(message) for message in messages]
        return [message for message in told if "pong" not in message]

    def _read(self, message: bytes) -> dict[str, Any]:
        head, newline, data = message.partition(b"\n")
        told: dict[str, Any] = json.loads(head)
        if newline:
            told["data"] = data
            entry = self._entries.get(_key(told))
            if entry is not None:
                entry["from"] = told["next"]  # from here after a broken connection
        return told

    def _open(self, timeout_s: float, or_when: int) -> bool:
        """Connect and ask for everything; False, after a pause, when there is nobody."""
        try:
            self._socket = WebSocket(self._connection.address, "/api/live")
        except Refused:
            raise
        except Unreachable:
            pause_s = min(self._pause_s, timeout_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            # Not a bare sleep: who wants to stop must be heard.
            select.select([or_when] if or_when >= 0 else [], [], [], pause_s)
            self._connection.find_again(self.lost_for_s)
            return False
        self._heard_s, self._pause_s = time.monotonic(), FIRST_PAUSE_S
        self._say({"follow": list(self._entries.values())})
        return self._socket is not None

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._socket is None:
            return  # `_open` tells all of it
        try:
            self._socket.send(json.dumps(message).encode())
        except Unreachable:
            self._lose()

    def _lose(self) -> None:
        self.close()
        self._lost_s = time.monotonic()


def _reading(socket: WebSocket, or_when: int) -> Sequence[Any]:
    return [socket, or_when] if or_when >= 0 else [socket]


def _key(entry: Mapping[str, Any]) -> str:
    what = entry.get("journal") or ("state" if "state" in entry else "metrics")
    return json.dumps(["runs"] if "runs" in entry else [entry.get("run"), what])
