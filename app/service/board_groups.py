"""Groups on the board: one waiting task of each, and the first tasks behind large groups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from app.core.board import GroupEntry, NextEntry
from app.core.scheduling.order import PRIORITY
from app.core.scheduling.plan import DispatchView, QueuedTask, QueueView
from app.core.schema.secrets import mask_value
from app.core.task_groups import format_group, format_member
from app.service.tasks.inspection import group_views
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries.tasks import groups
from db.rows import ActiveRunRow, TaskLineRow

SHOWN_BEHIND = 8
"""Tasks of a queue that are shown behind a group that fills the first places."""
MAX_SEEKS = 4
"""Groups of a queue behind which tasks are sought."""
Places = Sequence[tuple[QueueView, QueuedTask]]


def keep_first_members(c: Connection, places: Places) -> Places:
    """Return the queued tasks without those that follow another one of their group."""
    if not groups.has_any(c):
        return places
    of = groups.map_numbers(c, [task.uuid for _, task in places])
    firsts: dict[int, str] = {}
    for _, task in places:
        if (number := of.get(task.uuid)) is not None:
            firsts.setdefault(number, task.uuid)
    return [
        (queue, task)
        for queue, task in places
        if (number := of.get(task.uuid)) is None or firsts[number] == task.uuid
    ]


def map_behind_groups(c: Connection, seen: DispatchView) -> dict[str, int]:
    """Return {uuid: group before it} of the first tasks of queues that begin with large groups.

    Pools with another order than priority are left out, since all members would have to be read.
    """
    if not groups.has_any(c):
        return {}
    policies = {pool.name: pool.policy for pool in seen.pools}
    found: dict[str, int] = {}
    for queue in seen.queues:
        if queue.waiting_total > len(queue.waiting) > 0 and policies[queue.pool] == PRIORITY:
            found |= _map_behind(c, queue)
    return found


def _map_behind(c: Connection, queue: QueueView) -> dict[str, int]:
    """Return the first tasks behind the group of the last task known, and behind the next ones."""
    found, last = dict[str, int](), queue.waiting[-1].uuid
    number = groups.map_numbers(c, [last]).get(last)
    for _ in range(MAX_SEEKS):
        if number is None or len(found) >= SHOWN_BEHIND:
            break
        behind = groups.list_queued_behind(c, queue.name, number, SHOWN_BEHIND)
        of = groups.map_numbers(c, behind)
        firsts = {of.get(uuid, uuid): uuid for uuid in reversed(behind)}
        found |= {uuid: number for uuid in behind if firsts[of.get(uuid, uuid)] == uuid}
        number = of.get(behind[-1]) if behind else None
    return found


def build_behind_line(task: TaskLineRow, group: int) -> NextEntry:
    """Return the row of a task behind a group; counting its place would take long."""
    why = tr("behind the tasks of {group}", group=format_group(group))
    return NextEntry(
        task.uuid, task.number, task.name, task.queue, task.status,
        timestamps.to_unix(task.created_at), why, why, task.priority, task.front,
        **get_place(task),
    )  # fmt: skip


def drop_followers(tasks: Iterable[TaskLineRow]) -> list[TaskLineRow]:
    """Return waiting tasks without those that follow another one of their group."""
    firsts: dict[int, str] = {}
    return [
        task
        for task in tasks
        if task.group_number is None or firsts.setdefault(task.group_number, task.uuid) == task.uuid
    ]


def get_place(row: TaskLineRow | ActiveRunRow) -> dict[str, Any]:
    """Return the fields of an entry of the board that tell the place of a task in its group."""
    if row.group_number is None:
        return {}
    sweep = mask_value(json.loads(row.sweep)) if row.sweep else None
    return {"group": row.group_number, "member": format_member(row.group_index, sweep)}


def list_entries(c: Connection, numbers: Iterable[int | None]) -> tuple[GroupEntry, ...]:
    """Return the entries of groups, by number."""
    wanted = sorted({number for number in numbers if number is not None})
    if not wanted:
        return ()
    return tuple(
        GroupEntry(**{name: row[name] for name in GroupEntry._fields})
        for row in group_views.list_groups(c, wanted)
    )
