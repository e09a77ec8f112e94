"""The limits of a pool's runs that the kernel enforces.

Revision ID: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the column."""
    op.add_column("pools", sa.Column("enforce", sa.String(length=16), nullable=True))


def downgrade() -> None:
    """Drop the column. No pool enforces anything."""
    op.drop_column("pools", "enforce")
