"""The times at which a queue starts tasks.

Revision ID: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column, such as `mon-fri 18:00-08:00`. NULL is always."""
    op.add_column("queues", sa.Column("open", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column: queues are open at all times."""
    op.drop_column("queues", "open")
