"""A workspace: the runs of one folder and the server that looks after them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlast import config
from outlast.errors import Refused
from outlast.transport.address import Address, find, was_killed
from outlast.transport.connection import Connection

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle

# A killed server is started again by whoever misses it for so long: something else that looks
# after it (systemd, a person) comes first.
RESTART_AFTER_S = 3.0
PAGE_RUNS = 200


class Workspace:
    """The workspace at `home` (default: OUTLAST_HOME, else ~/.outlast).

    Its server is started at the first call that needs it; nothing happens before. With `url` and
    `token` (default: the setting `url` and OUTLAST_TOKEN, unless `home` is given) it is the
    workspace of a server elsewhere, and nothing is started. Raises Invalid for a wrong setting.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        url: str = "",
        token: str = "",
        tell: Callable[[str], None] | None = None,
    ) -> None:
        settings = config.load({"home": str(home) if home is not None else None})
        self.home = Path(settings.home)
        self.url = url or (settings.url if home is None else "")
        self._token = token or os.environ.get("OUTLAST_TOKEN", "")
        self._tell = tell

    def __repr__(self) -> str:
        return f"Workspace({self.url or str(self.home)!r})"

    @cached_property
    def connection(self) -> Connection:
        """The connection that all calls of this workspace share; each thread has a line of its own.

        Raises Unreachable when the server can't be started, Refused without a token for `url`.
        """
        if not self.url:
            return Connection(
                find(self.home) or self._start(), locate=self._locate, tell=self._tell
            )
        if not self._token:
            raise Refused(
                f"the server at {self.url} needs a token",
                hint="set OUTLAST_TOKEN to the content of the file `token` in its workspace",
            )
        return Connection(Address(self.url.rstrip("/"), self._token), tell=self._tell)

    def server(self) -> Address | None:
        """Who looks after this workspace now, or None; starts nothing."""
        return self.connection.address if self.url else find(self.home)

    def close(self) -> None:
        """Close the connection, if one was opened; the next call opens another."""
        if "connection" in self.__dict__:
            self.__dict__.pop("connection").close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _locate(self, lasted_s: float) -> Address | None:
        """Where the server is now; a killed one is started again, a stopped one is not."""
        found = find(self.home)
        if found is None and lasted_s > RESTART_AFTER_S and was_killed(self.home):
            return self._start()
        return found

    def _start(self) -> Address:
        from outlast.sdk.start import start  # mostly there is a server

        return start(self.home)

    def run(self, ref: str) -> RunHandle:
        """One run by id, unique prefix, name, or "@last". Raises NotFound, Conflict."""
        from outlast.sdk.handle import RunHandle  # a list of rows needs none

        found = self.connection.get("/api/resolve", ref=ref)
        return RunHandle(self.connection, found["id"])

    def runs(
        self,
        *,
        experiment: str | None = None,
        status: str | None = None,
        where: str | None = None,
        sort: str | None = None,
        since_ns: int | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> Iterator[RunHandle]:
        """Runs, newest first, fetched page by page as they are asked for.

        `status` is one or several with commas; `where` as "metrics.loss < 0.1 and tags.team = 'a'";
        `sort` a column, metrics.NAME or tags.NAME, with "-" before it the greatest first.
        """
        from outlast.sdk.handle import RunHandle

        filters = {
            "experiment": experiment, "status": status, "where": where, "sort": sort,
            "since_ns": since_ns, "kind": kind,
        }  # fmt: skip
        for row in self.rows(limit=limit, **filters):
            yield RunHandle(self.connection, row["id"], row)

    def rows(self, *, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """The same as plain rows (ARCHITECTURE.md says what a row holds)."""
        cursor = None
        while limit is None or limit > 0:
            size = PAGE_RUNS if limit is None else min(limit, PAGE_RUNS)
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
