"""Add schedules, their fire times and calendars.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"


def _make_time_columns() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
    )


def upgrade() -> None:
    """Create the tables, indexes and triggers."""
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("start", sa.String(length=27), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("overlap", sa.String(length=8), server_default="skip", nullable=False),
        sa.Column("missed", sa.String(length=8), server_default="run-once", nullable=False),
        sa.Column("missed_within", sa.Float(), nullable=True),
        sa.Column("jitter", sa.Float(), server_default="0", nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("exclude", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status_by", sa.String(length=200), nullable=True),
        sa.Column("status_at", sa.String(length=27), nullable=True),
        sa.Column("paused_until", sa.String(length=27), nullable=True),
        sa.Column("next_fire", sa.String(length=27), nullable=True),
        sa.Column("due_at", sa.String(length=27), nullable=True),
        sa.Column("last_success", sa.String(length=27), nullable=True),
        sa.Column("boot_id", sa.String(length=36), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        *_make_time_columns(),
        sa.CheckConstraint(
            "kind IN ('cron', 'every', 'at', 'rrule', 'boot')", name=op.f("ck_schedules_kind")
        ),
        sa.CheckConstraint(
            "missed IN ('run-once', 'run-all', 'skip')", name=op.f("ck_schedules_missed")
        ),
        sa.CheckConstraint("overlap IN ('skip', 'queue')", name=op.f("ck_schedules_overlap")),
        sa.CheckConstraint("status IN ('active', 'paused')", name=op.f("ck_schedules_status")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_index(
        "idx_schedules_due", "schedules", ["due_at"], sqlite_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(
        "idx_schedules_refused",
        "schedules",
        ["refusal"],
        sqlite_where=sa.text("refusal IS NOT NULL"),
    )
    op.create_table(
        "fires",
        sa.Column("schedule", sa.String(length=200), nullable=False),
        sa.Column("fire_time", sa.String(length=27), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        *_make_time_columns(),
        sa.CheckConstraint(
            "outcome IN ('submitted', 'skipped', 'missed', 'refused')",
            name=op.f("ck_fires_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["schedule"],
            ["schedules.name"],
            name=op.f("fk_fires_schedule_schedules"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.uuid"], name=op.f("fk_fires_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("schedule", "fire_time", name=op.f("pk_fires")),
    )
    op.create_index(
        "idx_fires_task", "fires", ["task_id"], sqlite_where=sa.text("task_id IS NOT NULL")
    )
    op.create_index(
        "idx_fires_time", "fires", ["fire_time"], sqlite_where=sa.text("task_id IS NULL")
    )
    op.create_table(
        "calendars",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("dates", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        *_make_time_columns(),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_calendars")),
    )
    for table in ("schedules", "fires", "calendars"):
        op.execute(
            f"CREATE TRIGGER touch_{table} AFTER UPDATE ON {table}"
            " WHEN NEW.updated_at IS OLD.updated_at"
            f" BEGIN UPDATE {table} SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
            " WHERE rowid = NEW.rowid; END"
        )


def downgrade() -> None:
    """Drop the tables, and with them indexes and triggers."""
    for table in ("calendars", "fires", "schedules"):
        op.drop_table(table)
