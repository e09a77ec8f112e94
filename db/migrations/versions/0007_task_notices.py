"""Keep the channel of a task with the task.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def upgrade() -> None:
    """Add the column; drop the table, which nothing wrote."""
    op.add_column("tasks", sa.Column("notify", sa.Text(), nullable=True))
    op.drop_table("notices")


def downgrade() -> None:
    """Restore the table. The channels of tasks are lost."""
    op.drop_column("tasks", "notify")
    op.create_table(
        "notices",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.CheckConstraint("outcome IN ('failed', 'ended')", name=op.f("ck_notices_outcome")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.uuid"], name=op.f("fk_notices_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_notices")),
    )
    op.execute(
        "CREATE TRIGGER touch_notices AFTER UPDATE ON notices"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE notices SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )
