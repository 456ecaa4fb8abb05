"""What a tunnel may lead to, as the server names it.

A client knows names only: what they lead to is the server's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from outlast.errors import NotFound
from outlast.ssh import config, keys
from outlast.transport.connection import Connection


class Target(NamedTuple):
    """A place to log in to."""

    name: str
    user: str
    host_key: str


def fetch(connection: Connection, name: str) -> Target:
    """The target of this name. Raises NotFound, listing those that there are."""
    known = {one["name"]: one for one in connection.get("/api/targets")["targets"]}
    if name not in known:
        raise NotFound(f"there is no target {name!r}", hint=f"one of: {', '.join(sorted(known))}")
    return Target(name, known[name]["user"], known[name]["host_key"])


def write_block(connection: Connection, home: Path, name: str, url: str) -> Path:
    """The ssh_config of a target, with its host key pinned and a key to show to it.

    Raises NotFound, and Refused when the host key is another one than before.
    """
    target = fetch(connection, name)
    keys.client_key(home)
    keys.pin(home, config.alias(name, url), target.host_key)
    block = config.tunnel_block(home, name, target.user, url=url)
    return config.write_block(home, config.alias(name, url), block)
