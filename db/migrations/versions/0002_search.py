"""Finding and paging: which texts of tasks have changed since they were indexed, and an index for each order of a list.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STALE = """
INSERT INTO stale_texts (number, changes, created_at, updated_at) VALUES ({row}.number, 1, {row}.updated_at, {row}.updated_at)
ON CONFLICT (number) DO UPDATE SET changes = changes + 1, updated_at = excluded.updated_at;
"""


def upgrade() -> None:
    op.create_table(
        "stale_texts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stale_texts")),
    )
    op.execute(
        "CREATE TRIGGER text_changes AFTER UPDATE OF name ON tasks WHEN NEW.name <> OLD.name "
        f"BEGIN {_STALE.format(row='NEW')} END"
    )
    op.execute(f"CREATE TRIGGER text_goes AFTER DELETE ON tasks BEGIN {_STALE.format(row='OLD')} END")
    op.create_index("idx_tasks_priority", "tasks", ["priority"], unique=False)
    op.create_index("idx_tasks_submitted_by", "tasks", ["submitted_by"], unique=False)
    op.create_index("idx_tasks_of_template", "tasks", ["template"], unique=False, sqlite_where=sa.text("template IS NOT NULL"))
    op.create_index("idx_tasks_started", "tasks", ["started_at"], unique=False, sqlite_where=sa.text("started_at IS NOT NULL"))
    op.create_index("idx_tasks_over", "tasks", ["ended_at"], unique=False, sqlite_where=sa.text("ended_at IS NOT NULL"))
