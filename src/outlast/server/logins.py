"""How a browser gets in: a code that is good once, then a session in a cookie.

A code comes to whoever holds a token already (`outlast studio`) and is worth that token's rights.
It travels in the fragment of a link, which browsers don't send, and is worthless once used. The
session is a token of its own in the database: its SHA-256 is all that is kept, it expires, it is
revoked with the token that it came from, and a restart of the server doesn't end it. It is taken
from the cookie alone and never as a bearer; who it is, `keys` says.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from sqlalchemy.engine import Connection

from outlast.server.auth import Principal
from outlast.server.errors import HttpError
from outlast.store import tokens

CODE_S = 60.0
MAX_CODES = 100
SESSION_S = 30 * 24 * 3600
SESSION_PREFIX = "outlast_studio_"
LABEL = "studio of "


class Codes:
    """One-time codes, in memory: a restart within their minute ends them."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[bytes, tuple[float, Principal]] = {}

    def make(self, principal: Principal) -> str:
        """A code that is good once, within CODE_S."""
        now = self._clock()
        self._open = {key: entry for key, entry in self._open.items() if entry[0] > now}
        if len(self._open) >= MAX_CODES:
            raise HttpError(429, "too_many", "too many open codes", headers={"Retry-After": "60"})
        code = secrets.token_urlsafe(24)
        self._open[_digest(code)] = (now + CODE_S, principal)
        return code

    def take(self, code: str) -> Principal | None:
        """Whose code this is; it is used up then."""
        until, principal = self._open.pop(_digest(code), (0.0, None))
        return principal if until > self._clock() else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def is_session(token: str) -> bool:
    return token.startswith(SESSION_PREFIX)


def begin(connection: Connection, principal: Principal, now_ns: int) -> str:
    """A new session with the rights of `principal`; it can't be shown again."""
    session = SESSION_PREFIX + secrets.token_urlsafe(32)
    tokens.add(
        connection, session, principal.scope,
        label=label_of(principal.name), now_ns=now_ns, expires_ns=now_ns + int(SESSION_S * 1e9),
    )  # fmt: skip
    return session


def label_of(name: str) -> str:
    """How the sessions are listed that began with the token of this name."""
    return (LABEL + name.removeprefix(LABEL))[:255]


def end(connection: Connection, session: str, now_ns: int) -> None:
    """End one session."""
    tokens.revoke(connection, hashlib.sha256(session.encode()).hexdigest(), now_ns)


def end_all(connection: Connection, now_ns: int, *, of: str = "") -> int:
    """End every session, or those that began with the tokens labelled `of`; how many they were."""
    ended = 0
    for token in tokens.listed(connection):
        is_meant = token.label == label_of(of) if of else token.label.startswith(LABEL)
        if is_meant and not token.revoked_ns:
            tokens.revoke(connection, token.fingerprint, now_ns)
            ended += 1
    return ended
