"""Dependencies on the failure and on the start of a task.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_COLUMNS = "task_id, parent_id, kind, created_at, updated_at"
_WITH_FAILURE = "uuid IN (SELECT task_id FROM dependencies WHERE kind IN ('failure', 'failures'))"


def upgrade() -> None:
    """Allow the kinds, and find the parents whose start counts by an index."""
    _rebuild("kind IN ('success', 'any', 'failure', 'failures', 'start')")
    op.create_index(
        "idx_dependencies_start",
        "dependencies",
        ["parent_id"],
        sqlite_where=sa.text("kind = 'start'"),
    )


def downgrade() -> None:
    """Let tasks wait for any end instead, and hold those that were to run after a failure."""
    op.execute(
        "UPDATE tasks SET status = 'held', hold = 1, held_by = 'taskdeck' WHERE status IN"
        f" ('scheduled', 'blocked', 'held', 'queued', 'retrying') AND {_WITH_FAILURE}"
    )
    op.execute(
        "UPDATE dependencies SET kind = 'any' WHERE kind IN ('failure', 'failures', 'start')"
    )
    _rebuild("kind IN ('success', 'any')")


def _rebuild(check: str) -> None:
    """Create the table again with another constraint. Rows keep their rowids, which are cursors.

    Rows without their tasks, as in a damaged database, are left out: a foreign key forbids them.
    """
    op.execute("ALTER TABLE dependencies RENAME TO dependencies_before")
    op.create_table(
        "dependencies",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.CheckConstraint(check, name=op.f("ck_dependencies_kind")),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["tasks.uuid"],
            name=op.f("fk_dependencies_parent_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["tasks.uuid"],
            name=op.f("fk_dependencies_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", "parent_id", name=op.f("pk_dependencies")),
    )
    op.execute(
        f"INSERT INTO dependencies (rowid, {_COLUMNS}) SELECT rowid, {_COLUMNS}"
        " FROM dependencies_before WHERE EXISTS (SELECT 1 FROM tasks WHERE uuid = task_id) AND"
        " EXISTS (SELECT 1 FROM tasks WHERE uuid = parent_id)"
    )
    op.execute("DROP TABLE dependencies_before")
    op.create_index("idx_dependencies_parent", "dependencies", ["parent_id"])
    op.execute(
        "CREATE TRIGGER touch_dependencies AFTER UPDATE ON dependencies"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE dependencies SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )
