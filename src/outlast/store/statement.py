"""One SQL text for the drivers of both databases, past SQLAlchemy's compiler.

For the few statements that are executed thousands of times a second. Parameters are `?` in the
text, and it has no other `?` or `%`. Both drivers keep such a text prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy.engine import Connection, CursorResult


def execute(connection: Connection, text: str, *parameters: Any) -> CursorResult[Any]:
    """Execute once, inside the caller's transaction."""
    return connection.exec_driver_sql(_spelled(text, connection.dialect.paramstyle), parameters)


def execute_many(connection: Connection, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute once for each row, inside the caller's transaction."""
    if rows:
        spelled = _spelled(text, connection.dialect.paramstyle)
        connection.exec_driver_sql(spelled, list(rows))


@lru_cache(maxsize=512)
def _spelled(text: str, style: str) -> str:
    return text if style == "qmark" else text.replace("?", "%s")
