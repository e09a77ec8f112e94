"""Bookings of pools for tags.

Revision ID: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def upgrade() -> None:
    """Add the table. Its resources are the JSON text of {named resource: amount}."""
    op.create_table(
        "bookings",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("tag", sa.String(length=200), nullable=False),
        sa.Column("begins_at", sa.String(length=27), nullable=False),
        sa.Column("ends_at", sa.String(length=27), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=True),
        sa.Column("memory", sa.Float(), nullable=True),
        sa.Column("resources", sa.Text(), nullable=True),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.CheckConstraint("begins_at < ends_at", name=op.f("ck_bookings_ends_at")),
        sa.ForeignKeyConstraint(["pool"], ["pools.name"], name=op.f("fk_bookings_pool_pools")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bookings")),
    )
    op.create_index("idx_bookings_pool", "bookings", ["pool"])
    op.execute(
        "CREATE TRIGGER touch_bookings AFTER UPDATE ON bookings"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE bookings SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )


def downgrade() -> None:
    """Drop the table: no amounts are kept for tags."""
    op.drop_table("bookings")
