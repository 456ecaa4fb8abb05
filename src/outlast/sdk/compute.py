"""Compute targets from Python: named pools of nodes on which runs wait for their turn.

    pool = compute.create("cpu-cluster", size="STANDARD_D2_V2", nodes=2)
    outlast.submit("train.py", target="cpu-cluster")

A node is a share of the server's machine. Nothing is started or stopped by making one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.sdk.workspace import Workspace
from outlast.transport.connection import Connection, in_path

__all__ = ["Target", "create", "delete", "get", "sizes", "targets"]


class Target:
    """A pool of nodes, or an instance: a place for terminals."""

    def __init__(self, connection: Connection, row: Mapping[str, Any]) -> None:
        self._connection = connection
        self.row = dict(row)
        self.name = str(row["name"])
        self._path = f"/api/compute/{in_path(self.name)}"

    def __repr__(self) -> str:
        return f"Target({self.name!r}, {self.row['busy_nodes']} of {self.max_nodes} nodes busy)"

    @property
    def kind(self) -> str:
        """ "pool" or "instance"."""
        return str(self.row["kind"])

    @property
    def max_nodes(self) -> int:
        return int(self.row["max_nodes"])

    @property
    def node(self) -> dict[str, Any]:
        """What a run on one node holds of the machine: cpus, memory_bytes, gpus."""
        return dict(self.row["node"])

    @property
    def notes(self) -> list[str]:
        """In words how a node differs from what was asked for; [] when it doesn't."""
        return list(self.row["notes"])

    @property
    def is_stopped(self) -> bool:
        return bool(self.row["is_stopped"])

    def refresh(self) -> Target:
        """Ask again how it stands; returns itself. Raises NotFound when it was deleted."""
        self.row = self._connection.get(self._path)
        return self

    def change(self, *, nodes: int | None = None, **fields: Any) -> Target:
        """Set `nodes`, min_nodes, idle_s, tags or settings; runs on it stay. Raises Invalid."""
        asked = {**fields, **({"max_nodes": nodes} if nodes is not None else {})}
        self.row = self._connection.patch(self._path, asked)
        return self

    def stop(self) -> Target:
        """Let no further run or terminal onto it; those that are on it stay."""
        return self.change(is_stopped=True)

    def start(self) -> Target:
        """Let runs and terminals onto it again."""
        return self.change(is_stopped=False)

    def delete(self) -> None:
        """Remove it. Raises Conflict while a run is on it or waits for it; it is there then."""
        self._connection.delete(self._path)


def create(
    name: str,
    *,
    size: str = "",
    nodes: int = 1,
    cpus: float = 0,
    memory_bytes: int = 0,
    gpus: int = 0,
    kind: str = "pool",
    min_nodes: int = 0,
    idle_s: float = 0,
    settings: Mapping[str, Any] | None = None,
    tags: Mapping[str, str | None] | None = None,
    workspace: Workspace | None = None,
) -> Target:
    """Make a compute target of `nodes`: so many runs are on it at once.

    Each has what a machine of this `size` has ("STANDARD_D2_V2"), or `cpus`, `memory_bytes` and
    `gpus`; by default an equal part of the machine. Cut to the machine where that is smaller, see
    `notes`. Raises Invalid, Conflict when there is one of this name.
    """
    connection = (workspace or Workspace()).connection
    row = connection.post(
        "/api/compute",
        {
            "name": name, "kind": kind, "size": size, "cpus": cpus, "memory_bytes": memory_bytes,
            "gpus": gpus, "min_nodes": min_nodes, "max_nodes": nodes, "idle_s": idle_s,
            "settings": dict(settings or {}), "tags": dict(tags or {}),
        },
    )  # fmt: skip
    return Target(connection, row)


def get(name: str, *, workspace: Workspace | None = None) -> Target:
    """One by name. Raises NotFound, which lists those that there are."""
    connection = (workspace or Workspace()).connection
    return Target(connection, connection.get(f"/api/compute/{in_path(name)}"))


def targets(*, workspace: Workspace | None = None) -> list[Target]:
    """Every compute target, in the order of names."""
    connection = (workspace or Workspace()).connection
    return [Target(connection, row) for row in connection.get("/api/compute")["targets"]]


def delete(name: str, *, workspace: Workspace | None = None) -> None:
    """Remove one by name. Raises NotFound, or Conflict while a run needs it."""
    get(name, workspace=workspace).delete()


def sizes(*, workspace: Workspace | None = None) -> list[dict[str, Any]]:
    """The sizes that have a name: name, cpus, memory_bytes, gpus."""
    answer: list[dict[str, Any]] = (workspace or Workspace()).connection.get("/api/sizes")["sizes"]
    return answer
