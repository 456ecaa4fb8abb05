"""One WebSocket that follows many cursors: journals, states, metrics, and pages of the run list.

Nothing is queued for a client. Each has its own offsets and versions; one loop reads what is new
when the client's socket has taken what was sent before. A slow client therefore costs a few
numbers, gets journals whole from its own offset, and of states and lists only the newest.

Client, text: {"follow": [entry, …]}, {"unfollow": [entry, …]} with entries
    {"run": ID, "journal": NAME, "from": OFFSET}   {"run": ID, "state": true}
    {"run": ID, "metrics": true}                   {"runs": {query as for GET /api/runs}}
    and {"ping": N}, since a page in a browser can't see WebSocket's own pings.
Server, binary: {"run", "journal", "from", "next"} as JSON, a newline, the bytes.
Server, text: {"run", "journal", "end": true, "at"}, {"run", "version", "state"},
    {"run", "metrics": […]}, {"runs": [row, …], "is_whole"}, {"error": {…}, "entry": {…}},
    {"pong": N}.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from outlast.errors import Invalid, NotFound, OutlastError
from outlast.ids import check_run_id
from outlast.run.folder import RunFolder
from outlast.server import follow
from outlast.server.answers import encode
from outlast.server.auth import CLOSE_UNAUTHORIZED, REVOKED, Principal, until_revoked
from outlast.server.call import NO_RUN, convert
from outlast.server.errors import form
from outlast.server.limits import decode_json
from outlast.server.parts import Parts
from outlast.server.routes.metrics import summaries_of
from outlast.server.routes.runs import Listing
from outlast.server.together import until_first
from outlast.store import pages, runs

# Of a client that has stopped reading, one frame waits in the socket's buffer.
FRAME_BYTES = 64 << 10
MAX_FOLLOWED = 1_000
# States and lists are looked at again at most this often: a sweep of runs that start at once is one
# piece of news, not a thousand.
NEWS_INTERVAL_S = 0.1

Send = Callable[[Any], Any]
Receive = Callable[[], Any]


class Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True,
            rename={"start": "from"}):  # fmt: skip
    """One thing to follow."""

    run: str = ""
    journal: str = ""
    start: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    state: bool = False
    metrics: bool = False
    runs: Listing | None = None


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says."""

    follow: list[Entry] = []
    unfollow: list[Entry] = []
    ping: Annotated[int, Meta(ge=0, lt=1 << 53)] | None = None


class Key(NamedTuple):
    """What is followed, without where it stands."""

    what: str  # journal | state | metrics | runs
    run: str = ""
    name: str = ""  # of the journal; of a list, its query


