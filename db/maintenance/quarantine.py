"""Quarantine of rows with unreadable values, so that all other rows stay usable.

A task is held, a rule disabled, a template retired, a schedule paused, a message given up. A
readable value replaces each unreadable one; a task's row keeps the original. No other value
changes. Backups may hold the intact row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps
from db.maintenance import value_checks
from db.maintenance.value_checks import (
    HELD_BY,
    IN_USE,
    NO_ENVIRONMENT,
    NOT_HELD,
    DocumentChecks,
    UnreadableRow,
)
from db.queries import schedules
from db.queries.history import operations
from db.queries.tasks import transitions
from db.states import ENDED

VERB = "set aside"
"""Verb in the operation log."""
UNREADABLE = "unreadable"
"""Key in a launch for the unreadable values of its task."""

_DEFAULT_RULE = '{"preset": "finishes-within", "value": "365d"}'
_REPLACEMENTS = {
    ("tasks", "launch"): '{"argv": []}',
    ("slas", "conditions"): _DEFAULT_RULE,
    ("environments", "variables"): NO_ENVIRONMENT,
    ("schedules", "task"): '{"argv": ["unreadable"]}',
    ("schedules", "context"): '{"cwd": "/", "umask": 18, "env": {}}',
    ("schedules", "exclude"): "[]",
    ("calendars", "dates"): "[]",
    ("deliveries", "payload"): '{"ids": [], "alerts": []}',
    ("deliveries", "log"): "[]",
    ("deliveries", "reached"): "[]",
    ("silences", "matchers"): "{}",
}
"""Replacement documents; all other columns get an empty object."""
_FUTURE_TIMES = ("not_before", "retry_at", "deadline", "next_fire")
"""Future times, replaced by NULL. Other times record something that happened, so they get the row's
own time."""


def quarantine_rows(
    c: Connection,
    where: Mapping[str, str] = IN_USE,
    judges: DocumentChecks = value_checks.NO_CHECKS,
) -> list[str]:
    """Quarantine the unreadable rows of the tables and conditions `where`.

    Return what was done.
    """
    quarantined: list[tuple[str, str]] = []
    for row in value_checks.find_unreadable(partial(raw_sql.fetch_rows, c), where, judges):
        _replace_values(c, row)
        quarantined += _HANDLERS.get(row.table, _report_row)(c, row)
    if quarantined:
        operations.record_all(
            c,
            transitions.SYSTEM,
            VERB,
            [(thing, None, {"reason": said}) for thing, said in quarantined],
        )
    return [f"{thing}: {said}" for thing, said in quarantined]


def has_unreadable(
    c: Connection,
    where: Mapping[str, str] = IN_USE,
    judges: DocumentChecks = value_checks.NO_CHECKS,
) -> bool:
    """Return True if `quarantine_rows` would find a row."""
    rows = value_checks.find_unreadable(partial(raw_sql.fetch_rows, c), where, judges)
    return next(rows, None) is not None


def list_held(c: Connection) -> list[int]:
    """Return the numbers of tasks held for unreadable values.

    The values are their own or their environment's.
    """
    found = (
        "SELECT number FROM tasks WHERE status = 'held' AND deleted_at IS NULL AND substr(held_by,"
        " 1, ?) = ? ORDER BY number"
    )
    return raw_sql.fetch_column(c, found, (len(HELD_BY), HELD_BY))


def find_lost_values(launch: Mapping[str, Any]) -> list[str]:
    """Return the unreadable values that define a task's work and times.

    Without them it would be a different task.
    """
    columns = schema.tasks.columns
    return [
        name
        for name in launch.get(UNREADABLE, ())
        if name in _FUTURE_TIMES or name in columns and value_checks.is_document(columns[name])
    ]


def find_without_environment(c: Connection) -> set[str]:
    """Return the uuids of held tasks whose environment is quarantined."""
    found = (
        "SELECT uuid FROM tasks WHERE env_id IN (SELECT sha256 FROM environments WHERE variables ="
        " ?) AND hold"
    )
    return set(raw_sql.fetch_column(c, found, (NO_ENVIRONMENT,)))


def _replace_values(c: Connection, row: UnreadableRow) -> None:
    """Replace unreadable values, or delete a sample row without a readable time."""
    if _has_unreadable_key(row):
        return raw_sql.execute_statement(c, f"DELETE FROM {row.table} WHERE rowid = ?", (row.row,))
    new = {name: _get_replacement(row, name) for name in row.columns}
    if row.table == "tasks":
        launch = json.loads(new.get("launch") or row.values["launch"])
        new["launch"] = json.dumps(
            {**launch, UNREADABLE: {name: str(row.values[name]) for name in row.columns}}
        )
    sets = ", ".join(f'"{name}" = :{name}' for name in new)
    raw_sql.execute_statement(
        c, f"UPDATE {row.table} SET {sets} WHERE rowid = :at", {**new, "at": row.row}
    )


def _has_unreadable_key(row: UnreadableRow) -> bool:
    """Return True if an unreadable time is part of the primary key."""
    return any(schema.metadata.tables[row.table].columns[name].primary_key for name in row.columns)


def _get_replacement(row: UnreadableRow, name: str) -> str | None:
    column = schema.metadata.tables[row.table].columns[name]
    if value_checks.is_document(column):
        return _REPLACEMENTS.get((row.table, name)) or (None if column.nullable else "{}")
    is_removable = name in _FUTURE_TIMES or row.table == "schedules" and column.nullable
    return None if is_removable else _get_row_time(row.values)


def _get_row_time(values: Mapping[str, Any]) -> str:
    """Return the readable time of the row's change or creation, else the current time."""
    return next(
        (
            values[name]
            for name in ("updated_at", "created_at")
            if timestamps.is_time(values.get(name))
        ),
        timestamps.now(),
    )


