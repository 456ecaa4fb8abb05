"""Sessions from Python: open, list, close, and read back terminals that outlast their viewers.

Plain rows, as the server tells them (docs/api.md). To sit at one is `outlast attach`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from outlast.errors import NotFound
from outlast.sdk import caller
from outlast.sdk.workspace import Workspace
from outlast.transport.connection import in_path, with_query

PAGE_HITS = 1000


def open_session(
    command: Sequence[str] = (),
    *,
    name: str = "",
    run: str = "",
    compute: str = "",
    folder: str | Path | None = None,
    columns: int = 80,
    rows: int = 24,
    workspace: Workspace | None = None,
) -> dict[str, Any]:
    """Open a session with `command` (default: the user's shell) and return its row.

    It is in `folder` (default: the current one) with this process's environment, or, with `run`, in
    that run's folder and environment. `compute` names the instance on which it is opened. On a
    server elsewhere: its home folder and environment.
    Raises Invalid, Conflict (the run can't be entered), NotFound.
    """
    workspace = workspace or Workspace()
    wanted: dict[str, Any] = {
        "command": list(command), "name": name, "run": run, "columns": columns, "rows": rows,
        "compute": compute,
    }  # fmt: skip
    if not workspace.url and not run:
        environ = caller.environ(os.environ)
        if "PYTHONUNBUFFERED" not in os.environ:
            environ.pop("PYTHONUNBUFFERED", None)  # a terminal is written line by line anyway
        wanted.update(environ=environ, folder=str(Path(folder or Path.cwd()).absolute()))
        wanted["umask"] = caller.umask()
    elif folder is not None:
        wanted["folder"] = str(folder)
    row: dict[str, Any] = workspace.connection.post("/api/sessions", wanted)
    return row


def sessions(
    *, everything: bool = False, workspace: Workspace | None = None
) -> list[dict[str, Any]]:
    """The open sessions, newest first; with `everything` also those that are over."""
    connection = (workspace or Workspace()).connection
    answer = connection.get("/api/sessions", all="true" if everything else None)
    rows: list[dict[str, Any]] = answer["sessions"]
    return rows


def session(ref: str, *, workspace: Workspace | None = None) -> dict[str, Any]:
    """One session by id, unique prefix, name, @last or @-2 (the last session but one).

    A name that an older session has as well means the one that is open. Raises NotFound; Conflict
    for a run that is none.
    """
    workspace = workspace or Workspace()
    back = 1 if ref == "@last" else int(ref[2:]) if re.fullmatch("@-[1-9][0-9]{0,6}", ref) else 0
    if back:
        everything = sessions(everything=True, workspace=workspace)
        if back > len(everything):
            message = f"{ref}: this workspace has {len(everything)} sessions"
            raise NotFound(message, hint="outlast sessions --all")
        return everything[back - 1]
    opened = [row["id"] for row in sessions(workspace=workspace) if ref and row["name"] == ref]
    try:
        found = opened[0] if len(opened) == 1 else workspace.run(ref).id
    except NotFound:
        raise NotFound(f"there is no session {ref!r}", hint="outlast sessions --all") from None
    row: dict[str, Any] = workspace.connection.get(f"/api/sessions/{in_path(found)}")
    return row


def close_session(
    ref: str, *, force: bool = False, workspace: Workspace | None = None
) -> dict[str, Any]:
    """End a session: what runs in it is hung up, and killed after 5 s (`force`: at once)."""
    workspace = workspace or Workspace()
    found = session(ref, workspace=workspace)["id"]
    row: dict[str, Any] = workspace.connection.post(
        f"/api/sessions/{in_path(found)}/close", {"force": force}, repeat=True
    )
    return row


def transcript(ref: str, *, workspace: Workspace | None = None) -> Iterator[bytes]:
    """What the session printed, as plain text, in pieces."""
    return export(ref, "text", workspace=workspace)


def export(ref: str, format: str, *, workspace: Workspace | None = None) -> Iterator[bytes]:
    """The whole transcript as "text" or "asciicast" (version 3), in pieces."""
    workspace = workspace or Workspace()
    found = session(ref, workspace=workspace)["id"]
    path = f"/api/sessions/{in_path(found)}/export"
    return workspace.connection.download(with_query(path, {"format": format}))


def search(ref: str, text: str, *, workspace: Workspace | None = None) -> Iterator[dict[str, Any]]:
    """Lines of the transcript that hold `text`: offset `at`, `text`, time `t_ns`."""
    for page in _pages(ref, workspace, search=text, key="from"):
        yield from page["hits"]


def first_kept(ref: str, *, workspace: Workspace | None = None) -> int:
    """The offset from which the output is kept; what was before was given up to the quota."""
    workspace = workspace or Workspace()
    path = f"/api/sessions/{in_path(session(ref, workspace=workspace)['id'])}/transcript"
    first: int = workspace.connection.get(path, limit=1)["first"]
    return first


def commands(ref: str, *, workspace: Workspace | None = None) -> Iterator[dict[str, Any]]:
    """The commands of the session, as its shell told them, oldest first."""
    for page in _pages(ref, workspace, commands="true", key="after"):
        yield from page["commands"]


def _pages(
    ref: str, workspace: Workspace | None, *, key: str, **query: Any
) -> Iterator[dict[str, Any]]:
    workspace = workspace or Workspace()
    path = f"/api/sessions/{in_path(session(ref, workspace=workspace)['id'])}/transcript"
    at = 0
    while True:
        page = workspace.connection.get(path, limit=PAGE_HITS, **{key: at}, **query)
        yield page
        is_last = page["next"] >= page["end"] if key == "from" else not page["commands"]
        if is_last or page["next"] <= at:
            return
        at = page["next"]
