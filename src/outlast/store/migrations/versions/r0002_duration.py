"""How long a run took becomes a column, so that a list sorted by it reads an index."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN duration_ns BIGINT" if _is_postgresql() else _STRICT)
    op.execute(
        """
        UPDATE runs
        SET duration_ns = CASE WHEN ended_ns > started_ns THEN ended_ns - started_ns ELSE 0 END
        WHERE status IN ('Completed', 'Failed', 'Canceled') AND started_ns <> 0 AND ended_ns <> 0
        """
    )
    op.execute("CREATE INDEX runs_duration ON runs (duration_ns, key)")


_STRICT = "ALTER TABLE runs ADD COLUMN duration_ns INTEGER"  # STRICT tables know no BIGINT


def _is_postgresql() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")
