"""Groups of tasks that are submitted together.

Revision ID: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def upgrade() -> None:
    """Add the table, and the columns of tasks: group, place in it, and swept parameters (JSON)."""
    op.create_table(
        "groups",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("submitted_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.CheckConstraint("max_running > 0", name=op.f("ck_groups_max_running")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_groups")),
    )
    op.create_index("idx_groups_uuid", "groups", ["uuid"], unique=True)
    op.execute(
        "CREATE TRIGGER touch_groups AFTER UPDATE ON groups WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE groups SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )
    op.add_column("tasks", sa.Column("group_number", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("group_index", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("sweep", sa.Text(), nullable=True))
    op.create_index(
        "idx_tasks_group",
        "tasks",
        ["group_number", "status", "ended_at", "deleted_at"],
        sqlite_where=sa.text("group_number IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove them. Tasks stay, without their group."""
    op.drop_index("idx_tasks_group", table_name="tasks")
    for column in ("sweep", "group_index", "group_number"):
        op.drop_column("tasks", column)
    op.drop_table("groups")
