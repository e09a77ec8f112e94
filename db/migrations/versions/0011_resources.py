"""Named resources of tasks, runs, templates and pools, and those that all pools share.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_COLUMNS = (
    ("tasks", "resources"),
    ("instances", "resources"),
    ("instances", "devices"),
    ("templates", "resources"),
    ("pools", "resources"),
)


def upgrade() -> None:
    """Add the columns, each the JSON text of a table or list, and the table."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))
    op.create_table(
        "resources",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.CheckConstraint("total >= 0", name=op.f("ck_resources_total")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_resources")),
    )
    op.execute(
        "CREATE TRIGGER touch_resources AFTER UPDATE ON resources"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE resources SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )


def downgrade() -> None:
    """Remove them. Named resources are lost: tasks then ask for CPU and memory only."""
    op.drop_table("resources")
    for table, column in reversed(_COLUMNS):
        op.drop_column(table, column)
