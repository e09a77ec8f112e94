"""Decisions of users on tasks since the backup: cancels, holds, releases and deletes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from db import raw_sql, schema
from db.maintenance import value_checks
from db.queries.tasks import transitions
from db.restore.merge.result import BY, ReconcileResult
from db.restore.merge.rows import quote_words
from db.states import WAITING

STATE_COLUMNS = (
    "status", "attempts", "failures", "started_at", "ended_at", "retry_at", "reason", "front",
    "hold", "held_by", "not_before",
    "updated_at",
)  # fmt: skip
_CREATE_DECIDED = f"""
CREATE TEMP TABLE decided AS
SELECT o.uuid, r.status IN ({quote_words(WAITING)}) AND o.status <> 'running' AS waited,
  r.hold AS held
FROM old.tasks o JOIN main.tasks r ON r.uuid = o.uuid
WHERE o.rowid NOT IN (SELECT value FROM json_each(:unreadable)) AND
"""
"""Tasks whose row cannot be read stay as in the backup."""
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
    values = value_checks.find_unreadable(
        partial(raw_sql.fetch_rows, c), of="old", tables=(schema.tasks,)
    )
    raw_sql.execute_statement(
        c,
        f"{_CREATE_DECIDED} {_DIFFERS if is_comparable else _LATER}",
        {"unreadable": json.dumps([value.rowid for value in values])},
    )


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


def _take_columns(c: Connection, columns: Sequence[str], condition: str) -> None:
    """Copy columns from the present database for the tasks `d` that meet a condition."""
    sets = ", ".join(f"{name} = o.{name}" for name in columns)
    chosen = f"SELECT d.uuid FROM temp.decided d WHERE {condition}"
    raw_sql.execute_statement(
        c,
        f"UPDATE main.tasks SET {sets} FROM old.tasks o WHERE o.uuid = main.tasks.uuid AND o.uuid"
        f" IN ({chosen})",
    )