class Client:
    """One socket."""

    def __init__(self, parts: Parts, principal: Principal, send: Send) -> None:
        self.parts = parts
        self.principal = principal
        self.send = send
        self.entries: dict[Key, Entry] = {}
        self.offsets: dict[Key, int] = {}
        self.seen: dict[Key, Any] = {}  # version of a state, metrics, rows as they were sent
        self.held: dict[Key, contextlib.ExitStack] = {}
        self.due: dict[Key, None] = {}  # what may have something new, in the order noticed
        self.wake = asyncio.Event()

    async def run(self, receive: Receive) -> None:
        """Serve until the client goes, the server stops, or the client's token is revoked."""
        try:
            await until_first(
                self._listen(receive), self._notice(), self._tell(), self._revoke(),
                self.parts.stopping.wait(),
            )  # fmt: skip
        finally:
            for stack in self.held.values():
                stack.close()

    async def _revoke(self) -> None:
        await until_revoked(self.parts.keys, self.principal)
        close = {"type": "websocket.close", "code": CLOSE_UNAUTHORIZED, "reason": REVOKED}
        await self.send(close)

    async def _listen(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                text = message.get("text") or (message.get("bytes") or b"").decode()
                said = convert(decode_json(text.encode()), Message, strict=True)
                self._take(said)
                if said.ping is not None:
                    await self._say({"pong": said.ping})
            except UnicodeError:
                await self._say_error(Invalid("a message must be JSON in UTF-8"), None)
            except OutlastError as error:
                await self._say_error(error, None)

    def _take(self, said: Message) -> None:
        for entry in said.unfollow:
            self._drop(_key(entry))
        for entry in said.follow:
            key = _key(entry)
            self._drop(key)
            if len(self.entries) >= MAX_FOLLOWED:
                raise Invalid.field("follow", MAX_FOLLOWED, "follow less on one WebSocket")
            self.entries[key] = entry
            self.offsets[key] = entry.start
            self._mark(key)

    def _drop(self, key: Key) -> None:
        self.entries.pop(key, None)
        self.offsets.pop(key, None)
        self.seen.pop(key, None)
        self.due.pop(key, None)
        stack = self.held.pop(key, None)
        if stack is not None:
            stack.close()

    def _mark(self, key: Key) -> None:
        self.due[key] = None
        self.wake.set()

    async def _notice(self) -> None:
        """Mark what follows states when any run has changed."""
        changes = self.parts.scheduler.changes
        version = changes.version()
        versions: dict[str, int] = {}
        while True:
            version = await changes.wait("", version, self.parts.settings.max_wait_s)
            for key in list(self.entries):
                now = changes.version(key.run)
                if now != versions.get(key.run):
                    self._mark(key)
            versions = {key.run: changes.version(key.run) for key in self.entries}
            await asyncio.sleep(NEWS_INTERVAL_S)

    async def _tell(self) -> None:
        """Send what is new, one frame of each in turn."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.due:
                key = next(iter(self.due))
                del self.due[key]
                entry = self.entries.get(key)
                if entry is None:
                    continue
                try:
                    await self._tell_one(key)
                except OutlastError as error:
                    self._drop(key)
                    await self._say_error(error, entry)

    async def _tell_one(self, key: Key) -> None:
        if key.what == "journal":
            await self._tell_journal(key)
        elif key.what == "state":
            await self._tell_state(key)
        elif key.what == "metrics":
            await self._tell_metrics(key)
        else:
            await self._tell_runs(key)

    async def _tell_journal(self, key: Key) -> None:
        folder = self._folder(key.run)
        if key not in self.held:
            self._hold(key, folder)
        start = self.offsets[key]
        piece = follow.read(folder, key.name, start, FRAME_BYTES)
        is_over = not piece.data and await self.parts.is_over(key.run)
        if is_over:  # the last bytes may have come between the look and the end
            piece = follow.read(folder, key.name, start, FRAME_BYTES)
        if piece.data:
            head = {"run": key.run, "journal": key.name, "from": start, "next": piece.next}
            self.offsets[key] = piece.next
            self._mark(key)  # at the back: others have their turn before the next frame of this
            await self.send({"type": "websocket.send", "bytes": encode(head) + b"\n" + piece.data})
        elif is_over:
            self._drop(key)
            await self._say({"run": key.run, "journal": key.name, "end": True, "at": start})

    def _hold(self, key: Key, folder: RunFolder) -> None:
        def wake(file: str) -> None:
            if file in ("", key.name):
                self._mark(key)

        stack = contextlib.ExitStack()
        stack.enter_context(self.parts.followers.watching(folder, wake))
        self.held[key] = stack

    async def _tell_state(self, key: Key) -> None:
        version = self.parts.scheduler.changes.version(key.run)
        if self.seen.get(key) == version:
            return
        self._folder(key.run)
        _, state = await self.parts.read(runs.state_of, key.run)
        self.seen[key] = version
        await self._say({"run": key.run, "version": version, "state": state.to_dict()})

    async def _tell_metrics(self, key: Key) -> None:
        self._folder(key.run)
        found = await self.parts.read(summaries_of, key.run)
        if found != self.seen.get(key):
            self.seen[key] = found
            await self._say({"run": key.run, "metrics": found})

    async def _tell_runs(self, key: Key) -> None:
        if self.principal.scope == "run":
            raise NotFound(NO_RUN)
        listing = self.entries[key].runs
        if listing is None:
            raise AssertionError("a list's entry has its query")
        page = await self.parts.read(pages.page, listing.query())
        before: dict[str, Any] | None = self.seen.get(key)
        now = {row["id"]: row for row in page.rows}
        if before == now:
            return
        self.seen[key] = now
        # Rows that went, or came in another order, can't be told by rows alone.
        is_whole = before is None or list(before) != list(now)
        rows = [row for row in page.rows if before is None or before.get(row["id"]) != row]
        await self._say(
            {"runs": page.rows if is_whole else rows, "is_whole": is_whole, "next": page.next}
        )

    def _folder(self, run_id: str) -> RunFolder:
        try:
            check_run_id(run_id)
        except Invalid:
            raise NotFound(NO_RUN) from None
        if self.principal.scope == "run" and self.principal.run_id != run_id:
            raise NotFound(NO_RUN)
        return follow.folder_of(self.parts.settings.runs_folder, run_id)

    async def _say(self, value: Any) -> None:
        await self.send({"type": "websocket.send", "text": encode(value).decode()})

    async def _say_error(self, error: OutlastError, entry: Entry | None) -> None:
        _, shown, _ = form(error)
        await self._say({"error": shown, "entry": entry})


def _key(entry: Entry) -> Key:
    """What an entry follows. Raises Invalid unless it is exactly one thing."""
    chosen = [bool(entry.journal), entry.state, entry.metrics, entry.runs is not None]
    if sum(chosen) != 1 or bool(entry.run) == (entry.runs is not None):
        raise Invalid(
            "an entry follows one thing: run and journal, run and state, run and metrics, or runs",
            field="follow",
        )
    if entry.journal:
        return Key("journal", entry.run, follow.check_journal(entry.journal))
    if entry.runs is not None:
        return Key("runs", "", encode(entry.runs).decode())
    return Key("state" if entry.state else "metrics", entry.run)
