"""Datasets: their versions; and datastores."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

SQLITE = """
CREATE TABLE datasets (
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE dataset_versions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    digest TEXT NOT NULL,
    files INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    run TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    intent TEXT,
    deleted_ns INTEGER NOT NULL,
    PRIMARY KEY (name, version)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE datastores (
    name TEXT NOT NULL,
    root TEXT NOT NULL,
    facts TEXT NOT NULL,
    is_default INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX dataset_versions_id ON dataset_versions (id);
CREATE UNIQUE INDEX dataset_versions_intent ON dataset_versions (intent);
"""

POSTGRESQL = """
CREATE TABLE datasets (
    name TEXT COLLATE "C" NOT NULL,
    last_version BIGINT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE dataset_versions (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    files BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    created_ns BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    intent TEXT COLLATE "C",
    deleted_ns BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE TABLE datastores (
    name TEXT COLLATE "C" NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    facts TEXT COLLATE "C" NOT NULL,
    is_default BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name)
);
CREATE INDEX dataset_versions_id ON dataset_versions (id);
CREATE UNIQUE INDEX dataset_versions_intent ON dataset_versions (intent);
"""


def upgrade() -> None:
    texts = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for text in texts.split(";"):
        if text.strip():
            op.execute(text)
