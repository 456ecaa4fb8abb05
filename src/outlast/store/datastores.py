"""Datastores: named roots of data, folders of this machine or URLs.

Two are there without being made, folders in the workspace's own; one datastore is the default.
Roots are kept and told, never opened here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import check_model_name, check_name
from outlast.run.dataset import check_root
from outlast.store import audit
from outlast.store.database import insert_or_nothing
from outlast.store.numbered import as_json
from outlast.store.schema import datastores

BUILT_IN = ("workspaceblobstore", "workspacefilestore")
FOLDER = "datastores"
MAX_STORES = 1_000
MAX_FACTS = 20


class Datastore(NamedTuple):
    """One named root."""

    name: str
    root: str
    facts: Mapping[str, str]
    is_default: bool
    is_built_in: bool
    created_ns: int
    created_by: str


def listed(connection: Connection, home: str) -> list[Datastore]:
    """Every datastore, by name; `home` is the workspace's folder."""
    rows = {row.name: row for row in connection.execute(sa.select(datastores))}
    has_default = any(row.is_default for row in rows.values())
    found = []
    for name in sorted({*BUILT_IN, *rows}):
        row = rows.get(name)
        is_default = bool(row.is_default) if row is not None else False
        found.append(
            Datastore(
                name,
                (row.root if row is not None else "") or os.path.join(home, FOLDER, name),
                msgspec.json.decode(row.facts) if row is not None else {},
                is_default or (not has_default and name == BUILT_IN[0]),
                name in BUILT_IN,
                row.created_ns if row is not None else 0,
                row.created_by if row is not None else "",
            )
        )
    return found


def get(connection: Connection, home: str, name: str) -> Datastore:
    """One by name; "" is the default. Raises NotFound."""
    for found in listed(connection, home):
        if found.name == name or (not name and found.is_default):
            return found
    raise NotFound(f"there is no datastore {name!r}", hint="outlast datastores ls")


def register(
    connection: Connection,
    home: str,
    name: str,
    root: str,
    *,
    facts: Mapping[str, str],
    by: str,
    now_ns: int,
    is_overwriting: bool = False,
) -> Datastore:
    """Add a datastore; root "" is a folder of its own in the workspace.

    Raises Invalid, or Conflict for a name that is taken by another root unless `is_overwriting`.
    """
    check_model_name(name)
    if root:
        check_root("root", root)
    if len(facts) > MAX_FACTS:
        raise Invalid.field("facts", len(facts), f"give at most {MAX_FACTS}")
    for field, value in facts.items():
        check_name("facts", field)
        check_name(f"facts.{field}", value)
    if name in BUILT_IN:
        raise Conflict(f"{name} is the workspace's own", hint="choose another name")
    query = sa.select(datastores).where(datastores.c.name == name)
    known = connection.execute(query).first()
    is_same = known is not None and known.root == root and known.facts == as_json(facts)
    if known is not None and not is_same and not is_overwriting:
        raise Conflict(f"there is a datastore {name!r} with another root", hint="overwrite it")
    if known is None and _count(connection) >= MAX_STORES:
        raise Invalid(f"there are {MAX_STORES} datastores; remove one")
    _put(connection, name, root=root, facts=as_json(facts), now_ns=now_ns, by=by)
    audit.note(connection, t_ns=now_ns, who=by, action="register datastore", target=name)
    return get(connection, home, name)


def _count(connection: Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(datastores)).scalar_one())


def _put(connection: Connection, name: str, *, now_ns: int, by: str, **values: Any) -> None:
    fresh = {"name": name, "root": "", "facts": "{}", "is_default": 0}
    made = insert_or_nothing(datastores, connection).values(
        **fresh, created_ns=now_ns, created_by=by
    )
    connection.execute(made)
    connection.execute(datastores.update().where(datastores.c.name == name).values(**values))


def set_default(connection: Connection, home: str, name: str, *, by: str, now_ns: int) -> Datastore:
    """Let this be the default, and no other. Raises NotFound."""
    get(connection, home, name)
    connection.execute(datastores.update().values(is_default=0))
    _put(connection, name, is_default=1, now_ns=now_ns, by=by)
    return get(connection, home, name)


def remove(connection: Connection, home: str, name: str, *, by: str, now_ns: int) -> None:
    """Forget a datastore; its data stay. Raises NotFound, or Conflict for one that is built in."""
    if get(connection, home, name).is_built_in:
        raise Conflict(f"{name} is the workspace's own and stays")
    connection.execute(datastores.delete().where(datastores.c.name == name))
    audit.note(connection, t_ns=now_ns, who=by, action="remove datastore", target=name)
