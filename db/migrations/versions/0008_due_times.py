"""Add the due times of rules.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def upgrade() -> None:
    """Create the table, which the next pass of the rules fills."""
    op.create_table(
        "due_times",
        sa.Column("sla_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("due_at", sa.String(length=27), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["sla_id"], ["slas.id"], name=op.f("fk_due_times_sla_id_slas"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sla_id", "subject", name=op.f("pk_due_times")),
    )
    op.create_index("idx_due_times_due", "due_times", ["due_at"])
    op.execute(
        "CREATE TRIGGER touch_due_times AFTER UPDATE ON due_times"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE due_times SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("due_times")
