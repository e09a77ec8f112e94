"""The signal of a task before its timeout, and the file for its output.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns: `USR1@5m`, a pattern, and the path until the copy is complete."""
    op.add_column("tasks", sa.Column("early_signal", sa.String(length=32), nullable=True))
    op.add_column("tasks", sa.Column("output", sa.Text(), nullable=True))
    op.add_column("instances", sa.Column("copy_to", sa.Text(), nullable=True))
    op.create_index(
        "idx_instances_copies", "instances", ["runid"], sqlite_where=sa.text("copy_to IS NOT NULL")
    )


def downgrade() -> None:
    """Drop the columns. Waiting tasks get no signal, and no file for their output."""
    op.drop_index("idx_instances_copies", table_name="instances")
    op.drop_column("instances", "copy_to")
    op.drop_column("tasks", "output")
    op.drop_column("tasks", "early_signal")
