"""From an older schema to the newest, in one transaction: killed half-way, it is the older one.

One file a step in versions/, each frozen once it is released: it names its tables by itself and
imports nothing that may change. Only imported when there is something to do.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Apply every step up to `revision` within the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
