"""Connections to PostgreSQL that don't wait for one that has stopped.

The driver waits for an answer as long as the socket lives, and a PostgreSQL that is stopped (a
frozen machine, SIGSTOP) keeps its sockets. A connection from here, when an answer takes long, looks
whether PostgreSQL still lets anybody in: if so it waits on, if not it closes and says so. Needs the
extra `postgres`; database.py imports this file only for such a URL.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

QUIET_S = 3.0  # without an answer, before it is looked whether anybody answers
LOOK_S = 4  # how long that look may take
# Beyond the server's own statement_timeout: only the backend of this connection is stopped.
GIVE_UP_S = 150.0


class Connection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed then, when PostgreSQL has stopped."""

    asked: dict[str, Any]  # what it was opened with

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        return super().wait(self._while_served(gen), *arguments, **options)

    def _while_served(self, gen: Any) -> Generator[Any, Any, Any]:
        begin_s = heard_s = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > QUIET_S:
                    self._check_served(begin_s)
                    heard_s = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    def _check_served(self, begin_s: float) -> None:
        is_served = time.monotonic() - begin_s < GIVE_UP_S
        if is_served:
            try:
                psycopg.connect(**{**self.asked, "connect_timeout": LOOK_S}).close()
            except psycopg.errors.ConnectionTimeout:
                is_served = False
            except psycopg.Error:
                pass  # somebody answers there, if only with a refusal
        if not is_served:
            self.pgconn.finish()
            raise psycopg.OperationalError("it has stopped answering")


def connect(**asked: Any) -> Connection:
    """Open one. Raises psycopg.Error."""
    made = Connection.connect(**asked)
    made.asked = asked
    return made
