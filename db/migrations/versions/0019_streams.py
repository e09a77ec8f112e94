"""Error output told apart, retries with more memory, and signals of templates.

Revision ID: 0019
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_COLUMNS: tuple[tuple[str, str, sa.types.TypeEngine[Any]], ...] = (
    ("tasks", "split", sa.Boolean()),
    ("tasks", "error", sa.Text()),
    ("tasks", "retry_on_oom", sa.String(length=64)),
    ("tasks", "oom_memory", sa.Float()),
    ("instances", "copy_error_to", sa.Text()),
    ("templates", "signal", sa.String(length=32)),
    ("templates", "retry_on_oom", sa.String(length=64)),
)


def upgrade() -> None:
    """Add the columns: a wish, a pattern, `1.5,max=64G`, MiB, a path, and the same in templates."""
    for table, name, kind in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True))
    op.create_index(
        "idx_instances_error_copies",
        "instances",
        ["runid"],
        sqlite_where=sa.text("copy_error_to IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop the columns. Waiting tasks have one log, and no retry with more memory."""
    op.drop_index("idx_instances_error_copies", table_name="instances")
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
