"""Compute targets by name: what was asked for, as it was asked. One row each.

What a node of one amounts to on this machine, and who is on it, the scheduler knows (`pools`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.run.spec import Resources
from outlast.store import audit
from outlast.store.database import insert_or_nothing
from outlast.store.numbered import as_json, check_texts
from outlast.store.schema import compute_targets

POOL, INSTANCE = "pool", "instance"
KINDS = (POOL, INSTANCE)
# Means the whole machine everywhere, so nothing can have the name.
LOCAL = "local"
MAX_NODES = 1000
MAX_SETTINGS_BYTES = 10_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


class Target(NamedTuple):
    """A compute target as it was asked for."""

    name: str
    kind: str = POOL  # instance: a place for terminals, of one node
    size: str = ""
    node: Resources = Resources(0.0)  # of each node, as asked; 0 = an equal part of the machine
    min_nodes: int = 0  # kept; a share of a machine needs no starting
    max_nodes: int = 1
    idle_s: float = 0.0  # kept, as min_nodes
    is_stopped: bool = False
    settings: Mapping[str, Any] = {}  # what else was asked for, kept and not acted on
    tags: Mapping[str, str | None] = {}
    created_ns: int = 0
    created_by: str = ""
    changed_ns: int = 0

    @property
    def nodes(self) -> int:
        """How many may be in use at once."""
        return 0 if self.is_stopped else self.max_nodes


def check(target: Target) -> Target:
    """Raises Invalid naming the field."""
    if not _NAME.fullmatch(target.name) or target.name == LOCAL:
        remedy = "use a letter, then up to 63 letters, digits, '.', '_' or '-'; local is taken"
        raise Invalid.field("name", target.name, remedy)
    if target.kind not in KINDS:
        raise Invalid.field("kind", target.kind, f"use one of: {', '.join(KINDS)}")
    if not 1 <= target.max_nodes <= MAX_NODES:
        raise Invalid.field("max_nodes", target.max_nodes, f"give a number from 1 to {MAX_NODES}")
    if not 0 <= target.min_nodes <= target.max_nodes:
        remedy = f"give a number from 0 to max_nodes, here {target.max_nodes}"
        raise Invalid.field("min_nodes", target.min_nodes, remedy)
    if target.kind == INSTANCE and target.max_nodes != 1:
        raise Invalid.field("max_nodes", target.max_nodes, "an instance is one node")
    if len(as_json(target.settings)) > MAX_SETTINGS_BYTES:
        remedy = f"keep at most {MAX_SETTINGS_BYTES} bytes as JSON"
        raise Invalid.field("settings", "…", remedy)
    check_texts(target.tags, "")
    return target


def create(connection: Connection, target: Target, now_ns: int) -> Target:
    """Make it. Raises Invalid, or Conflict when there is one of this name."""
    check(target)
    made = target._replace(created_ns=now_ns, changed_ns=now_ns)
    added = connection.execute(
        insert_or_nothing(compute_targets, connection).values(**_row(made))
    ).rowcount
    if not added:
        raise Conflict(
            f"name = {target.name!r}: there is such a compute target already",
            hint=f"outlast compute show {target.name}",
        )
    audit.note(
        connection, t_ns=now_ns, who=target.created_by, action="create compute", target=target.name
    )
    return made


def change(connection: Connection, name: str, fields: Mapping[str, Any], now_ns: int) -> Target:
    """Set these fields of it. Raises NotFound, Invalid."""
    changed = get(connection, name)._replace(**fields, changed_ns=now_ns)
    check(changed)
    is_it = compute_targets.c.name == name
    connection.execute(compute_targets.update().where(is_it).values(**_row(changed)))
    return changed


def delete(connection: Connection, name: str, who: str, now_ns: int) -> None:
    """Remove it; who is on it is for the caller to ask. Raises NotFound."""
    get(connection, name)
    connection.execute(compute_targets.delete().where(compute_targets.c.name == name))
    audit.note(connection, t_ns=now_ns, who=who, action="delete compute", target=name)


def get(connection: Connection, name: str) -> Target:
    """The target of this name. Raises NotFound, which lists those that there are."""
    query = sa.select(compute_targets).where(compute_targets.c.name == name)
    found = connection.execute(query).mappings().first()
    if found is None:
        names = [target.name for target in every(connection)]
        raise NotFound(
            f"there is no compute target {name!r}; there is: {', '.join([*names[:20], LOCAL])}",
            hint="outlast compute create NAME --size SIZE --nodes N",
        )
    return _target(found)


def every(connection: Connection) -> list[Target]:
    """All of them, in the order of their names."""
    query = sa.select(compute_targets).order_by(compute_targets.c.name)
    return [_target(row) for row in connection.execute(query).mappings()]


def _row(target: Target) -> dict[str, Any]:
    values = target._asdict()
    node = values.pop("node")._asdict()
    texts = {"settings": as_json(target.settings), "tags": as_json(target.tags)}
    return {**values, **node, **texts, "is_stopped": int(target.is_stopped)}


def _target(row: Mapping[Any, Any]) -> Target:
    values = dict(row)
    node = Resources(*(values.pop(field) for field in Resources._fields))
    values.update(
        is_stopped=bool(values["is_stopped"]),
        settings=msgspec.json.decode(values["settings"]),
        tags=msgspec.json.decode(values["tags"]),
    )
    return Target(node=node, **values)
