"""Store messages of rules and tasks, to be sent outside of transactions.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_PARTIAL_INDEXES = {
    "idx_deliveries_alert": ("alert_id",),
    "idx_deliveries_due": ("next_at",),
    "idx_deliveries_sla": ("sla_id", "id"),
    "idx_deliveries_task": ("task_id",),
}
"""Indexes of the rows whose first column is not NULL."""


def _make_time_columns() -> list[sa.Column]:
    return [
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
    ]


def _make_reference(table: str, column: str, to: str, key: str, ondelete: str) -> sa.Constraint:
    name = op.f(f"fk_{table}_{column}_{to}")
    return sa.ForeignKeyConstraint([column], [f"{to}.{key}"], name=name, ondelete=ondelete)


def upgrade() -> None:
    """Create the tables `deliveries` and `notices`."""
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("sla_id", sa.Integer(), nullable=True),
        sa.Column("alert_id", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("action", sa.JSON(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log", sa.JSON(), nullable=False),
        sa.Column("reached", sa.JSON(), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.String(length=27), nullable=False),
        sa.Column("next_at", sa.String(length=27), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        *_make_time_columns(),
        sa.CheckConstraint(
            "status IN ('pending', 'sent', 'given_up', 'skipped', 'dry_run')",
            name=op.f("ck_deliveries_status"),
        ),
        _make_reference("deliveries", "sla_id", "slas", "id", "SET NULL"),
        _make_reference("deliveries", "alert_id", "alerts", "id", "SET NULL"),
        _make_reference("deliveries", "task_id", "tasks", "uuid", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("key", name=op.f("uq_deliveries_key")),
    )
    for name, columns in _PARTIAL_INDEXES.items():
        op.create_index(
            name, "deliveries", [*columns], sqlite_where=sa.text(f"{columns[0]} IS NOT NULL")
        )
    op.create_table(
        "notices",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        *_make_time_columns(),
        sa.CheckConstraint("outcome IN ('failed', 'ended')", name=op.f("ck_notices_outcome")),
        _make_reference("notices", "task_id", "tasks", "uuid", "CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_notices")),
    )
    for table in ("deliveries", "notices"):
        op.execute(
            f"CREATE TRIGGER touch_{table} AFTER UPDATE ON {table}"
            " WHEN NEW.updated_at IS OLD.updated_at"
            f" BEGIN UPDATE {table} SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
            " WHERE rowid = NEW.rowid; END"
        )


def downgrade() -> None:
    """Drop the tables, and with them indexes and triggers."""
    for table in ("notices", "deliveries"):
        op.drop_table(table)
