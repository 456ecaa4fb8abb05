"""Where the server of a workspace listens, and whether it lives.

The server writes `server.json` when it is ready and removes it when it stops in order: a file that
names a dead process means that the server was killed, or the machine restarted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from outlast.errors import Unreachable
from outlast.process import Identity


class Address(NamedTuple):
    """Where a workspace's server listens, and who it is."""

    url: str
    token: str
    pid: int = 0  # 0 = of another machine
    version: str = ""


def find(home: Path) -> Address | None:
    """The live server of this workspace, or None. Reads two files; opens no connection."""
    try:
        facts = json.loads((home / "server.json").read_text())
        identity = Identity(facts["pid"], facts["start_ticks"], facts["boot_id"])
        if not identity.is_alive():
            return None
        token = (home / "token").read_text().strip()
        return Address(facts["url"], token, facts["pid"], facts["version"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(
            f"the workspace {home} can't be read: {error}", hint="outlast doctor"
        ) from None


def was_killed(home: Path) -> bool:
    """Did the workspace's last server end without stopping in order?"""
    return (home / "server.json").exists() and find(home) is None
