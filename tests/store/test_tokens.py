"""Tokens are shown once, kept as hashes, and end; the audit keeps who did what."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from outlast.errors import Invalid, NotFound, Refused
from outlast.store import audit, schema, tokens
from outlast.store.database import Database

NOW_NS = 1_000_000_000


def test_a_token_lets_in_with_its_scope(database: Database) -> None:
    with database.write() as connection:
        token = tokens.make(connection, "run:abc", label="notebook", now_ns=NOW_NS)
        other = tokens.make(connection, "read", label="wall", now_ns=NOW_NS + 1)
    assert token != other
    assert len(token) == len("outlast_") + 43  # 256 bits
    with database.read() as connection:
        found = tokens.check(connection, token, NOW_NS)
        assert (found.scope, found.label) == ("run:abc", "notebook")
        assert [one.label for one in tokens.listed(connection)] == ["wall", "notebook"]


def test_the_token_itself_is_nowhere(database: Database) -> None:
    with database.write() as connection:
        token = tokens.make(connection, "admin", label="me", now_ns=NOW_NS)
        kept = repr(connection.execute(sa.select(schema.tokens)).all())
    assert token not in kept
    assert token.removeprefix("outlast_") not in kept


@pytest.mark.parametrize("wrong", ["", "x", "outlast_", "é", "a" * 10_000, "\ud800", "\0"])
def test_unknown_tokens_are_refused(database: Database, wrong: str) -> None:
    with database.read() as connection, pytest.raises(Refused):
        tokens.check(connection, wrong, NOW_NS)


def test_a_token_ends_at_its_time_or_when_it_is_revoked(database: Database) -> None:
    with database.write() as connection:
        short = tokens.make(connection, "read", label="a", now_ns=NOW_NS, expires_ns=NOW_NS + 10)
        long = tokens.make(connection, "read", label="b", now_ns=NOW_NS)
        tokens.check(connection, short, NOW_NS + 9)
        with pytest.raises(Refused, match="time is over"):
            tokens.check(connection, short, NOW_NS + 10)
        fingerprint = tokens.check(connection, long, NOW_NS).fingerprint
        tokens.revoke(connection, fingerprint[:8], NOW_NS + 5)
        with pytest.raises(Refused, match="not known"):
            tokens.check(connection, long, NOW_NS + 6)
        assert tokens.revoke(connection, fingerprint, NOW_NS + 7).revoked_ns == NOW_NS + 5


def test_the_same_token_added_twice_has_its_last_scope(database: Database) -> None:
    with database.write() as connection:
        tokens.add(connection, "outlast_x", "read", label="a", now_ns=NOW_NS)
        tokens.add(connection, "outlast_x", "admin", label="a", now_ns=NOW_NS)
        assert tokens.check(connection, "outlast_x", NOW_NS).scope == "admin"
        assert len(tokens.listed(connection)) == 1


def test_wrong_values_are_named(database: Database) -> None:
    with database.write() as connection:
        for scope in ("", "root", "run:", "run:../x"):
            with pytest.raises(Invalid):
                tokens.make(connection, scope, label="a", now_ns=NOW_NS)
        with pytest.raises(Invalid, match="expires_ns"):
            tokens.make(connection, "read", label="a", now_ns=NOW_NS, expires_ns=1)
        with pytest.raises(Invalid, match="label"):
            tokens.make(connection, "read", label="", now_ns=NOW_NS)
        with pytest.raises(Invalid, match="fingerprint"):
            tokens.revoke(connection, "%", NOW_NS)
        with pytest.raises(NotFound):
            tokens.revoke(connection, "0" * 64, NOW_NS)
        assert tokens.listed(connection) == []


def test_the_audit_is_read_newest_first(database: Database) -> None:
    with database.write() as connection:
        for number in range(5):
            audit.note(
                connection,
                t_ns=number,
                who="admin",
                action="delete",
                target=f"run{number % 2}",
                origin="127.0.0.1",
                details={"n": number},
            )
        audit.note(connection, t_ns=9, who="\0\ud800" + "x" * 9999, action="a", result="refused")
    with database.read() as connection:
        acts = audit.acts(connection, limit=3)
        assert [act.t_ns for act in acts] == [9, 4, 3]
        assert len(acts[0].who) == audit.MAX_CHARS
        assert [act.t_ns for act in audit.acts(connection, before=acts[-1].number)] == [2, 1, 0]
        assert [act.details for act in audit.acts(connection, target="run1")] == [
            {"n": 3},
            {"n": 1},
        ]
