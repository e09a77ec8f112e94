"""Operations say from where they were done, what one call did, and what was taken back.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("operations", sa.Column("source", sa.String(length=16), nullable=True))
    op.add_column("operations", sa.Column("origin", sa.String(length=64), nullable=True))
    for name in ("batch", "undoes", "undone_by"):
        op.add_column("operations", sa.Column(name, sa.Integer(), nullable=True))
    op.create_index("idx_operations_object", "operations", ["object", "id"])
    op.create_index("idx_operations_batch", "operations", ["batch"])
    op.create_index("idx_operations_origin", "operations", ["origin", "id"], sqlite_where=sa.text("batch = id"))
