"""The server's end of the Unix socket to a session's supervisor: ask for a place, then frames.

It waits for the answer to the one line that is asked, hands every frame on as it comes, and says
when the other end is gone. What the frames mean is `wire.relay`'s business.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any, Protocol

from outlast.errors import Refused, Unreachable
from outlast.run.folder import SOCKET, RunFolder
from outlast.wire.frame import Frame, Malformed, Splitter, lengthened

ANSWER_S = 3.0  # a supervisor answers within a millisecond unless it is stopped
ANSWER_BYTES = 1 << 20
# Beyond it the client isn't read on: input waits where it was typed.
UNSENT_BYTES = 64 << 10


class Ends(Protocol):
    """Who is told what comes."""

    def relayed(self, frame: Frame) -> None:
        """A frame of the supervisor."""

    def unlinked(self) -> None:
        """The supervisor closed its end, or is gone."""

    def is_full(self, is_full: bool) -> None:
        """The supervisor doesn't read at present, or does again."""


class Link(asyncio.Protocol):
    """One place at a session."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._splitter = Splitter()
        self._line: bytes | None = b""  # of the answer; None once it is whole
        self._answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def send(self, frame: Frame) -> None:
        """Say this to the supervisor."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(lengthened(frame))

    def close(self) -> None:
        """Give the place back."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def answered(self) -> dict[str, Any]:
        """The answer to the line. Raises Refused when it is a no, Unreachable when none comes."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answer
        except TimeoutError:
            raise Unreachable("the session's supervisor doesn't answer") from None
        if "error" in answer:
            raise Refused(str(answer["error"]))
        return answer

    # --- asyncio's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._line is not None:
            line, is_whole, data = (self._line + data).partition(b"\n")
            if not is_whole and len(line) < ANSWER_BYTES:
                self._line = line
                return
            self._line = None
            try:
                self._answer.set_result(dict(json.loads(line)))
            except (ValueError, TypeError):
                self._answer.set_exception(Unreachable("its supervisor's answer makes no sense"))
            # The frames behind it are for whoever has handled the answer first.
            asyncio.get_running_loop().call_soon(self._feed, data)
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            for frame in self._splitter.feed(data):
                self._ends.relayed(frame)
        except Malformed:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(Unreachable("the session's supervisor broke off"))
            self._answer.exception()  # whoever waits gets it; nobody may wait any more
        if self._transport is not None:
            self._transport = None
            self._ends.unlinked()

    def pause_writing(self) -> None:
        self._ends.is_full(True)

    def resume_writing(self) -> None:
        self._ends.is_full(False)


async def linked(folder: RunFolder, request: dict[str, Any], ends: Ends) -> Link:
    """A link on which `request` has been asked; `answered` tells the answer.

    Raises Unreachable when nobody listens; nothing is left of it then.
    """
    found = _connected(folder)
    _, link = await asyncio.get_running_loop().create_connection(lambda: Link(ends), sock=found)
    assert link._transport is not None
    link._transport.write(json.dumps(request).encode() + b"\n")
    return link


def _connected(folder: RunFolder) -> socket.socket:
    try:
        place = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Unreachable(f"{folder.path}: {error.strerror}") from None
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.setblocking(False)
        # A socket's path has room for 107 bytes; a run's folder may lie deeper.
        found.connect(f"/proc/self/fd/{place}/{SOCKET}")
    except OSError as error:  # also EAGAIN: its queue is full, so it doesn't listen at present
        found.close()
        words = error.strerror or "it doesn't listen"
        raise Unreachable(f"the session's supervisor can't be reached: {words}") from None
    finally:
        os.close(place)
    return found
