"""Groups: tasks that were submitted together.

A group has the UUID of the first task of its submission. So a submission that is sent twice gets
one group.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters
from db.rows import GroupRow
from db.states import ENDED, FAILED, TaskStatus

_COLUMNS = ", ".join(GroupRow._fields)
_FOLDER = "groups/"
"""Folder of the counters of tasks, by group and status."""
MAX_TASKS = 1_000_000
"""Maximum number of tasks of a submission, whose UUIDs follow that of the first one."""
COUNTER = "group-number"
"""Counter of the highest number ever given to a group."""
STATUS_ORDER = (
    TaskStatus.FAILED, TaskStatus.TIMED_OUT, TaskStatus.LOST, TaskStatus.RUNNING,
    TaskStatus.RETRYING, TaskStatus.QUEUED, TaskStatus.SCHEDULED, TaskStatus.BLOCKED,
    TaskStatus.HELD, TaskStatus.CANCELLED, TaskStatus.SUCCEEDED,
)  # fmt: skip
"""Statuses of the tasks of a group, those that need somebody first."""


def create(c: Connection, uuid: str, name: str, by: str, max_running: int | None) -> int:
    """Store the group of a submission by the UUID of its first task; return its number.

    The first task is the next one that gets a number. A known group keeps its number.
    """
    if (known := find_number(c, uuid)) is not None:
        return known
    now = timestamps.now()
    take = (
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, (SELECT"
        " coalesce(max(number), 0) + 1 FROM groups), :now, :now) ON CONFLICT (name) DO UPDATE SET"
        " value = max(value + 1, excluded.value), updated_at = :now RETURNING value"
    )
    number = raw_sql.fetch_value(c, take, {"name": COUNTER, "now": now})
    raw_sql.execute_statement(
        c,
        "INSERT INTO groups (number, uuid, name, submitted_by, created_at, updated_at, max_running,"
        " first_number) VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(value), 0) + 1 FROM"
        " counters WHERE name = 'task-number'))",
        (number, uuid, name, by, now, now, max_running),
    )
    return number


def find_number(c: Connection, uuid: str) -> int | None:
    """Return the number of the group of a submission, or None."""
    return raw_sql.fetch_value(c, "SELECT number FROM groups WHERE uuid = ?", (uuid,))


def map_groups(c: Connection, numbers: Iterable[int]) -> dict[int, GroupRow]:
    """Return {number: group} of those that exist."""
    found = f"SELECT {_COLUMNS} FROM groups WHERE number IN (SELECT value FROM json_each(?))"
    rows = raw_sql.fetch_rows(c, found, (json.dumps(list(numbers)),))
    return {row.number: GroupRow._make(row) for row in rows}


def list_numbers_of_tasks(c: Connection, uuids: Iterable[str]) -> list[int]:
    """Return the numbers of the groups that hold one of the tasks."""
    found = (
        "SELECT DISTINCT group_number FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
        " group_number IS NOT NULL"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(uuids)),))


def remove_empty(c: Connection, numbers: Iterable[int]) -> None:
    """Delete the groups to which no task belongs."""
    removed = raw_sql.fetch_column(
        c,
        "DELETE FROM groups WHERE number IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT"
        " 1 FROM tasks t WHERE t.group_number = groups.number) RETURNING number",
        (json.dumps(list(numbers)),),
    )
    for number in removed:
        counters.delete_below(c, f"{_FOLDER}{number}/")


def set_limit(c: Connection, number: int, max_running: int | None) -> None:
    """Set how many tasks of a group may run at once; None removes the limit."""
    raw_sql.execute_statement(
        c,
        "UPDATE groups SET max_running = ?, updated_at = ? WHERE number = ?",
        (max_running, timestamps.now(), number),
    )


def list_uuids(c: Connection, number: int, states: Sequence[str] = ()) -> list[str]:
    """Return the tasks of a group in one of `states`, or in any, by number."""
    # One row: a driver's row for each of 100,000 tasks takes longer than the query.
    found = (
        "SELECT json_group_array(uuid) FROM (SELECT uuid FROM tasks WHERE group_number = ? AND"
        f" deleted_at IS NULL{' AND status IN (SELECT value FROM json_each(?))' if states else ''}"
        " ORDER BY number)"
    )
    given = (number, json.dumps(list(states))) if states else (number,)
    return json.loads(raw_sql.fetch_value(c, found, given))


def list_rowid_ranges(c: Connection, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and the last rowid of each group that has tasks.

    The UUIDs of a submission, and its rows, follow one another.
    """
    found = "SELECT rowid FROM tasks WHERE uuid BETWEEN ? AND ? ORDER BY uuid {} LIMIT 1"
    ranges: list[tuple[int, int]] = []
    for row in map_groups(c, numbers).values():
        between = row.uuid, str(UUID(int=UUID(row.uuid).int + MAX_TASKS - 1))
        low, high = (
            raw_sql.fetch_value(c, found.format(order), between) for order in ("ASC", "DESC")
        )
        ranges += [(low, high)] if low is not None else []
    return ranges


