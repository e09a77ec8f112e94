"""The policy of a pool, and the time after which its oldest task goes first.

Revision ID: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    """Add the columns, and the task number to the index of the oldest tasks."""
    op.add_column("pools", sa.Column("policy", sa.String(length=16), nullable=True))
    op.add_column("pools", sa.Column("ageing", sa.Float(), nullable=True))
    _make_index(["queue", "created_at", "number"])


def downgrade() -> None:
    """Drop the columns. All pools go by priority again."""
    _make_index(["queue", "created_at"])
    op.drop_column("pools", "ageing")
    op.drop_column("pools", "policy")


def _make_index(columns: list[str]) -> None:
    op.drop_index("idx_tasks_oldest", table_name="tasks")
    op.create_index("idx_tasks_oldest", "tasks", columns, sqlite_where=_QUEUED)
