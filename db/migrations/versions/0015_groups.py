"""Groups of tasks that are submitted together.

Revision ID: 0015
"""

from __future__ import annotations

import json
from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_NAME = "'groups/' || {0}.group_number || '/' || {0}.status"
_LATER = _NEXT.format("updated_at")
_UP = (
    "INSERT INTO counters (name, value, created_at, updated_at) SELECT"
    f" {_NAME.format('NEW')}, 1, NEW.updated_at, NEW.updated_at WHERE NEW.deleted_at IS NULL ON"
    " CONFLICT (name) DO UPDATE SET value = value + 1, updated_at ="
    f" max(excluded.updated_at, {_LATER});"
)
_DOWN = (
    "UPDATE counters SET value = value - 1{} WHERE name ="
    f" {_NAME.format('OLD')} AND OLD.deleted_at IS NULL;"
)
_ONE_BY_ONE = "NOT EXISTS (SELECT 1 FROM counters WHERE name = 'counted-together')"
_TRIGGERS = {
    "count_group_insert": (
        f"AFTER INSERT ON tasks WHEN NEW.group_number IS NOT NULL AND {_ONE_BY_ONE} BEGIN {_UP} END"
    ),
    "count_group_delete": (
        f"AFTER DELETE ON tasks WHEN OLD.group_number IS NOT NULL BEGIN {_DOWN.format('')} END"
    ),
    "count_group_move": (
        "AFTER UPDATE OF status, deleted_at ON tasks WHEN NEW.group_number IS NOT NULL AND"
        f" {_ONE_BY_ONE} BEGIN {_DOWN.format(f', updated_at = max(NEW.updated_at, {_LATER})')}"
        f" {_UP} END"
    ),
}


def upgrade() -> None:
    """Add the table, and the columns of tasks: group, place in it, and swept parameters (JSON)."""
    op.create_table(
        "groups",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("submitted_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("first_number", sa.Integer(), nullable=False, server_default="0"),
        sa.CheckConstraint("max_running > 0", name=op.f("ck_groups_max_running")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_groups")),
    )
    op.create_index("idx_groups_uuid", "groups", ["uuid"], unique=True)
    op.create_index("idx_groups_first", "groups", ["first_number"])
    op.create_index(
        "idx_groups_limited", "groups", ["number"], sqlite_where=sa.text("max_running IS NOT NULL")
    )
    op.execute(
        "CREATE TRIGGER touch_groups AFTER UPDATE ON groups WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE groups SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')})"
        " WHERE rowid = NEW.rowid; END"
    )
    op.add_column("tasks", sa.Column("group_number", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("group_index", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("sweep", sa.Text(), nullable=True))
    op.create_index(
        "idx_tasks_group",
        "tasks",
        ["group_number", "status", "ended_at"],
        sqlite_where=sa.text("group_number IS NOT NULL"),
    )
    op.create_index(
        "idx_tasks_single",
        "tasks",
        ["number"],
        sqlite_where=sa.text("group_number IS NULL AND deleted_at IS NULL"),
    )
    for name, text in _TRIGGERS.items():
        op.get_bind().exec_driver_sql(f"CREATE TRIGGER {name} {text}")


def downgrade() -> None:
    """Remove them. Tasks stay, with the variables of their group in their own environment.

    Waiting tasks of a group with a limit are held, since all would start at once.
    """
    op.execute(
        "UPDATE tasks SET status = 'held', hold = 1, held_by = 'taskdeck' WHERE status IN"
        " ('scheduled', 'blocked', 'held', 'queued', 'retrying') AND group_number IN"
        " (SELECT number FROM groups WHERE max_running IS NOT NULL)"
    )
    _keep_variables(op.get_bind())
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.execute("DELETE FROM counters WHERE name LIKE 'groups/%' OR name = 'group-number'")
    for index in ("idx_tasks_single", "idx_tasks_group"):
        op.drop_index(index, table_name="tasks")
    for column in ("sweep", "group_index", "group_number"):
        op.drop_column("tasks", column)
    op.drop_table("groups")


def _keep_variables(c: sa.Connection) -> None:
    """Store in each task of a group the variables that its runs get."""
    found = (
        "SELECT rowid, env, group_number, group_index, sweep FROM tasks WHERE group_number IS NOT"
        " NULL"
    )
    change = "UPDATE tasks SET env = ? WHERE rowid = ?"
    for rowid, env, group, index, sweep in c.exec_driver_sql(found).fetchall():
        with suppress(ValueError, TypeError, AttributeError):  # unreadable values stay
            kept = json.loads(env or "{}")
            kept |= {f"TASKDECK_PARAM_{name}": v for name, v in json.loads(sweep or "{}").items()}
            place = {} if index is None else {"TASKDECK_ARRAY_INDEX": str(index)}
            text = json.dumps(kept | place | {"TASKDECK_GROUP": f"g{group}"})
            c.exec_driver_sql(change, (text, rowid))
