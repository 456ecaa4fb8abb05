"""A workspace: the runs of one folder and the server that looks after them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from outlast.sdk.handle import RunHandle
from outlast.sdk.start import start
from outlast.transport.connection import Address, Connection, find


class Workspace:
    """The workspace at `home` (default: OUTLAST_HOME, else ~/.outlast).

    Its server is started at the first call that needs it; nothing happens before.
    """

    def __init__(self, home: str | Path | None = None, *, url: str = "", token: str = "") -> None:
        chosen = home or os.environ.get("OUTLAST_HOME") or Path.home() / ".outlast"
        self.home = Path(chosen).expanduser().absolute()
        self._remote = Address(url, token, 0, "") if url else None

    def __repr__(self) -> str:
        return f"Workspace({str(self.home)!r})"

    @cached_property
    def connection(self) -> Connection:
        """The connection that all calls of this workspace share."""
        if self._remote is not None:
            return Connection(self._remote)
        return Connection(start(self.home), locate=self._locate)

    def close(self) -> None:
        """Close the connection, if one was opened; the next call opens another."""
        if "connection" in self.__dict__:
            self.__dict__.pop("connection").close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _locate(self) -> Address | None:
        return find(self.home)

    def run(self, ref: str) -> RunHandle:
        """One run by id, unique prefix, name, or "@last". Raises NotFound, Conflict."""
        found = self.connection.get("/api/resolve", ref=ref)
        return RunHandle(self.connection, found["id"])

    def runs(
        self,
        *,
        experiment: str | None = None,
        status: str | None = None,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[RunHandle]:
        """Runs, newest first, fetched page by page as they are asked for."""
        for row in self.rows(
            experiment=experiment, status=status, where=where, sort=sort, limit=limit
        ):
            yield RunHandle(self.connection, row["id"], row)

    def rows(self, *, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """The same as plain rows (ARCHITECTURE.md says what a row holds)."""
        cursor = None
        while limit is None or limit > 0:
            size = 200 if limit is None else min(limit, 200)
            page = self.connection.get("/api/runs", limit=size, cursor=cursor, **filters)
            yield from page["runs"]
            cursor = page["next"]
            if limit is not None:
                limit -= len(page["runs"])
            if cursor is None:
                return

    def experiments(self) -> list[dict[str, Any]]:
        """Every experiment with its number of runs."""
        answer: list[dict[str, Any]] = self.connection.get("/api/experiments")["experiments"]
        return answer

    def status(self) -> dict[str, Any]:
        """What `outlast status --json` prints."""
        answer: dict[str, Any] = self.connection.get("/api/status")
        return answer


def get_run(ref: str, *, workspace: Workspace | None = None) -> RunHandle:
    """One run by id, unique prefix, name, or "@last"."""
    return (workspace or Workspace()).run(ref)


def runs(*, workspace: Workspace | None = None, **filters: Any) -> Iterator[RunHandle]:
    """Runs of the workspace, newest first; see Workspace.runs."""
    return (workspace or Workspace()).runs(**filters)
