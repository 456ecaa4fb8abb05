-- A database at schema 0001, as its own migration made it. Never changed.
CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY) STRICT;
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE audit (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    t_ns INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    origin TEXT NOT NULL,
    result TEXT NOT NULL,
    details TEXT NOT NULL
)
 STRICT;
CREATE INDEX audit_target ON audit (target, number);
CREATE TABLE chunk (
    series INTEGER NOT NULL,
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    n INTEGER NOT NULL,
    points INTEGER NOT NULL,
    first_step INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (series, level, place)
)
 STRICT;
CREATE TABLE cursors (
    run INTEGER NOT NULL,
    journal TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (run, journal)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE deletions (
    run INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (run)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE logged (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    step INTEGER,
    value TEXT NOT NULL,
    t_ns INTEGER NOT NULL,
    PRIMARY KEY (run, number)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE manifest_files (
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    mtime_ns INTEGER NOT NULL,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (run, attempt, path)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX manifest_files_sha256 ON manifest_files (sha256, run);
CREATE TABLE manifests (
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    digest TEXT NOT NULL,
    files INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    foreign_paths TEXT NOT NULL,
    committed_ns INTEGER NOT NULL,
    PRIMARY KEY (run, attempt)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE oddities (
    run INTEGER NOT NULL,
    journal TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (run, journal, "offset")
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE run_needs (
    run INTEGER NOT NULL,
    needed TEXT NOT NULL,
    PRIMARY KEY (run, needed)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX run_needs_needed ON run_needs (needed, run);
CREATE TABLE run_values (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    number REAL,
    text TEXT,
    PRIMARY KEY (run, name)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX run_values_number ON run_values (name, number, run);
CREATE INDEX run_values_text ON run_values (name, text, run);
CREATE TABLE runs (
    "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    experiment TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT,
    created_ns INTEGER NOT NULL,
    queued_ns INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    version INTEGER NOT NULL,
    writes INTEGER NOT NULL,
    summary TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL
)
 STRICT;
CREATE INDEX runs_created ON runs (created_ns, "key");
CREATE INDEX runs_experiment ON runs (experiment, created_ns, "key");
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_name ON runs (name);
CREATE INDEX runs_parent ON runs (parent);
CREATE INDEX runs_status ON runs (status, created_ns, "key");
CREATE TABLE series (
    id INTEGER NOT NULL,
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    n INTEGER NOT NULL,
    first_step INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    min REAL,
    max REAL,
    last REAL,
    last_t_ns INTEGER NOT NULL,
    non_finite INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    tail_n INTEGER NOT NULL,
    tail_rows INTEGER NOT NULL,
    PRIMARY KEY (id)
)
 STRICT;
CREATE UNIQUE INDEX series_run_name ON series (run, name);
CREATE TABLE tail (
    series INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (series, at)
)
 STRICT;
CREATE TABLE tokens (
    sha256 TEXT NOT NULL,
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    revoked_ns INTEGER NOT NULL,
    PRIMARY KEY (sha256)
)
 WITHOUT ROWID,
 STRICT;
