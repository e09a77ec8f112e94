"""Checks that the present database descends from the backup."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql
from db.restore.merge.ends import FROM_DELETED
from db.restore.merge.result import VERB


def was_restored_since(c: Connection) -> bool:
    """Return True if the present database was restored after the backup was taken.

    Rows that are missing in it may then have been lost by that restore. The operations show
    restores: they are never copied over, so the backup has every earlier restore.
    """
    found = (
        "SELECT 1 FROM old.operations o WHERE o.verb = ? AND NOT EXISTS (SELECT 1 FROM"
        " main.operations m WHERE m.verb = o.verb AND m.created_at = o.created_at)"
    )
    return raw_sql.fetch_value(c, found, (VERB,)) is not None


def has_last_operation(c: Connection) -> bool:
    """Return True if the present database has the backup's last operation.

    Then every difference came later, whatever the clock said.
    """
    last = "SELECT id, created_at FROM main.operations ORDER BY id DESC LIMIT 1"
    found = (
        f"SELECT 1 FROM ({last}) m WHERE NOT EXISTS (SELECT 1 FROM old.operations o WHERE o.id ="
        " m.id AND o.created_at = m.created_at)"
    )
    return raw_sql.fetch_value(c, found) is None


def is_unrelated(c: Connection, before: int) -> bool:
    """Return True if the present database may not descend from the backup.

    The present database lacks a task without a record of its end, or its counter is lower.
    """
    counted = (
        raw_sql.fetch_value(
            c,
            "SELECT value FROM old.counters WHERE name = 'task-number' AND typeof(value) ="
            " 'integer'",
        )
        or 0
    )
    return (
        counted < before or raw_sql.fetch_value(c, f"SELECT 1 {FROM_DELETED} LIMIT 1") is not None
    )
