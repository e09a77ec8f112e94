"""Tasks whose standard input stays open.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the column; tasks so far read /dev/null."""
    op.add_column("tasks", sa.Column("stdin", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Drop the column. Waiting tasks read /dev/null."""
    op.drop_column("tasks", "stdin")
