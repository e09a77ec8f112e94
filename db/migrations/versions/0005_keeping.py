"""What keeps data: slow statements by who asked, runs that a restore forgot, logs to be removed, operations that stay as written.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_WRITTEN = ("id", "by", "verb", "object", "before", "after", "created_at", "updated_at", "source", "origin", "batch", "undoes")
_OTHERWISE = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in _WRITTEN)
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'operations are append-only'); END"


def upgrade() -> None:
    op.add_column("slow_queries", sa.Column("caller", sa.String(length=64), nullable=False, server_default=sa.text("''")))
    op.add_column("slow_queries", sa.Column("count", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.add_column("slow_queries", sa.Column("worst", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.add_column("slow_queries", sa.Column("total", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.create_index("idx_slow_queries_statement", "slow_queries", ["statement", "caller"], unique=True)
    op.create_table(
        "forgotten",
        sa.Column("runid", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("runid", name=op.f("pk_forgotten")),
    )
    op.create_index("idx_forgotten_task", "forgotten", ["task_id"], unique=False)
    op.create_table(
        "discarded_logs",
        sa.Column("runid", sa.String(length=36), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("runid", name=op.f("pk_discarded_logs")),
    )
    op.create_table(
        "replicas",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=True),
        sa.Column("synced_at", sa.String(length=27), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_replicas")),
    )
    op.execute(
        f"CREATE TRIGGER operations_stay BEFORE UPDATE ON operations WHEN OLD.undone_by IS NOT NULL OR {_OTHERWISE} {_REFUSE}"
    )
    op.execute(
        "CREATE TRIGGER operations_leave BEFORE DELETE ON operations WHEN NOT EXISTS (SELECT 1 FROM counters "
        "WHERE name = 'operations/from' AND OLD.created_at < printf('%04d-%02d', value / 100, value % 100)) "
        f"{_REFUSE}"
    )


def _stamps() -> tuple[sa.Column, ...]:
    return (
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
    )
