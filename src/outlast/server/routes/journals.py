"""The journals of a run by offset: read, wait for more, and mirror. Raw bytes, past any codec.

`Outlast-End: 1` stands on an answer after which nothing will ever come: it is only said once the
run is over and the answer reaches the journal's end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from outlast.errors import Conflict, NotFound
from outlast.process import boot_id
from outlast.run.folder import OUTPUT, RunFolder
from outlast.server import follow, mirror
from outlast.server.answers import json_answer
from outlast.server.call import NO_RUN, Call
from outlast.server.route import BYTES, Route

# One answer is read whole up to here; larger ones are read and sent piece by piece.
PIECE_BYTES = 1 << 20
MAX_OFFSET = (1 << 63) - 1


class Range(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from"}):
    """Which bytes, and how long to wait for them."""

    start: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="offset in bytes")] = 0
    wait: Annotated[
        float, Meta(ge=0, le=86_400, description="seconds to wait when there are none; at most 60")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1 << 30, description="bytes at most")] = PIECE_BYTES


class At(msgspec.Struct, forbid_unknown_fields=True):
    """Where a batch begins."""

    at: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="offset in bytes")]


class Taken(msgspec.Struct):
    next: int


async def output(call: Call) -> Response:
    """What the run printed, from an offset on.

    Headers: Outlast-From, Outlast-Next (ask there next), Outlast-Size (of the journal by now),
    Outlast-End: 1 when that was all.
    """
    return await _read(call, OUTPUT)


async def journal(call: Call) -> Response:
    """The bytes of any journal of the run: events, decisions, output, logged.WRITER."""
    return await _read(call, follow.check_journal(call.found.parts["name"]))


async def _read(call: Call, name: str) -> Response:
    query = call.query_as(Range)
    folder = call.folder
    piece, is_end = await _piece(call, folder, name, query)
    if not is_end and not piece.data and query.wait > 0:
        piece, is_end = await _wait(call, folder, name, query)
    if len(piece.data) == PIECE_BYTES < query.limit:
        return _Stream(call, folder, name, piece, query.start + query.limit)
    headers = _headers(folder, name, piece.start, piece.next, is_end=is_end)
    return Response(piece.data, 200, headers, BYTES)


async def _piece(
    call: Call, folder: RunFolder, name: str, query: Range
) -> tuple[follow.Piece, bool]:
    """The bytes that are there, and whether no more will follow them."""
    limit = min(query.limit, PIECE_BYTES)
    piece = follow.read(folder, name, query.start, limit)
    if len(piece.data) == limit or not await call.parts.is_over(folder.run_id):
        return piece, False
    # Read again: the last bytes may have come between the first look and the end of the run.
    piece = follow.read(folder, name, query.start, limit)
    return piece, piece.next >= follow.size_bytes(folder, name)


async def _wait(
    call: Call, folder: RunFolder, name: str, query: Range
) -> tuple[follow.Piece, bool]:
    """The same once there is something, once the run is over, or when the time is up."""
    parts = call.parts
    changed = asyncio.Event()
    seconds = min(query.wait, parts.settings.max_wait_s)

    def wake(file: str) -> None:
        if file in ("", name):
            changed.set()

    with contextlib.ExitStack() as held:
        held.enter_context(parts.followers.watching(folder, wake))
        held.enter_context(_calling_on_news(call, folder.run_id, seconds, changed))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    piece, is_end = await _piece(call, folder, name, query)
                    if piece.data or is_end or parts.stopping.is_set():
                        return piece, is_end
                    await changed.wait()
                    changed.clear()
    return await _piece(call, folder, name, query)


@contextlib.contextmanager
def _calling_on_news(
    call: Call, run_id: str, seconds: float, changed: asyncio.Event
) -> Iterator[None]:
    """Set the event whenever the run's state changes, and when the server is about to stop."""
    changes = call.parts.scheduler.changes

    async def on_state() -> None:
        version = changes.version(run_id)
        while True:
            found = await changes.wait(run_id, version, seconds)
            if found != version:
                version = found
                changed.set()

    async def on_stop() -> None:
        await call.parts.stopping.wait()
        changed.set()

    tasks = [asyncio.create_task(work()) for work in (on_state, on_stop)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _headers(
    folder: RunFolder, name: str, start: int, following: int, *, is_end: bool
) -> dict[str, str]:
    size = max(following, follow.size_bytes(folder, name))
    headers = {
        "Outlast-From": str(start),
        "Outlast-Next": str(following),
        "Outlast-Size": str(size),
    }
    return {**headers, "Outlast-End": "1"} if is_end else headers


class _Stream(Response):
    """A long stretch of a journal, read as fast as the client takes it and no faster."""

    def __init__(
        self, call: Call, folder: RunFolder, name: str, first: follow.Piece, stop: int
    ) -> None:
        self.call = call
        self.folder = folder
        self.name = name
        self.first = first
        self.stop = min(stop, follow.size_bytes(folder, name))
        headers = _headers(folder, name, first.start, self.stop, is_end=False)
        headers["Content-Length"] = str(self.stop - first.start)
        super().__init__(None, 200, headers, BYTES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        piece = self.first
        while True:
            is_last = piece.next >= self.stop
            await send({"type": "http.response.body", "body": piece.data, "more_body": not is_last})
            if is_last:
                return
            limit = min(PIECE_BYTES, self.stop - piece.next)
            piece = await self.call.parts.in_thread(
                follow.read, self.folder, self.name, piece.next, limit
            )
            if not piece.data:
                raise NotFound("the journal was cut while it was read")


async def put_journal(call: Call) -> Response:
    """Mirror a journal that is written on another machine.

    The body begins at offset `at`. Sending it again changes nothing; a gap is answered with 409 and
    the expected offset, too many records with 429 and Retry-After. Outlast-Crc32 (8 hex digits over
    the body) is checked when it is given.
    """
    at = call.query_as(At).at
    name = follow.check_journal(call.found.parts["name"])
    folder = call.folder
    state = await call.parts.scheduler.state(folder.run_id)
    if state is None:
        raise NotFound(NO_RUN)
    is_supervised_here = state.supervisor is not None and state.supervisor.boot_id == boot_id()
    if is_supervised_here or (state.kind != "interactive" and state.executor in ("", "local")):
        raise Conflict("this run's journals are written on the server's own machine")
    batch = await call.read_batch()
    mirror.check(name, batch, call.headers.get("outlast-crc32", ""))
    if follow.holds_records(name):
        call.parts.pace.take(folder.run_id, batch.count(b"\n"))
    limit_bytes = call.parts.settings.max_journal_bytes
    following = await call.parts.in_thread(mirror.append, folder, name, at, batch, limit_bytes)
    return json_answer({"next": following})


routes = [
    Route("GET", "/api/runs/{id}/output", "read", output, Range, answer=BYTES),
    Route("GET", "/api/runs/{id}/journals/{name}", "read", journal, Range, answer=BYTES),
    Route(
        "PUT", "/api/runs/{id}/journals/{name}", "append", put_journal, At, body=BYTES, answer=Taken
    ),
]  # fmt: skip
