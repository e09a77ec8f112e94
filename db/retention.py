"""What is old goes: ended runs, tasks left without any, events and samples. Never what is active or pinned."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection

from db.states import ENDED

BATCH = 250
"""Rows of each kind in one transaction; a batch holds the writer for less than 50 ms."""
GIVEN_BACK = 500
"""Pages that one transaction gives back to the file system."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The runs whose logs may be removed now, and whether there may be more to prune."""

    runids: list[str]
    more: bool


def prune(c: Connection, before: str) -> Gone:
    """Delete one batch of what ended before that time, and of tasks that were removed by hand."""
    runids = _old_runs(c, before) + _removed_runs(c)
    _delete(c, "instances", "runid", runids)
    tasks = _old_tasks(c, before)
    _delete(c, "alerts", "task_id", tasks)
    _delete(c, "tasks", "uuid", tasks)
    events = _old_rows(c, "events", "id", before)
    _delete(c, "events", "id", events)
    c.exec_driver_sql("DELETE FROM samples WHERE minute < ?", (before,))
    _environments(c)
    _give_back(c)
    return Gone(runids, max(len(runids), len(tasks), len(events)) >= BATCH)


def _give_back(c: Connection) -> None:
    """Make the file shorter by what is free in it, so many pages at most."""
    free = c.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    for _ in range(min(free, GIVEN_BACK)):
        # The driver takes one step of a statement without columns, and a step frees one page, whatever number is asked for.
        c.exec_driver_sql("PRAGMA incremental_vacuum(1)")


def _old_runs(c: Connection, before: str) -> list[str]:
    old = (
        "SELECT i.runid FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time IS NOT NULL AND i.end_time < ? "
        "AND t.pinned = 0 ORDER BY i.end_time LIMIT ?"
    )
    return list(c.exec_driver_sql(old, (before, BATCH)).scalars())


def _removed_runs(c: Connection) -> list[str]:
    removed = (
        "SELECT i.runid FROM tasks t JOIN instances i ON i.task_id = t.uuid WHERE t.deleted_at IS NOT NULL LIMIT ?"
    )
    return list(c.exec_driver_sql(removed, (BATCH,)).scalars())


def _old_tasks(c: Connection, before: str) -> list[str]:
    """Ended tasks without a run left, and removed ones. Nobody waits for them: their end has let all others go."""
    listed = ", ".join(f"'{word}'" for word in sorted(ENDED))
    old = (
        f"SELECT uuid FROM tasks t WHERE status IN ({listed}) AND ended_at < ? AND pinned = 0 "
        "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.task_id = t.uuid) LIMIT ?"
    )
    removed = (
        "SELECT uuid FROM tasks t WHERE deleted_at IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.task_id = t.uuid) LIMIT ?"
    )
    return list({*c.exec_driver_sql(old, (before, BATCH)).scalars(), *c.exec_driver_sql(removed, (BATCH,)).scalars()})


def _old_rows(c: Connection, table: str, key: str, before: str) -> list[int]:
    """The oldest rows of a table whose keys grow with time, as far as they are old."""
    oldest = f"SELECT {key} FROM (SELECT {key}, created_at FROM {table} ORDER BY {key} LIMIT ?) WHERE created_at < ?"
    return list(c.exec_driver_sql(oldest, (BATCH, before)).scalars())


def _environments(c: Connection) -> None:
    c.exec_driver_sql(
        "DELETE FROM environments WHERE sha256 IN (SELECT e.sha256 FROM environments e "
        "WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.env_id = e.sha256) LIMIT ?)",
        (BATCH,),
    )


def _delete(c: Connection, table: str, key: str, values: list[str] | list[int]) -> None:
    if values:
        c.exec_driver_sql(f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))", (json.dumps(values),))
