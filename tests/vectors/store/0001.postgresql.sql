-- A database at schema 0001, as its own migration made it. Never changed.
CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE audit (
    number BIGSERIAL NOT NULL,
    t_ns BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX audit_target ON audit (target, number);
CREATE TABLE chunk (
    series BIGINT NOT NULL,
    level BIGINT NOT NULL,
    place BIGINT NOT NULL,
    n BIGINT NOT NULL,
    points BIGINT NOT NULL,
    first_step BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (series, level, place)
);
ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE cursors (
    run BIGINT NOT NULL,
    journal TEXT COLLATE "C" NOT NULL,
    "offset" BIGINT NOT NULL,
    PRIMARY KEY (run, journal)
);
CREATE TABLE deletions (
    run BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run)
);
CREATE TABLE logged (
    run BIGINT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    step BIGINT,
    value TEXT COLLATE "C" NOT NULL,
    t_ns BIGINT NOT NULL,
    PRIMARY KEY (run, number)
);
CREATE TABLE manifest_files (
    run BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    mtime_ns BIGINT NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, attempt, path)
);
CREATE INDEX manifest_files_sha256 ON manifest_files (sha256, run);
CREATE TABLE manifests (
    run BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    files BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    foreign_paths TEXT COLLATE "C" NOT NULL,
    committed_ns BIGINT NOT NULL,
    PRIMARY KEY (run, attempt)
);
CREATE TABLE oddities (
    run BIGINT NOT NULL,
    journal TEXT COLLATE "C" NOT NULL,
    "offset" BIGINT NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, journal, "offset")
);
CREATE TABLE run_needs (
    run BIGINT NOT NULL,
    needed TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, needed)
);
CREATE INDEX run_needs_needed ON run_needs (needed, run);
CREATE TABLE run_values (
    run BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    number DOUBLE PRECISION,
    text TEXT COLLATE "C",
    PRIMARY KEY (run, name)
);
CREATE INDEX run_values_number ON run_values (name, number, run);
CREATE INDEX run_values_text ON run_values (name, text, run);
CREATE TABLE runs (
    key BIGSERIAL NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    experiment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C",
    created_ns BIGINT NOT NULL,
    queued_ns BIGINT NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    version BIGINT NOT NULL,
    writes BIGINT NOT NULL,
    summary TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    spec TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key)
);
CREATE INDEX runs_created ON runs (created_ns, key);
CREATE INDEX runs_experiment ON runs (experiment, created_ns, key);
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_name ON runs (name);
CREATE INDEX runs_parent ON runs (parent);
CREATE INDEX runs_status ON runs (status, created_ns, key);
CREATE TABLE series (
    id BIGSERIAL NOT NULL,
    run BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    n BIGINT NOT NULL,
    first_step BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    min DOUBLE PRECISION,
    max DOUBLE PRECISION,
    last DOUBLE PRECISION,
    last_t_ns BIGINT NOT NULL,
    non_finite BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    tail_n BIGINT NOT NULL,
    tail_rows BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX series_run_name ON series (run, name);
CREATE TABLE tail (
    series BIGINT NOT NULL,
    at BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (series, at)
);
ALTER TABLE tail ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE tokens (
    sha256 TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    created_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    revoked_ns BIGINT NOT NULL,
    PRIMARY KEY (sha256)
);
