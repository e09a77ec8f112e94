"""Decisions of users on tasks since the backup: cancels, holds, releases and deletes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from db import raw_sql
from db.maintenance import quarantine, value_checks
from db.queries.tasks import transitions
from db.restore.merge.result import BY, ReconcileResult
from db.restore.merge.rows import quote_words
from db.states import ENDED, WAITING

STATE_COLUMNS = (
    "status", "attempts", "failures", "started_at", "ended_at", "retry_at", "reason", "front",
    "hold", "held_by", "not_before",
    "updated_at",
)  # fmt: skip
_QUARANTINED = (
    f"coalesce(substr(o.held_by, 1, {len(quarantine.HELD_BY)}), '') = '{quarantine.HELD_BY}'"
)
_CREATE_DECIDED = f"""
CREATE TEMP TABLE decided AS
SELECT o.uuid, r.status IN ({quote_words(WAITING)}) AND o.status <> 'running' AS waited,
  r.hold AS held
FROM old.tasks o JOIN main.tasks r ON r.uuid = o.uuid
WHERE NOT (o.status IN ({quote_words(WAITING)}) AND {_QUARANTINED})
"""
"""Quarantined tasks wait as in the backup: no user decided on their hold and new values."""
_DIFFERS = "o.updated_at <> r.updated_at"
_LATER = f"""
(o.updated_at > r.updated_at OR {_DIFFERS}
  AND EXISTS (SELECT 1 FROM old.events e WHERE e.task_id = o.uuid AND e.runid IS NULL
    AND NOT EXISTS (SELECT 1 FROM main.events m
      WHERE m.task_id = e.task_id AND m.status = e.status AND m.created_at = e.created_at)))
"""
"""Condition for a database restored from an older backup. After a clock reset, the events of a task
decide."""
_WITHOUT_RUN = "d.waited AND d.uuid NOT IN (SELECT task_id FROM temp.new_runs)"
"""Tasks without a run since: a run brings the whole state of its task. A rerun of an ended task is
not restored."""
_FROM_DECIDED = "FROM main.tasks t JOIN temp.decided d ON d.uuid = t.uuid WHERE"


def note_decisions(c: Connection, is_comparable: bool) -> None:
    """Note the tasks that differ in the present database.

    With `is_comparable`, every difference came later.
    """
    raw_sql.execute_statement(c, f"{_CREATE_DECIDED} AND {_DIFFERS if is_comparable else _LATER}")


def merge_decisions(c: Connection, result: ReconcileResult) -> set[str]:
    """Keep later cancels, holds, releases and deletes; return the cancelled tasks."""
    _take_columns(c, ("deleted_at", "updated_at"), f"NOT ({_WITHOUT_RUN})")
    _take_columns(c, ("deleted_at", *STATE_COLUMNS), _WITHOUT_RUN)
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.events (task_id, status, by, note, created_at, updated_at) SELECT"
        " o.task_id, o.status, o.by, o.note, o.created_at, o.updated_at FROM old.events o JOIN"
        f" temp.decided d ON d.uuid = o.task_id WHERE {_WITHOUT_RUN} AND o.runid IS NULL AND NOT"
        " EXISTS (SELECT 1 FROM main.events r WHERE r.task_id = o.task_id AND r.status = o.status"
        " AND r.created_at = o.created_at) ORDER BY o.id",
    )
    transitions.recompute_waiting_state(
        c, raw_sql.fetch_column(c, f"SELECT t.uuid {_FROM_DECIDED} {_WITHOUT_RUN}"), BY
    )
    _restore_holds(c)
    result.stay_held = raw_sql.fetch_value(
        c, f"SELECT count(*) {_FROM_DECIDED} {_WITHOUT_RUN} AND t.status = 'held' AND NOT d.held"
    )
    result.released = raw_sql.fetch_value(
        c,
        f"SELECT count(*) {_FROM_DECIDED} {_WITHOUT_RUN} AND t.status IN ({quote_words(WAITING)})"
        " AND NOT t.hold AND d.held",
    )
    result.deleted = raw_sql.fetch_value(
        c, f"SELECT count(*) {_FROM_DECIDED} t.deleted_at IS NOT NULL"
    )
    cancelled = set(
        raw_sql.fetch_column(
            c,
            f"SELECT t.uuid {_FROM_DECIDED} {_WITHOUT_RUN} AND t.status = 'cancelled' AND"
            " t.deleted_at IS NULL",
        )
    )
    result.cancelled = len(cancelled)
    return cancelled


def _restore_holds(c: Connection) -> None:
    """Hold quarantined tasks for the user who held them before."""
    last = (
        "SELECT e.by FROM old.events e WHERE e.task_id = o.uuid AND e.status = 'held' ORDER BY e.id"
        " DESC LIMIT 1"
    )
    found = (
        f"SELECT o.uuid, ({last}) AS by FROM old.tasks o JOIN main.tasks t ON t.uuid = o.uuid WHERE"
        f" o.status = 'held' AND {_QUARANTINED} AND t.status IN ({quote_words(WAITING)}) AND NOT"
        " t.hold"
    )
    for row in raw_sql.fetch_rows(c, found):
        if row.by is not None and not row.by.startswith(quarantine.HELD_BY):
            transitions.hold(c, [row.uuid], True, row.by)


def release_readable(c: Connection) -> None:
    """Release tasks quarantined between two attempts that are readable in the backup."""
    found = (
        "SELECT o.uuid FROM main.tasks o LEFT JOIN main.environments e ON e.sha256 = o.env_id"
        " WHERE o.uuid IN (SELECT task_id FROM temp.new_runs) AND o.uuid NOT IN (SELECT uuid FROM"
        f" temp.new_tasks) AND o.status NOT IN ({quote_words(ENDED)}) AND {_QUARANTINED} AND"
        f" e.variables IS NOT '{value_checks.NO_ENVIRONMENT}' AND CASE WHEN json_valid(o.launch)"
        f" THEN json_type(o.launch, '$.{quarantine.UNREADABLE}') IS NULL END"
    )
    transitions.hold(c, raw_sql.fetch_column(c, found), False, BY)


def _take_columns(c: Connection, columns: Sequence[str], condition: str) -> None:
    """Copy columns from the present database for the tasks `d` that meet a condition."""
    sets = ", ".join(f"{name} = o.{name}" for name in columns)
    chosen = f"SELECT d.uuid FROM temp.decided d WHERE {condition}"
    raw_sql.execute_statement(
        c,
        f"UPDATE main.tasks SET {sets} FROM old.tasks o WHERE o.uuid = main.tasks.uuid AND o.uuid"
        f" IN ({chosen})",
    )
