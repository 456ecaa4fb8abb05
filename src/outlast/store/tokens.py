"""Who may come in: tokens of 256 random bits, of which only the SHA-256 is kept.

A token is shown once, when it is made. One hash is enough, as nobody guesses 256 bits; comparing
hashes by a lookup tells nothing about tokens that are close.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Invalid, NotFound, Refused
from outlast.ids import check_name, check_run_id
from outlast.store.schema import tokens

PREFIX = "outlast_"  # scanners for secrets, our own too, know it by this
MAX_CHARS = 200

_SHORT = re.compile(r"[0-9a-f]{8,64}")


class Token(NamedTuple):
    """A token as it is listed; the token itself is not in here."""

    fingerprint: str  # SHA-256, hex; 8 characters of it are enough for `revoke`
    label: str
    scope: str  # admin | read | run:<id>
    created_ns: int
    expires_ns: int  # 0 = never
    revoked_ns: int  # 0 = not


def make(
    connection: Connection, scope: str, *, label: str, now_ns: int, expires_ns: int = 0
) -> str:
    """A new token; it can't be shown again. Raises Invalid for a wrong scope or label."""
    token = PREFIX + secrets.token_urlsafe(32)
    add(connection, token, scope, label=label, now_ns=now_ns, expires_ns=expires_ns)
    return token


def add(
    connection: Connection, token: str, scope: str, *, label: str, now_ns: int, expires_ns: int = 0
) -> None:
    """Let a token in that was made elsewhere, as the one in the workspace's file."""
    _check_scope(scope)
    if expires_ns and expires_ns <= now_ns:
        raise Invalid.field("expires_ns", expires_ns, "give a time to come, or 0 for never")
    fingerprint = _fingerprint(token)
    connection.execute(sa.delete(tokens).where(tokens.c.sha256 == fingerprint))
    connection.execute(
        tokens.insert().values(
            sha256=fingerprint,
            label=check_name("label", label),
            scope=scope,
            created_ns=now_ns,
            expires_ns=expires_ns,
            revoked_ns=0,
        )
    )


def check(connection: Connection, token: str, now_ns: int) -> Token:
    """The token's record. Raises Refused when it is unknown, revoked or past its time."""
    if len(token) <= MAX_CHARS:
        query = sa.select(tokens).where(tokens.c.sha256 == _fingerprint(token))
        found = connection.execute(query).first()
        if found is not None and not found.revoked_ns:
            if found.expires_ns and found.expires_ns <= now_ns:
                raise Refused("the token's time is over", hint="ask for a new token")
            return Token(*found)
    raise Refused("the token is not known here", hint="outlast status shows the workspace in use")


def is_valid(connection: Connection, fingerprint: str, now_ns: int) -> bool:
    """Is there a token of this fingerprint, neither revoked nor past its time?"""
    query = sa.select(tokens).where(tokens.c.sha256 == fingerprint)
    found = connection.execute(query).first()
    if found is None or found.revoked_ns:
        return False
    return not found.expires_ns or bool(found.expires_ns > now_ns)


def listed(connection: Connection) -> list[Token]:
    """Every token, the newest first."""
    query = sa.select(tokens).order_by(tokens.c.created_ns.desc(), tokens.c.sha256)
    return [Token(*found) for found in connection.execute(query)]


def revoke(connection: Connection, fingerprint: str, now_ns: int) -> Token:
    """End a token by its fingerprint or the beginning of it. Raises NotFound, Invalid."""
    if not _SHORT.fullmatch(fingerprint):
        raise Invalid.field("fingerprint", fingerprint, "give 8 to 64 hex digits")
    query = sa.select(tokens).where(tokens.c.sha256.startswith(fingerprint))
    found = connection.execute(query.limit(2)).all()
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'no'} tokens begin with {fingerprint}")
    token = Token(*found[0])
    if token.revoked_ns:
        return token
    is_it = tokens.c.sha256 == token.fingerprint
    connection.execute(tokens.update().where(is_it).values(revoked_ns=now_ns))
    return token._replace(revoked_ns=now_ns)


def _fingerprint(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _check_scope(scope: str) -> None:
    if scope in ("admin", "read"):
        return
    if scope.startswith("run:"):
        check_run_id(scope.removeprefix("run:"))
        return
    raise Invalid.field("scope", scope, "use admin, read or run:<id>")
