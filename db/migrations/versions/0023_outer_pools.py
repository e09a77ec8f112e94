"""Kinds of pools, the options of their jobs, and job and node of a run outside this machine.

Revision ID: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the columns: all pools are of this machine, as before."""
    op.add_column("pools", sa.Column("kind", sa.String(length=16), nullable=True))
    op.add_column("pools", sa.Column("options", sa.Text(), nullable=True))
    op.add_column("instances", sa.Column("outer_job", sa.String(length=64), nullable=True))
    op.add_column("instances", sa.Column("node", sa.String(length=255), nullable=True))


def downgrade() -> None:
    """Drop the columns. Queues of a pool elsewhere start nothing, as the pool has no amounts."""
    op.drop_column("instances", "node")
    op.drop_column("instances", "outer_job")
    op.drop_column("pools", "options")
    op.drop_column("pools", "kind")
