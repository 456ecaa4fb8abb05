"""What alembic runs for `upgrade`: the steps, on the connection that it was given."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # SQLite can, though alembic doesn't think so
)
context.run_migrations()
