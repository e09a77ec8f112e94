"""Runs that began or ended since the backup."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.restore.merge.decisions import STATE_COLUMNS
from db.restore.merge.result import ReconcileResult
from db.restore.merge.rows import copy_rows, quote, quote_words
from db.states import ENDED, RUN_ENDED, WAITING, RunStatus

_CREATE_NEW_RUNS = f"""
CREATE TEMP TABLE new_runs AS SELECT o.runid, o.task_id, o.status, o.end_time FROM old.instances o
LEFT JOIN main.instances r ON r.runid = o.runid
WHERE o.status IN ({quote_words(RunStatus)})
AND (r.runid IS NULL
  OR (r.status NOT IN ({quote_words(RUN_ENDED)}) AND r.updated_at <> o.updated_at
  OR r.status NOT IN ({quote_words(RUN_ENDED)}) AND r.status <> o.status))
"""


def merge_runs(c: Connection, result: ReconcileResult) -> None:
    """Copy runs that began or ended since, and update their tasks.

    Runs of tasks that ended for good are recorded in `forgotten`.
    """
    raw_sql.execute_statement(c, _CREATE_NEW_RUNS)
    raw_sql.execute_statement(
        c,
        "DELETE FROM temp.new_runs WHERE NOT EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid ="
        " task_id)",
    )
    raw_sql.execute_statement(
        c, "DELETE FROM main.instances WHERE runid IN (SELECT runid FROM temp.new_runs)"
    )
    copy_rows(c, "instances", "runid IN (SELECT runid FROM temp.new_runs)")
    sets = ", ".join(f"{name} = o.{name}" for name in STATE_COLUMNS)
    raw_sql.execute_statement(
        c,
        f"UPDATE OR IGNORE main.tasks SET {sets} FROM old.tasks o WHERE o.uuid = main.tasks.uuid"
        " AND o.uuid IN (SELECT task_id FROM temp.new_runs) AND o.uuid NOT IN (SELECT uuid FROM"
        " temp.new_tasks)",
    )
    _update_tasks_from_runs(c)
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT OR IGNORE INTO main.forgotten (runid, task_id, number, status, ended_at,"
        " created_at, updated_at) SELECT n.runid, n.task_id, t.number, n.status, n.end_time, :now,"
        " :now FROM temp.new_runs n JOIN main.tasks t ON t.uuid = n.task_id WHERE t.status IN"
        f" ({quote_words(ENDED)}) AND t.uuid NOT IN (SELECT uuid FROM temp.new_tasks)",
        {"now": now},
    )
    names = [
        quote(name)
        for name in ("task_id", "runid", "status", "by", "note", "created_at", "updated_at")
    ]
    raw_sql.execute_statement(
        c,
        f"INSERT OR IGNORE INTO main.events ({', '.join(names)}) SELECT"
        f" {', '.join(f'o.{name}' for name in names)} FROM old.events o WHERE (o.task_id IN (SELECT"
        " uuid FROM temp.new_tasks) OR o.task_id IN (SELECT task_id FROM temp.new_runs)) AND NOT"
        " EXISTS (SELECT 1 FROM main.events r WHERE r.task_id = o.task_id AND r.status = o.status"
        " AND r.created_at = o.created_at)",
    )
    result.runs = raw_sql.fetch_value(c, "SELECT count(*) FROM temp.new_runs")


def _update_tasks_from_runs(c: Connection) -> None:
    """Update tasks whose row was unreadable from their run."""
    rows = raw_sql.fetch_rows(
        c,
        "SELECT t.uuid, n.status, n.end_time FROM temp.new_runs n JOIN main.tasks t ON t.uuid ="
        f" n.task_id WHERE t.status IN ({quote_words(WAITING)}) AND NOT EXISTS (SELECT 1 FROM"
        " old.tasks o WHERE o.uuid = n.task_id) ORDER BY n.runid",
    )
    for row in rows:
        active = row.status not in RUN_ENDED
        raw_sql.execute_statement(
            c,
            "UPDATE main.tasks SET status = ?, ended_at = ?, retry_at = NULL, attempts = attempts +"
            " 1 WHERE uuid = ?",
            (
                "running" if active else row.status,
                None if active else row.end_time or timestamps.now(),
                row.uuid,
            ),
        )


def merge_recorded_runs(c: Connection) -> None:
    """Keep the runs recorded by earlier restores."""
    copy_rows(c, "forgotten", f"typeof(runid) = 'text' AND status IN ({quote_words(RunStatus)})")
