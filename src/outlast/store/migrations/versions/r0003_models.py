"""Models: their versions, files and aliases, and what runs have asked to be registered."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

SQLITE = """
CREATE TABLE models (
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE model_versions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    properties TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    files INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    intent TEXT,
    deleted_ns INTEGER NOT NULL,
    PRIMARY KEY (name, version)
)
 WITHOUT ROWID,
 STRICT;
CREATE UNIQUE INDEX model_versions_intent ON model_versions (intent);
CREATE INDEX model_versions_run ON model_versions (run);
CREATE TABLE model_files (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, version, path)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE model_aliases (
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (name, alias)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE registrations (
    run INTEGER NOT NULL,
    journal TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    tags TEXT NOT NULL,
    properties TEXT NOT NULL,
    description TEXT NOT NULL,
    t_ns INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (run, journal, "offset")
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX registrations_status ON registrations (status, run);
"""

POSTGRESQL = """
CREATE TABLE models (
    name TEXT COLLATE "C" NOT NULL,
    last_version BIGINT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE model_versions (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    properties TEXT COLLATE "C" NOT NULL,
    created_ns BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    manifest TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    files BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    intent TEXT COLLATE "C",
    deleted_ns BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX model_versions_intent ON model_versions (intent);
CREATE INDEX model_versions_run ON model_versions (run);
CREATE TABLE model_files (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name, version, path)
);
CREATE TABLE model_aliases (
    name TEXT COLLATE "C" NOT NULL,
    alias TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (name, alias)
);
CREATE TABLE registrations (
    run BIGINT NOT NULL,
    journal TEXT COLLATE "C" NOT NULL,
    "offset" BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    properties TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    t_ns BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, journal, "offset")
);
CREATE INDEX registrations_status ON registrations (status, run);
"""


def upgrade() -> None:
    texts = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for text in texts.split(";"):
        if text.strip():
            op.execute(text)
