"""Let a transaction with many tasks count them itself.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_TRIGGERS = ("count_task_insert", "count_task_move")
_GUARD = " WHEN NOT EXISTS (SELECT 1 FROM counters WHERE name = 'counted-together')"


def upgrade() -> None:
    """Let the triggers that count tasks skip a transaction that says so."""
    for name in _TRIGGERS:
        _replace(name, " BEGIN", f"{_GUARD} BEGIN")


def downgrade() -> None:
    """Let the triggers count each task, as in 0002."""
    for name in _TRIGGERS:
        _replace(name, f"{_GUARD} BEGIN", " BEGIN")


def _replace(name: str, old: str, new: str) -> None:
    """Replace text of a stored trigger once."""
    found = f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = '{name}'"
    statement = op.get_bind().exec_driver_sql(found).scalar_one()
    op.execute(f"DROP TRIGGER {name}")
    op.get_bind().exec_driver_sql(statement.replace(old, new, 1))
