"""Changes since the backup that a restore does not bring."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql
from db.restore.merge.result import ReconcileResult
from db.restore.merge.rows import has_table, quote_words
from db.states import ENDED, WAITING

_DEFINITION_TABLES = {
    "queue": "queues", "pool": "pools", "template": "templates", "sla": "slas",
    "schedule": "schedules", "calendar": "calendars", "resource": "resources",
    "limit": "limits", "reservation": "bookings",
}  # fmt: skip
"""Tables of definitions, by kind."""
_USER_COLUMNS = (
    "name", "priority", "queue", "cpu", "memory", "timeout", "retries", "retry_delay", "grace",
    "tags", "parameters", "launch", "log_limit", "notify",
    "resources", "early_signal", "output", "stdin", "split",
    "error", "retry_on_oom",
    "pinned", "hold", "front", "not_before", "deleted_at",
)  # fmt: skip
"""Columns of a task that users set."""
_FROM_LATER_OPERATIONS = """
FROM old.operations o WHERE typeof(o.verb) = 'text' AND typeof(o.object) = 'text'
AND NOT EXISTS (SELECT 1 FROM main.operations m
  WHERE m.id = o.id AND m.verb = o.verb AND m.created_at = o.created_at)
"""


def list_definitions(c: Connection, schema: str) -> dict[str, set[str]]:
    """Return {kind: names} of the definitions; none of a table that an earlier version lacks."""
    return {
        kind: {*raw_sql.fetch_column(c, f"SELECT name FROM {schema}.{table}")}
        if has_table(c, schema, table)
        else set[str]()
        for kind, table in _DEFINITION_TABLES.items()
    }


def report_missing(
    c: Connection, result: ReconcileResult, backup_definitions: dict[str, set[str]]
) -> None:
    """Report what the present database has and the restored one lacks.

    `backup_definitions` are the definitions in the backup.
    """
    new_definitions, old_definitions = list_definitions(c, "main"), list_definitions(c, "old")
    dropped = {
        kind: sorted(
            name for name in old_definitions[kind] - new_definitions[kind] if isinstance(name, str)
        )
        for kind in _DEFINITION_TABLES
    }
    result.dropped = {kind: names for kind, names in dropped.items() if names}
    result.operations = raw_sql.fetch_value(c, f"SELECT count(*) {_FROM_LATER_OPERATIONS}")
    reported = {
        f"{kind} {name}"
        for kind in _DEFINITION_TABLES
        for name in {*dropped[kind], *new_definitions[kind] - backup_definitions[kind]}
    }
    differs = " OR ".join(f"o.{name} IS NOT t.{name}" for name in _USER_COLUMNS)
    # a rerun was requested
    again = f"o.status IN ({quote_words(WAITING)}) AND t.status IN ({quote_words(ENDED)})"
    changed = raw_sql.fetch_column(
        c,
        f"SELECT o.number FROM old.tasks o JOIN main.tasks t ON t.uuid = o.uuid WHERE {differs} OR"
        f" {again}",
    )
    rows = raw_sql.fetch_rows(
        c,
        f"SELECT o.verb, o.object, count(*) AS many {_FROM_LATER_OPERATIONS} AND o.verb <> 'submit'"
        " GROUP BY 1, 2 ORDER BY 1, 2",
    )
    lost = {f"task #{number}" for number in changed}
    for row in rows:
        if (
            row.object in lost
            or row.object not in reported
            and str(row.object).split(" ")[0] in _DEFINITION_TABLES
        ):
            result.undone[row.verb] = result.undone.get(row.verb, 0) + row.many
