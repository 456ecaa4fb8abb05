"""Compute targets: named pools of nodes on which runs wait for their turn."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

SQLITE = """
CREATE TABLE compute_targets (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    size TEXT NOT NULL,
    cpus REAL NOT NULL,
    memory_bytes INTEGER NOT NULL,
    gpus INTEGER NOT NULL,
    min_nodes INTEGER NOT NULL,
    max_nodes INTEGER NOT NULL,
    idle_s REAL NOT NULL,
    is_stopped INTEGER NOT NULL,
    settings TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_ns INTEGER NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
"""

POSTGRESQL = """
CREATE TABLE compute_targets (
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    size TEXT COLLATE "C" NOT NULL,
    cpus DOUBLE PRECISION NOT NULL,
    memory_bytes BIGINT NOT NULL,
    gpus BIGINT NOT NULL,
    min_nodes BIGINT NOT NULL,
    max_nodes BIGINT NOT NULL,
    idle_s DOUBLE PRECISION NOT NULL,
    is_stopped BIGINT NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    created_ns BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    changed_ns BIGINT NOT NULL,
    PRIMARY KEY (name)
);
"""


def upgrade() -> None:
    texts = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for text in texts.split(";"):
        if text.strip():
            op.execute(text)