# --- consequences ---------------------------------------------------------------------------


def _describe_fault(names: Sequence[str]) -> str:
    return f"its {' and '.join(names)} cannot be read"


def _report_row(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    removed = ", so it is removed" if _has_unreadable_key(row) else ""
    return [(f"row {row.row} of {row.table}", f"{_describe_fault(row.columns)}{removed}")]


def _hold_task(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    task = raw_sql.fetch_rows(
        c, "SELECT uuid, number, status FROM tasks WHERE rowid = ?", (row.row,)
    )[0]
    over = task.status in ENDED
    if not over:
        transitions.hold(c, [task.uuid], True, HELD_BY + _describe_fault(row.columns))
    return [
        (
            f"task #{task.number}",
            f"{_describe_fault(row.columns)}{'' if over else ', so it is held'}",
        )
    ]


def _hold_tasks_of_environment(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    """Hold the tasks of an environment.

    A new submission with the same environment restores it.
    """
    waits = (
        "SELECT uuid, number FROM tasks WHERE env_id = (SELECT sha256 FROM environments WHERE"
        f" rowid = ?) AND {NOT_HELD}"
    )
    tasks = raw_sql.fetch_rows(c, waits, (row.row,))
    transitions.hold(
        c, [task.uuid for task in tasks], True, f"{HELD_BY}its environment cannot be read"
    )
    return [
        (f"task #{task.number}", "its environment cannot be read, so it is held") for task in tasks
    ]


def _report_run(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    runid = raw_sql.fetch_value(c, "SELECT runid FROM instances WHERE rowid = ?", (row.row,))
    return [(f"run {runid}", _describe_fault(row.columns))]


def _disable_rule(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    raw_sql.execute_statement(c, "UPDATE slas SET enabled = 0 WHERE rowid = ?", (row.row,))
    name = raw_sql.fetch_value(c, "SELECT name FROM slas WHERE rowid = ?", (row.row,))
    return [(f"sla {name}", f"{_describe_fault(row.columns)}, so it is disabled")]


def _retire_template(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    raw_sql.execute_statement(
        c,
        "UPDATE templates SET retired_at = coalesce(retired_at, ?) WHERE rowid = ?",
        (timestamps.now(), row.row),
    )
    name = raw_sql.fetch_value(c, "SELECT name FROM templates WHERE rowid = ?", (row.row,))
    return [(f"template {name}", f"{_describe_fault(row.columns)}, so it is retired")]


def _pause_schedule(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    name = raw_sql.fetch_value(c, "SELECT name FROM schedules WHERE rowid = ?", (row.row,))
    schedules.pause_unreadable(c, name, f"{_describe_fault(row.columns)}.")
    return [(f"schedule {name}", f"{_describe_fault(row.columns)}, so it is paused")]


def _give_up_delivery(c: Connection, row: UnreadableRow) -> list[tuple[str, str]]:
    """Give up a message that cannot be read, since it would hold up all others."""
    raw_sql.execute_statement(
        c,
        "UPDATE deliveries SET status = 'given_up', next_at = NULL, last_error = :why, updated_at ="
        " :now WHERE rowid = :row AND next_at IS NOT NULL",
        {"why": _describe_fault(row.columns), "now": timestamps.now(), "row": row.row},
    )
    return [(f"message {row.row}", f"{_describe_fault(row.columns)}, so it is not sent")]


_HANDLERS = {
    "deliveries": _give_up_delivery,
    "tasks": _hold_task,
    "instances": _report_run,
    "environments": _hold_tasks_of_environment,
    "slas": _disable_rule,
    "templates": _retire_template,
    "schedules": _pause_schedule,
}
