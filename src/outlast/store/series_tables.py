"""The tables of metric points: `series`, `tail`, `chunk`.

A point is written twice in its life: into a `tail` row as it comes, then into a `chunk` of 8,192
points that is never changed again. What the bytes of `data` are is in chunks.py, who writes which
row when is in series.py, what the levels of `chunk` are for is in pyramid.py.
"""

from __future__ import annotations

from sqlalchemy import DDL, Column, Index, Table, event

from outlast.store.schema import Bytes, Real, String, Whole, column, metadata, table

# One row a series: its number, which keeps the other rows narrow, and its summary. `last` and
# `last_t_ns` belong to the point with the greatest step, the latest to arrive among equals.
series = Table(
    "series",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    column("run", Whole),
    column("name", String),
    column("n", Whole),
    column("first_step", Whole),
    column("last_step", Whole),
    column("min", Real, is_optional=True),  # of the finite values; null when there is none
    column("max", Real, is_optional=True),
    column("last", Real, is_optional=True),  # null = not a number, which SQLite can't hold
    column("last_t_ns", Whole),
    column("non_finite", Whole),  # how many values are NaN or infinite
    column("chunks", Whole),  # how many are sealed
    column("tail_n", Whole),  # points in the tail
    column("tail_rows", Whole),
    sqlite_strict=True,
)
Index("series_run_name", series.c.run, series.c.name, unique=True)

# The newest points, a row a call of append(), in order of arrival: `at` = points before them.
tail = table(
    "tail",
    column("series", Whole, is_key=True),
    column("at", Whole, is_key=True),
    column("data", Bytes),
    has_rowid=True,
)

# Sealed points (level 0) and the pyramid over them (level 1 and up). `place` = chunks before it;
# each is sorted by step within itself, and chunks may overlap.
chunk = table(
    "chunk",
    column("series", Whole, is_key=True),
    column("level", Whole, is_key=True),
    column("place", Whole, is_key=True),
    column("n", Whole),  # points in `data`
    column("points", Whole),  # points that it stands for; n at level 0
    column("first_step", Whole),
    column("last_step", Whole),
    column("data", Bytes),  # last, so that the columns before it are read without it
    has_rowid=True,
)

# PostgreSQL would try to compress what is compressed already.
for _name in (tail.name, chunk.name):
    _external = DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {_name} ALTER COLUMN data SET STORAGE EXTERNAL"
    )
    event.listen(metadata.tables[_name], "after_create", _external.execute_if(dialect="postgresql"))
