"""The tables, one comment each, as they are now.

Every change of a table is a new file in migrations/versions/ and a new HEAD here; a test compares
what the migrations make with what stands here. The tables of metric points are in series_tables.py.
A run's rows elsewhere carry its `key`, a number that is never used twice. They have no foreign
keys: a deleted run leaves the lists at once and its rows go piece by piece (see deletion.purge).
Times are wall-clock nanoseconds since 1970, 0 = not yet.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    INTEGER,
    REAL,
    TEXT,
    BigInteger,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

HEAD = "0005"  # the newest file in migrations/versions/

metadata = MetaData()

# STRICT tables of SQLite know INTEGER, REAL, TEXT and BLOB only. Text is compared by code point on
# both databases, whatever the locale of the PostgreSQL cluster.
Whole = BigInteger().with_variant(INTEGER(), "sqlite")
Real: Any = Double().with_variant(REAL(), "sqlite")
String = Text().with_variant(TEXT(collation="C"), "postgresql")
Bytes = LargeBinary()


def column(name: str, kind: Any, *, is_key: bool = False, is_optional: bool = False) -> Column[Any]:
    """A column that is NOT NULL unless it says so."""
    return Column(name, kind, primary_key=is_key, nullable=is_optional, autoincrement=False)


def table(name: str, *parts: Any, has_rowid: bool = False) -> Table:
    """A strict table. Without a rowid (the default) its primary key is where its rows stand."""
    return Table(name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=has_rowid)


# Which migration the database stands at; alembic reads and writes it too.
alembic_version = Table(
    "alembic_version", metadata, Column("version_num", Text, primary_key=True), sqlite_strict=True
)

# One row a run: all that a list needs, so that a page is one query.
runs = Table(
    "runs",
    metadata,
    Column("key", Whole, primary_key=True, autoincrement=True),
    column("id", String),
    column("experiment", String),
    column("kind", String),
    column("status", String),
    column("stage", String),
    column("cause", String),
    column("message", String),
    column("name", String),
    column("parent", String, is_optional=True),
    column("created_ns", Whole),
    column("queued_ns", Whole),
    column("started_ns", Whole),
    column("ended_ns", Whole),
    column("duration_ns", Whole, is_optional=True),  # once it is over and had started
    column("attempt", Whole),
    column("version", Whole),  # counts the changes that a person can see, but for metric points
    column("writes", Whole),  # counts every write: who read an older one reads again
    column("summary", String),  # JSON, see summary.py
    column("state", String),  # JSON of run.state.RunState
    column("spec", String),  # JSON of run.spec.RunSpec
    sqlite_strict=True,
    sqlite_autoincrement=True,  # a key is never used again, see purge
)
Index("runs_id", runs.c.id, unique=True)
Index("runs_created", runs.c.created_ns, runs.c.key)
Index("runs_experiment", runs.c.experiment, runs.c.created_ns, runs.c.key)
Index("runs_status", runs.c.status, runs.c.created_ns, runs.c.key)
Index("runs_duration", runs.c.duration_ns, runs.c.key)
Index("runs_name", runs.c.name)
Index("runs_parent", runs.c.parent)

# What runs are filtered and sorted by: metrics.NAME (the last value), tags.NAME, params.NAME.
run_values = table(
    "run_values",
    column("run", Whole, is_key=True),
    column("name", String, is_key=True),
    column("number", Real, is_optional=True),
    column("text", String, is_optional=True),  # the first TEXT_CHARS characters
)
Index("run_values_number", run_values.c.name, run_values.c.number, run_values.c.run)
Index("run_values_text", run_values.c.name, run_values.c.text, run_values.c.run)
TEXT_CHARS = 300  # of 4 bytes; an index row of PostgreSQL holds 2,700 bytes, name included

# The runs that must be Completed before a run may start.
run_needs = table(
    "run_needs", column("run", Whole, is_key=True), column("needed", String, is_key=True)
)
Index("run_needs_needed", run_needs.c.needed, run_needs.c.run)

# Up to where each journal is read: written in the transaction of the rows that came of it.
cursors = table(
    "cursors",
    column("run", Whole, is_key=True),
    column("journal", String, is_key=True),
    column("offset", Whole),
)

# What was logged and isn't a number: lists, rows, tables, images and strings, in order of arrival.
logged = table(
    "logged",
    column("run", Whole, is_key=True),
    column("number", Whole, is_key=True),  # counts from 1
    column("kind", String),  # list | row | table | image | string
    column("name", String),
    column("step", Whole, is_optional=True),
    column("value", String),  # JSON
    column("t_ns", Whole),
)

# The outputs of a run that are stored, and the files of each.
manifests = table(
    "manifests",
    column("run", Whole, is_key=True),
    column("attempt", Whole, is_key=True),
    column("digest", String),
    column("files", Whole),
    column("size_bytes", Whole),
    column("foreign_paths", String),  # JSON
    column("committed_ns", Whole),
)
manifest_files = table(
    "manifest_files",
    column("run", Whole, is_key=True),
    column("attempt", Whole, is_key=True),
    column("path", String, is_key=True),
    column("size_bytes", Whole),
    column("sha256", String),
    column("mtime_ns", Whole),
    column("origin", String),
    column("source", String),
)
Index("manifest_files_sha256", manifest_files.c.sha256, manifest_files.c.run)

# Who may come in. The token itself is nowhere.
tokens = table(
    "tokens",
    column("sha256", String, is_key=True),
    column("label", String),
    column("scope", String),  # admin | read | run:<id>
    column("created_ns", Whole),
    column("expires_ns", Whole),  # 0 = never
    column("revoked_ns", Whole),
)

# Who did what; rows are only ever added.
audit = Table(
    "audit",
    metadata,
    Column("number", Whole, primary_key=True, autoincrement=True),
    column("t_ns", Whole),
    column("who", String),
    column("action", String),
    column("target", String),
    column("origin", String),  # from where, as an address
    column("result", String),
    column("details", String),  # JSON
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
Index("audit_target", audit.c.target, audit.c.number)

# What was read and can't be true: damaged records, events that can't follow.
oddities = table(
    "oddities",
    column("run", Whole, is_key=True),
    column("journal", String, is_key=True),
    column("offset", Whole, is_key=True),
    column("code", String),
    column("message", String),
)

# Runs that are gone from the lists, and of which rows may still be there.
deletions = table("deletions", column("run", Whole, is_key=True), column("id", String))

# Models by name; version numbers are given out here, in the transaction that uses them.
models = table("models", column("name", String, is_key=True), column("last_version", Whole))

# One row a version. A deleted one keeps its row, so that nothing else ever gets its number.
model_versions = table(
    "model_versions",
    column("name", String, is_key=True),
    column("version", Whole, is_key=True),
    column("description", String),
    column("tags", String),  # JSON
    column("properties", String),  # JSON
    column("created_ns", Whole),
    column("created_by", String),
    column("run", String),  # its id, "" for files that no run made; the run may be deleted by now
    column("attempt", Whole),
    column("manifest", String),  # digest of the run's outputs, "" while they weren't stored
    column("path", String),  # among the run's stored files
    column("digest", String),  # of its files, as of a manifest
    column("files", Whole),
    column("size_bytes", Whole),
    column("intent", String, is_optional=True),  # who asked for it; asked twice, it is made once
    column("deleted_ns", Whole),
)
Index("model_versions_intent", model_versions.c.intent, unique=True)
Index("model_versions_run", model_versions.c.run)
model_files = table(
    "model_files",
    column("name", String, is_key=True),
    column("version", Whole, is_key=True),
    column("path", String, is_key=True),
    column("size_bytes", Whole),
    column("sha256", String),
)
model_aliases = table(
    "model_aliases",
    column("name", String, is_key=True),
    column("alias", String, is_key=True),
    column("version", Whole),
)

# Datasets by name, as models. A version is a definition; the data stay where they are.
datasets = table("datasets", column("name", String, is_key=True), column("last_version", Whole))
dataset_versions = table(
    "dataset_versions",
    column("name", String, is_key=True),
    column("version", Whole, is_key=True),
    column("id", String),  # of the definition; other versions may have the same
    column("kind", String),  # file | tabular
    column("definition", String),  # JSON
    column("description", String),
    column("tags", String),  # JSON
    column("digest", String),  # of the contents when it was registered, "" when nobody looked
    column("files", Whole),
    column("size_bytes", Whole),
    column("run", String),  # its id, "" for data that no run made
    column("created_ns", Whole),
    column("created_by", String),
    column("intent", String, is_optional=True),  # asked twice, it is made once
    column("deleted_ns", Whole),
)
Index("dataset_versions_id", dataset_versions.c.id)
Index("dataset_versions_intent", dataset_versions.c.intent, unique=True)

# Named roots of data; those that every workspace has are here only when something was set.
datastores = table(
    "datastores",
    column("name", String, is_key=True),
    column("root", String),  # an absolute folder or a URL; "" = in the workspace's folder
    column("facts", String),  # JSON: what it stands for, as the names of an Azure account
    column("is_default", Whole),
    column("created_ns", Whole),
    column("created_by", String),
)

# What runs have asked to be registered, by the place of the record that says so.
registrations = table(
    "registrations",
    column("run", Whole, is_key=True),
    column("journal", String, is_key=True),
    column("offset", Whole, is_key=True),
    column("name", String),
    column("path", String),
    column("attempt", Whole),
    column("tags", String),  # JSON
    column("properties", String),  # JSON
    column("description", String),
    column("t_ns", Whole),
    column("status", String),  # waiting | done | failed
    column("version", Whole),  # 0 until done
    column("message", String),  # why it failed
)
Index("registrations_status", registrations.c.status, registrations.c.run)

# Named pools of nodes on which runs wait for their turn; a node is a share of the machine.
compute_targets = table(
    "compute_targets",
    column("name", String, is_key=True),
    column("kind", String),  # pool | instance
    column("size", String),  # as it was named, "" for none
    column("cpus", Real),  # of one node as it was asked for; 0 = an equal part of the machine
    column("memory_bytes", Whole),
    column("gpus", Whole),
    column("min_nodes", Whole),
    column("max_nodes", Whole),
    column("idle_s", Real),
    column("is_stopped", Whole),
    column("settings", String),  # JSON: what is kept and not acted on
    column("tags", String),  # JSON
    column("created_ns", Whole),
    column("created_by", String),
    column("changed_ns", Whole),
)
