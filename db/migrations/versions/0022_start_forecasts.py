"""Recorded forecasts of starts.

Revision ID: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def upgrade() -> None:
    """Add the table, which is empty at first: ranges keep their width."""
    op.create_table(
        "start_forecasts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("earliest", sa.Float(), nullable=False),
        sa.Column("latest", sa.Float(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.CheckConstraint("earliest <= latest", name=op.f("ck_start_forecasts_latest")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_start_forecasts")),
    )
    op.create_index("idx_start_forecasts_pool", "start_forecasts", ["pool", "created_at"])
    op.execute(
        "CREATE TRIGGER touch_start_forecasts AFTER UPDATE ON start_forecasts"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE start_forecasts SET updated_at = max({_NOW},"
        f" {_NEXT.format('OLD.updated_at')}) WHERE rowid = NEW.rowid; END"
    )


def downgrade() -> None:
    """Drop the table: forecasts forget how earlier ones ended."""
    op.drop_table("start_forecasts")
