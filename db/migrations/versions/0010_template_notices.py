"""Let templates say who hears of the end of their tasks.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns; the default of a template is that of `[notifications]`."""
    op.add_column("templates", sa.Column("notify", sa.String(length=200), nullable=True))
    op.add_column("templates", sa.Column("notify_on", sa.String(length=8), nullable=True))


def downgrade() -> None:
    """Drop the columns. The channels of templates are lost."""
    op.drop_column("templates", "notify_on")
    op.drop_column("templates", "notify")
