"""Ends of tasks: of deleted ones, and of those whose run ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.restore.merge.result import BY
from db.restore.merge.rows import quote_words
from db.states import ACTIVE_SQL, ENDED

FROM_DELETED = f"""
FROM main.tasks t WHERE t.status NOT IN ({quote_words(ENDED)})
  AND NOT EXISTS (SELECT 1 FROM old.tasks o WHERE o.uuid = t.uuid)
"""
_RECORDED_STATUS = (
    "(SELECT f.status FROM main.forgotten f WHERE f.task_id = t.uuid ORDER BY f.runid DESC LIMIT 1)"
)


def end_deleted_tasks(c: Connection) -> None:
    """End tasks that were deleted from the present database after they ended."""
    for status in sorted(ENDED):
        gone = raw_sql.fetch_column(
            c, f"SELECT t.uuid {FROM_DELETED} AND {_RECORDED_STATUS} = ?", (status,)
        )
        end_tasks(c, gone, "ended after the backup and was cleaned up since", status)


def end_tasks(
    c: Connection, uuids: Sequence[str], reason: str, status: str = "lost", at: str | None = None
) -> None:
    """End tasks and their runs, at a given time if it is known, but not before their start."""
    now, given = timestamps.now(), json.dumps(list(uuids))
    raw_sql.execute_statement(
        c,
        "UPDATE main.instances SET status = :status, end_time = max(:at, coalesce(start_time, '')),"
        " reason = :reason, updated_at = :now WHERE task_id IN (SELECT value FROM"
        f" json_each(:uuids)) AND +status IN {ACTIVE_SQL}",
        {"now": now, "at": at or now, "reason": reason, "uuids": given, "status": status},
    )
    raw_sql.execute_statement(
        c,
        "UPDATE main.tasks SET status = :status, ended_at = max(:at, coalesce(started_at, '')),"
        " retry_at = NULL, reason = :reason, updated_at = :now WHERE uuid IN (SELECT value FROM"
        " json_each(:uuids))",
        {"now": now, "at": at or now, "reason": reason, "uuids": given, "status": status},
    )
    raw_sql.execute_statement(  # without it an alert of the task would stay open
        c,
        "INSERT INTO main.events (task_id, status, by, note, created_at, updated_at) "
        "SELECT value, :status, :by, :reason, :now, :now FROM json_each(:uuids)",
        {"now": now, "reason": reason, "uuids": given, "status": status, "by": BY},
    )
