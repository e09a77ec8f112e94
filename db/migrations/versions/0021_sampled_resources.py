"""Named resources that the runs of a pool hold, minute by minute.

Revision ID: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the column, JSON such as `{"gpu": 3}`. NULL is none, and all earlier samples."""
    op.add_column("samples", sa.Column("resources", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column: the past of named resources is lost."""
    op.drop_column("samples", "resources")