def map_counts(c: Connection, number: int) -> dict[str, int]:
    """Return {status: tasks} of a group, from the kept counters."""
    return map_all_counts(c, [number])[number]


def map_all_counts(c: Connection, numbers: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return {number: {status: tasks}} of groups, from the kept counters."""
    counts: dict[int, dict[str, int]] = {number: {} for number in numbers}
    found = (
        "SELECT j.value, n.name, n.value FROM json_each(?) j CROSS JOIN counters n ON n.name >="
        f" '{_FOLDER}' || j.value || '/' AND n.name < '{_FOLDER}' || j.value || '0' WHERE n.value"
        " <> 0"
    )
    for number, name, count in raw_sql.fetch_rows(c, found, (json.dumps(list(counts)),)):
        counts[number][name.rpartition("/")[2]] = count
    return counts


def count_ended_since(c: Connection, numbers: Iterable[int], since: str) -> dict[int, int]:
    """Return {number: tasks that ended since a time} of groups, 0 left out."""
    found = (
        "SELECT t.group_number, count(*) FROM json_each(?) j CROSS JOIN json_each(?) s CROSS JOIN"
        " tasks t INDEXED BY idx_tasks_group ON t.group_number = j.value AND t.status = s.value AND"
        " t.ended_at >= ? GROUP BY t.group_number"
    )
    given = (json.dumps(list(numbers)), json.dumps(sorted(ENDED)), since)
    return dict(raw_sql.fetch_rows(c, found, given))


def list_numbers(c: Connection, limit: int, since: str | None = None) -> list[int]:
    """Return the numbers of groups, newest first; a limit of 0 means all.

    `since` leaves out groups whose tasks have all ended, if none has changed since that time.
    """
    if since is None:
        found = "SELECT number FROM groups ORDER BY number DESC LIMIT ?"
        return raw_sql.fetch_column(c, found, (limit or -1,))
    found = (
        "SELECT name, updated_at FROM counters WHERE name >= 'groups/' AND name < 'groups0' AND"
        " value <> 0"
    )
    parts = [(name.split("/"), at) for name, at in raw_sql.fetch_rows(c, found)]
    numbers = {int(part[1]) for part, at in parts if part[2] not in ENDED or at >= since}
    return sorted(numbers, reverse=True)[: limit or None]


def list_first_uuids(c: Connection, number: int, status: str, limit: int) -> list[str]:
    """Return the first tasks of a group in a status, by number."""
    found = (
        "SELECT uuid FROM tasks WHERE group_number = ? AND status = ? AND deleted_at IS NULL ORDER"
        " BY number LIMIT ?"
    )
    return raw_sql.fetch_column(c, found, (number, status, limit))


def find_first_failure(c: Connection, number: int) -> str | None:
    """Return the task of a group that failed first, or None."""
    first = (
        "SELECT ended_at, uuid FROM tasks INDEXED BY idx_tasks_group WHERE group_number = ? AND"
        " status = ? AND deleted_at IS NULL AND ended_at IS NOT NULL ORDER BY ended_at LIMIT 1"
    )
    rows = [
        tuple(row)
        for status in sorted(FAILED)
        for row in raw_sql.fetch_rows(c, first, (number, status.value))
    ]
    return min(rows)[1] if rows else None


def list_ended_after(
    c: Connection, numbers: Sequence[int], after: tuple[str, int], limit: int
) -> list[tuple[str, int, str]]:
    """Return (end, rowid, uuid) of tasks of groups behind an end and rowid, the earliest first.

    The tasks of a cancelled group share their end.
    """
    of_status = (
        "SELECT ended_at, rowid AS place, uuid FROM tasks INDEXED BY idx_tasks_group WHERE"
        " group_number = ? AND status = ? AND (ended_at, rowid) > (?, ?) AND deleted_at IS NULL"
        " ORDER BY ended_at, rowid LIMIT ?"
    )
    rows = [
        (row[0], row[1], row[2])
        for number in numbers
        for status in sorted(ENDED)
        for row in raw_sql.fetch_rows(c, of_status, (number, status.value, *after, limit))
    ]
    return sorted(rows)[:limit]


def list_started(c: Connection, numbers: Sequence[int]) -> list[str]:
    """Return the tasks of groups that run or wait for another attempt."""
    found = (
        "SELECT t.uuid FROM json_each(?) j CROSS JOIN tasks t INDEXED BY idx_tasks_group ON"
        " t.group_number = j.value AND t.status IN ('running', 'retrying')"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(numbers)),))


def list_member_rowids(c: Connection, number: int, limit: int) -> list[int]:
    """Return the rowids of tasks of a group: failures first, then active, waiting, other ends.

    Waiting tasks are in the order of their numbers, ended ones begin with the latest.
    """
    of_status = (
        "SELECT rowid AS place FROM tasks INDEXED BY idx_tasks_group WHERE group_number = ? AND"
        " status = ? AND deleted_at IS NULL ORDER BY ended_at DESC, rowid {} LIMIT ?"
    )
    found: list[int] = []
    for status in STATUS_ORDER:
        way = "DESC" if status in ENDED else "ASC"
        given = (number, status.value, limit - len(found))
        found += raw_sql.fetch_column(c, of_status.format(way), given) if given[2] > 0 else ()
    return found


def has_any(c: Connection) -> bool:
    """Return True if there is a group."""
    return raw_sql.fetch_value(c, "SELECT 1 FROM groups LIMIT 1") is not None


def map_numbers(c: Connection, uuids: Iterable[str]) -> dict[str, int]:
    """Return {uuid: number of the group} of those tasks that belong to one."""
    found = (
        "SELECT uuid, group_number FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
        " group_number IS NOT NULL"
    )
    return dict(raw_sql.fetch_rows(c, found, (json.dumps(list(uuids)),)))


def list_queued_behind(c: Connection, queue: str, number: int, limit: int) -> list[str]:
    """Return the first queued tasks of a queue behind the last one of a group, by priority."""
    last = raw_sql.fetch_rows(
        c,
        "SELECT front, priority, number FROM tasks INDEXED BY idx_tasks_group WHERE group_number ="
        " ? AND status = 'queued' ORDER BY ended_at DESC, rowid DESC LIMIT 1",
        (number,),
    )
    found: list[str] = []
    for holds, count in (
        ("front = ? AND priority = ? AND number > ?", 3),
        ("front = ? AND priority < ?", 2),
        ("front < ?", 1),
    ):
        if last and len(found) < limit:
            behind = (
                f"SELECT uuid FROM tasks WHERE queue = ? AND status = 'queued' AND {holds} ORDER BY"
                " front DESC, priority DESC, number LIMIT ?"
            )
            given = (queue, *last[0][:count], limit - len(found))
            found += raw_sql.fetch_column(c, behind, given)
    return found
