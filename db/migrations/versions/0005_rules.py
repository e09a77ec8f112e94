"""Add states of SLA rules, check-ins, and fingerprints of alerts.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def _make_time_columns() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
    )


def upgrade() -> None:
    """Create the tables, columns, indexes and triggers."""
    op.create_table(
        "rule_states",
        sa.Column("sla_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("since", sa.String(length=27), nullable=False),
        sa.Column("fired_at", sa.String(length=27), nullable=True),
        sa.Column("clear_since", sa.String(length=27), nullable=True),
        sa.Column("due_at", sa.String(length=27), nullable=True),
        sa.Column("escalated", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        *_make_time_columns(),
        sa.CheckConstraint("status IN ('pending', 'firing')", name=op.f("ck_rule_states_status")),
        sa.ForeignKeyConstraint(
            ["sla_id"], ["slas.id"], name=op.f("fk_rule_states_sla_id_slas"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sla_id", "subject", name=op.f("pk_rule_states")),
    )
    op.create_index(
        "idx_rule_states_due", "rule_states", ["due_at"], sqlite_where=sa.text("due_at IS NOT NULL")
    )
    op.create_table(
        "checkins",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        *_make_time_columns(),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_checkins")),
    )
    for name, kind in (("fingerprint", sa.Text()), ("note", sa.Text()), ("ending", sa.String(16))):
        op.add_column("alerts", sa.Column(name, kind, nullable=True))
    op.drop_index("uq_alerts_task", "alerts")
    op.create_index(
        "uq_alerts_live",
        "alerts",
        ["fingerprint"],
        unique=True,
        sqlite_where=sa.text("fingerprint IS NOT NULL AND resolved_at IS NULL"),
    )
    op.create_index(
        "uq_alerts_task",
        "alerts",
        ["sla_id", "task_id"],
        unique=True,
        sqlite_where=sa.text("task_id IS NOT NULL AND fingerprint IS NULL"),
    )
    for table in ("rule_states", "checkins"):
        op.execute(
            f"CREATE TRIGGER touch_{table} AFTER UPDATE ON {table}"
            " WHEN NEW.updated_at IS OLD.updated_at"
            f" BEGIN UPDATE {table} SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
            " WHERE rowid = NEW.rowid; END"
        )


def downgrade() -> None:
    """Drop the tables and columns. Alerts of rules of the general form are deleted."""
    op.execute("DELETE FROM alerts WHERE fingerprint IS NOT NULL")
    op.drop_index("uq_alerts_live", "alerts")
    op.drop_index("uq_alerts_task", "alerts")
    for name in ("fingerprint", "note", "ending"):
        op.execute(f"ALTER TABLE alerts DROP COLUMN {name}")
    op.create_index(
        "uq_alerts_task",
        "alerts",
        ["sla_id", "task_id"],
        unique=True,
        sqlite_where=sa.text("task_id IS NOT NULL"),
    )
    for table in ("checkins", "rule_states"):
        op.drop_table(table)
