"""Tasks submitted since the backup, with their queues, groups and dependencies."""

from __future__ import annotations

import json
from functools import partial

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps
from db.maintenance import value_checks
from db.queries.tasks import groups
from db.restore.merge.result import ReconcileResult
from db.restore.merge.rows import copy_rows, has_table, quote_words
from db.states import ENDED, WAITING, TaskStatus

_CREATE_NEW_TASKS = f"""
CREATE TEMP TABLE new_tasks AS SELECT o.uuid, o.number, o.number AS was FROM old.tasks o
WHERE o.status IN ({quote_words(TaskStatus)}) AND typeof(o.number) = 'integer'
  AND o.deleted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM main.tasks r WHERE r.uuid = o.uuid)
  AND NOT (o.number IN (SELECT number FROM main.tasks WHERE status NOT IN ({quote_words(ENDED)}))
    AND o.uuid IN (SELECT runid FROM old.instances))
"""
"""Tasks submitted since the backup.

A task created for an adopted run is left out if the backup has the run's own task and that task may
still start. The run then belongs to its own task.
"""
_SAME_GROUP = (
    "(SELECT g.number FROM old.groups n JOIN main.groups g ON g.uuid = n.uuid WHERE n.number ="
    " o.group_number)"
)
"""Group of a new task. None if its number belongs to another group of the backup."""
_NEW_WAITING = f"uuid IN (SELECT uuid FROM temp.new_tasks) AND status IN ({quote_words(WAITING)})"


def _renumber_conflicts(c: Connection, last: int) -> None:
    """Renumber tasks whose number another task has in the backup, above `last`.

    A recreated database counts from 1 again.
    """
    taken = (
        "SELECT DISTINCT uuid, number FROM temp.new_tasks WHERE number IN (SELECT number FROM"
        " main.tasks) ORDER BY number, uuid"
    )
    rows = [
        (last + at, row.number, row.uuid) for at, row in enumerate(raw_sql.fetch_rows(c, taken), 1)
    ]
    raw_sql.execute_statements(
        c, "UPDATE temp.new_tasks SET number = ?, was = ? WHERE uuid = ?", rows
    )


def merge_tasks(c: Connection, result: ReconcileResult, last: int) -> None:
    """Copy tasks submitted since the backup, with their references.

    `last` is the highest number ever used.
    """
    raw_sql.execute_statement(c, _CREATE_NEW_TASKS)
    _skip_unreadable(c, result)
    _renumber_conflicts(c, last)
    for table, key, name in (
        ("queues", "queue", "name"),
        ("templates", "template", "name"),
        ("environments", "env_id", "sha256"),
    ):
        wanted = f"SELECT t.{key} FROM old.tasks t JOIN temp.new_tasks f ON f.uuid = t.uuid"
        if table == "queues":
            copy_rows(
                c, "pools", f"name IN (SELECT q.pool FROM old.queues q WHERE q.name IN ({wanted}))"
            )
            raw_sql.execute_statement(
                c,
                "UPDATE main.pools SET sla_id = NULL WHERE sla_id NOT IN (SELECT id FROM"
                " main.slas)",
            )
        copy_rows(c, table, f"{name} IN ({wanted})")
    _merge_groups(c)
    copy_rows(
        c,
        "tasks",
        "uuid IN (SELECT uuid FROM temp.new_tasks)"
        " AND EXISTS (SELECT 1 FROM main.queues q WHERE q.name = o.queue)"
        " AND (o.template IS NULL"
        " OR EXISTS (SELECT 1 FROM main.templates m WHERE m.name = o.template))",
        {
            '"number"': "(SELECT f.number FROM temp.new_tasks f WHERE f.uuid = o.uuid)",
            '"group_number"': _SAME_GROUP if has_table(c, "old", "groups") else "NULL",
        },
    )
    copy_rows(
        c,
        "dependencies",
        "task_id IN (SELECT uuid FROM temp.new_tasks)"
        " AND EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = o.task_id)"
        " AND EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = o.parent_id)",
    )
    brought = raw_sql.fetch_rows(
        c,
        "SELECT DISTINCT f.was, t.number FROM main.tasks t JOIN temp.new_tasks f ON f.uuid = t.uuid"
        " ORDER BY t.number",
    )
    result.tasks = [row.number for row in brought]
    result.renumbered = [(row.was, row.number) for row in brought if row.was != row.number]


def _merge_groups(c: Connection) -> None:
    """Copy the groups of tasks submitted since the backup, and give no number again."""
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.counters (name, value, created_at, updated_at) SELECT name, value, :now,"
        " :now FROM old.counters WHERE name = :name AND typeof(value) = 'integer' ON CONFLICT"
        " (name) DO UPDATE SET value = max(value, excluded.value), updated_at = :now",
        {"name": groups.COUNTER, "now": timestamps.now()},
    )
    if has_table(c, "old", "groups"):
        of_tasks = "SELECT t.group_number FROM old.tasks t JOIN temp.new_tasks f ON f.uuid = t.uuid"
        copy_rows(c, "groups", f"typeof(number) = 'integer' AND number IN ({of_tasks})")


def _skip_unreadable(c: Connection, result: ReconcileResult) -> None:
    """Leave out waiting tasks that cannot run, because of unreadable values.

    The values are their own or their environment's.
    """
    odd = list(
        value_checks.find_unreadable(
            partial(raw_sql.fetch_rows, c), of="old", tables=(schema.tasks, schema.environments)
        )
    )
    rows, environments = (
        json.dumps([value.rowid for value in odd if value.table == table])
        for table in ("tasks", "environments")
    )
    found = (
        f"SELECT uuid, number FROM old.tasks WHERE {_NEW_WAITING} AND (rowid IN (SELECT value FROM"
        " json_each(?)) OR env_id IN (SELECT sha256 FROM old.environments WHERE rowid IN (SELECT"
        " value FROM json_each(?)) AND sha256 NOT IN (SELECT sha256 FROM main.environments)))"
        " ORDER BY number"
    )
    left = raw_sql.fetch_rows(c, found, (rows, environments)) if odd else []
    raw_sql.execute_statements(
        c, "DELETE FROM temp.new_tasks WHERE uuid = ?", [(row.uuid,) for row in left]
    )
    result.unreadable = [row.number for row in left]
