"""Groups as users see them: progress, rate and outcomes of their tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.core.schema import secrets as schema_secrets
from app.core.task_groups import RATE_WINDOW, format_group, format_member, measure_progress
from app.core.task_spec import MAX_CAPACITY
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Usage
from app.service.context import Call
from app.service.tasks import lookup
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations
from db.queries.tasks import groups, skips
from db.rows import GroupRow, TaskRow

RECENT = timedelta(hours=24)


def list_groups(c: Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the groups that exist, in the order of their numbers here, with their progress.

    `counts` has the tasks by status, with `skipped` apart from `cancelled`. `at` is the place of
    the group in a list by number. The rest is as in `GroupProgress`.
    """
    found = groups.map_groups(c, numbers) if numbers else {}
    counts = groups.map_all_counts(c, found)
    skips.split_skipped(c, counts)
    now = timestamps.utcnow().timestamp()
    since = timestamps.from_unix(now - RATE_WINDOW)
    ended = groups.count_ended_since(c, found, since) if found else {}
    return [
        _to_dict(found[number], counts[number], ended.get(number, 0), now)
        for number in numbers
        if number in found
    ]


async def ls(call: Call, *, limit: int = 0, recent: bool = False) -> list[dict[str, Any]]:
    """Return the groups, newest first; `recent` leaves out those that ended more than a day ago."""

    def read(c: Connection) -> list[dict[str, Any]]:
        since = timestamps.format_time(timestamps.utcnow() - RECENT) if recent else None
        found = list_groups(c, groups.list_numbers(c, limit, since))
        return [group for group in found if group["total"]]

    return await call.db.read(read)


async def show(call: Call, *, id: str) -> dict[str, Any]:
    """Return a group with its progress, and `failure`, the task that failed first, or None."""
    return await call.db.read(read_group, id)


async def set_(call: Call, *, id: str, max_running: int | None) -> dict[str, Any]:
    """Set how many tasks of a group may run at once; None or 0 removes the limit.

    Running tasks stay. Return the group, and the limit before as `was`.
    """
    if type(max_running) is not int and max_running is not None:
        raise Usage("max_running must be a whole number. Nothing was changed.")
    if max_running and not 0 < max_running <= MAX_CAPACITY:
        raise Usage(
            "max_running must be 0 to {max_capacity:,}. Nothing was changed.",
            max_capacity=MAX_CAPACITY,
        )

    def write(c: Connection) -> dict[str, Any]:
        was, most = read_group(c, id), max_running or None
        if was["max_running"] != most:
            groups.set_limit(c, was["number"], most)
            key = "max_running"
            what = f"group {was['group']}"
            operations.record(c, call.by, "group set", what, {key: was[key]}, {key: most})
        return {**was, "max_running": most, "was": was["max_running"]}

    return await call.db.write(write)


def read_group(c: Connection, ident: str) -> dict[str, Any]:
    """Return a group as `show` does. Raise NotFound."""
    group = lookup.find_group(c, ident)
    if group is None:
        raise NotFound(
            'there is no group "{ident}".',
            "List: taskdeck ls --groups",
            ident=truncate(sanitize(ident), 60),
        )
    (found,) = list_groups(c, [group.number])
    uuid = groups.find_first_failure(c, group.number)
    rows = reads.list_by_uuid(c, [uuid]) if uuid else []
    shown = ("number", "name", "status", "reason", "ended_at")
    failure = next(
        ({name: getattr(row, name) for name in shown} | {"member": _name_member(row)}
         for row in rows), None
    )  # fmt: skip
    return {**found, "failure": failure}


def _name_member(row: TaskRow) -> str:
    """Return what tells a task from others of its group, with secrets masked."""
    sweep = schema_secrets.mask_value(json.loads(row.sweep)) if row.sweep else None
    return format_member(row.group_index, sweep)


def _to_dict(
    row: GroupRow, counts: Mapping[str, int], ended_lately: int, now: float
) -> dict[str, Any]:
    progress = measure_progress(counts, ended_lately, now - timestamps.to_unix(row.created_at))
    return {
        "group": format_group(row.number),
        "number": row.number,
        "name": row.name,
        "submitted_by": row.submitted_by,
        "created_at": row.created_at,
        "max_running": row.max_running,
        "counts": dict(counts),
        **progress._asdict(),
        "at": row.first_number,
    }
