"""Silences that match alerts by name.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_COLUMNS = "id, sla_id, by, reason, until, created_at, updated_at"


def upgrade() -> None:
    """Create the table again, with matchers in place of a rule."""
    _replace_table(
        sa.Column("sla_id", sa.Integer(), nullable=True),
        sa.Column("matchers", sa.JSON(), nullable=True),
        sa.CheckConstraint(
            "(sla_id IS NULL) <> (matchers IS NULL)", name=op.f("ck_silences_target")
        ),
    )


def downgrade() -> None:
    """Restore the table. Silences with matchers are lost."""
    _replace_table(sa.Column("sla_id", sa.Integer(), nullable=False))


def _replace_table(*target: sa.schema.SchemaItem) -> None:
    """Create the table with these columns for what is silenced, and move the rows of rules.

    A row without its rule, as in a damaged database, would let the foreign key end the migration.
    """
    op.execute("ALTER TABLE silences RENAME TO old_silences")
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer(), nullable=False),
        *target,
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("until", sa.String(length=27), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["sla_id"], ["slas.id"], name=op.f("fk_silences_sla_id_slas")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.execute(
        f"INSERT INTO silences ({_COLUMNS}) SELECT {_COLUMNS} FROM old_silences WHERE sla_id IN"
        " (SELECT id FROM slas)"
    )
    op.execute("DROP TABLE old_silences")
    op.create_index("idx_silences_sla", "silences", ["sla_id", "until"])
    op.execute(
        "CREATE TRIGGER touch_silences AFTER UPDATE ON silences"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE silences SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )
