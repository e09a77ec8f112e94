"""Move `updated_at` with every change of a row.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = (
    "tasks", "instances", "templates", "queues", "pools", "slas", "environments", "dependencies",
    "home", "alerts", "silences", "operations", "events", "samples", "history", "slow_queries",
    "backups", "counters", "stale_texts", "forgotten", "discarded_logs", "replicas",
)  # fmt: skip
_KEYS = {"history": ("width", "at", "queue", "pool", "template")}
"""Primary keys of tables without rowid."""
_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
_SET_LATER = f"updated_at = max({{}}.updated_at, {_NEXT.format('updated_at')})"
_COUNT_UP = """
INSERT INTO counters (name, value, created_at, updated_at)
SELECT 'tasks/' || NEW.queue || '/' || NEW.status, 1, NEW.updated_at, NEW.updated_at WHERE NEW.deleted_at IS NULL
ON CONFLICT (name) DO UPDATE SET value = value + 1, {};
"""
_COUNT_DOWN = """
UPDATE counters SET value = value - 1{}
WHERE name = 'tasks/' || OLD.queue || '/' || OLD.status AND OLD.deleted_at IS NULL;
"""
_WRITTEN = (
    "id", "by", "verb", "object", "before", "after", "created_at", "source", "origin", "batch",
    "undoes",
)  # fmt: skip


def _make_count_triggers(up: str, down: str) -> dict[str, str]:
    return {
        "count_task_insert": (
            f"CREATE TRIGGER count_task_insert AFTER INSERT ON tasks BEGIN {_COUNT_UP.format(up)} END"
        ),
        "count_task_move": (
            "CREATE TRIGGER count_task_move AFTER UPDATE OF status, queue, deleted_at ON tasks "
            f"BEGIN {_COUNT_DOWN.format(down)} {_COUNT_UP.format(up)} END"
        ),
    }


def _make_stay_trigger(undone: str, names: tuple[str, ...]) -> str:
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in names)
    return (
        f"CREATE TRIGGER operations_stay BEFORE UPDATE ON operations WHEN {undone} OR {changed}"
        " BEGIN SELECT RAISE(ABORT, 'operations are append-only'); END"
    )


def _make_touch_trigger(table: str) -> str:
    same = " AND ".join(f"{key} = NEW.{key}" for key in _KEYS.get(table, ("rowid",)))
    return (
        f"CREATE TRIGGER touch_{table} AFTER UPDATE ON {table}"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE {table} SET updated_at = max({_NOW}, {_NEXT.format('OLD.updated_at')}) WHERE {same}; END"
    )


def upgrade() -> None:
    """Let triggers move `updated_at`, also for task counters and undone operations."""
    up, down = (_SET_LATER.format(row) for row in ("excluded", "NEW"))
    for name, statement in _make_count_triggers(up, f", {down}").items():
        _replace(name, statement)
    _replace(
        "operations_stay",
        _make_stay_trigger(
            "(OLD.undone_by IS NOT NULL AND NEW.undone_by IS NOT OLD.undone_by)", _WRITTEN
        ),
    )
    for table in _TABLES:
        op.execute(_make_touch_trigger(table))


def downgrade() -> None:
    """Restore the triggers of 0001."""
    for table in _TABLES:
        op.execute(f"DROP TRIGGER touch_{table}")
    for name, statement in _make_count_triggers("updated_at = excluded.updated_at", "").items():
        _replace(name, statement)
    written = (*_WRITTEN[:7], "updated_at", *_WRITTEN[7:])
    _replace("operations_stay", _make_stay_trigger("OLD.undone_by IS NOT NULL", written))


def _replace(name: str, statement: str) -> None:
    op.execute(f"DROP TRIGGER {name}")
    op.execute(statement)
