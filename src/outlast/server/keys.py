"""Who the holder of a token is, and the trail of what they did.

The workspace's own token stands in its file; all others are in the database, as digests. What a
look-up found is believed for CACHE_S, so a revoked token is refused within that time. The trail is
written behind the answers, by one task, in batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from outlast.errors import OutlastError, Refused
from outlast.server.auth import Principal
from outlast.server.logins import is_session
from outlast.store import audit, tokens
from outlast.store.database import Database

log = logging.getLogger(__name__)

CACHE_S = 2.0
CACHED = 10_000
MAX_WAITING = 10_000
CLOSE_S = 1.0


class WorkspaceKeys:
    """The tokens of one workspace."""

    def __init__(
        self, secret: str, database: Database, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret = _digest(secret)
        self._database = database
        self._clock = clock
        self._cache: dict[bytes, tuple[float, Principal | None]] = {}

    async def principal(self, token: str) -> Principal | None:
        """Whose token this is; None when it is unknown, expired or revoked."""
        digest = _digest(token)
        if hmac.compare_digest(digest, self._secret):
            return Principal("workspace", "admin")
        return None if is_session(token) else await self._found(token, digest)

    async def session(self, session: str) -> Principal | None:
        """Whose session of the studio this is; None when it is unknown, expired or revoked."""
        return await self._found(session, _digest(session)) if is_session(session) else None

    async def _found(self, token: str, digest: bytes) -> Principal | None:
        until, principal = self._cache.get(digest, (0.0, None))
        now = self._clock()
        if until > now:
            return principal
        principal = await asyncio.to_thread(self._look_up, token)
        if len(self._cache) >= CACHED:
            self._cache.clear()
        self._cache[digest] = (now + CACHE_S, principal)
        return principal

    async def still_holds(self, principal: Principal) -> bool:
        """Is what this principal has shown still valid, neither expired nor revoked?"""

        def look() -> bool:
            with self._database.read() as connection:
                return tokens.is_valid(connection, principal.credential, time.time_ns())

        return not principal.credential or await asyncio.to_thread(look)

    def forget(self) -> None:
        """Look every token up again: one was revoked."""
        self._cache.clear()

    def _look_up(self, token: str) -> Principal | None:
        with self._database.read() as connection:
            try:
                found = tokens.check(connection, token, time.time_ns())
            except Refused:
                return None
        kind, _, run_id = found.scope.partition(":")
        return Principal(found.label, kind, run_id, found.fingerprint)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Act(NamedTuple):
    """One line of the trail."""

    t_ns: int
    who: str
    action: str
    target: str
    origin: str
    result: str


class Trail:
    """Notes who did what, in the order noted; a request doesn't wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[Act] = asyncio.Queue(MAX_WAITING)
        self._task = asyncio.create_task(self._run())

    def note(self, who: str, action: str, target: str, origin: str, result: str) -> None:
        """Note one act; what can't be kept is said in the log."""
        act = Act(time.time_ns(), who, action, target, origin, result)
        try:
            self._waiting.put_nowait(act)
        except asyncio.QueueFull:
            log.error("the audit trail is full, not kept: %s", act)

    async def close(self) -> None:
        """Write what is waiting, then stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._waiting.join()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            acts = [await self._waiting.get()]
            while not self._waiting.empty():
                acts.append(self._waiting.get_nowait())
            try:
                await asyncio.to_thread(self._write, acts)
            except OutlastError as error:
                log.error("the audit trail can't be written (%s): %s", error.message, acts)
            for _ in acts:
                self._waiting.task_done()

    def _write(self, acts: list[Act]) -> None:
        with self._database.write() as connection:
            for act in acts:
                audit.note(connection, **act._asdict())
