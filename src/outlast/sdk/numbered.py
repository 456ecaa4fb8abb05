"""Versions by name, as the server has them: what models and datasets ask it for alike.

Plain rows and values; what they mean is told in `sdk.models` and `sdk.datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outlast.ids import LATEST
from outlast.transport.connection import Connection, in_path

PAGE_ROWS = 100


def path(kind: str, name: str, version: str | int = LATEST) -> str:
    """Where a version stands; `kind` is "models" or "datasets"."""
    return f"/api/{kind}/{in_path(name)}/versions/{in_path(str(version))}"


def rows(connection: Connection, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """Every version of a name, newest first. Raises NotFound when there is none."""
    return _paged(connection, f"/api/{kind}/{in_path(name)}/versions", "versions", "before")


def newest(connection: Connection, kind: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The newest version of every name, in the order of names."""
    return _paged(connection, f"/api/{kind}", kind, "after", **query)


def _paged(
    connection: Connection, path: str, key: str, place: str, **query: Any
) -> Iterator[dict[str, Any]]:
    """Page by page, as they are asked for; `place` says where the next page begins."""
    while True:
        page = connection.get(path, limit=PAGE_ROWS, **query)
        yield from page[key]
        if page["next"] is None:
            return
        query[place] = page["next"]


def change(
    connection: Connection,
    path: str,
    tags: Mapping[str, str | None] | None,
    removed_tags: Sequence[str],
    description: str | None,
) -> dict[str, Any]:
    """Set or remove tags, or set the description; returns the row as it is then."""
    asked: dict[str, Any] = {"tags": dict(tags or {}), "removed_tags": [*removed_tags]}
    if description is not None:
        asked["description"] = description
    row: dict[str, Any] = connection.patch(path, asked)
    return row
