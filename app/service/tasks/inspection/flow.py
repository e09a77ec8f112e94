"""Flows: the tasks of a group, or those around a task, as a tree with the critical path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.scheduling.forecasts.critical_path import PathTask, arrange_tree, find_critical_path
from app.core.task_groups import format_group
from app.service.context import Call
from app.service.scheduling import dispatch_view
from app.service.tasks import lookup
from db import timestamps
from db.engine import Connection
from db.queries.tasks import flows, groups
from db.queries.tasks.flows import FlowEdge, FlowRow
from db.states import ENDED, SKIPPED, TaskStatus, is_skipped

MAX_TASKS = 5_000
"""Maximum number of tasks of a flow; reading them takes some 50 ms."""


async def show_flow(call: Call, *, id: str | int) -> dict[str, Any]:
    """Return a group, or the group of a task, or the tasks connected with a task.

    The tasks are in the order of a tree. `seconds` is measured, or expected from past runs, or
    null. `critical_seconds` is the time of the longest chain of tasks, `left_seconds` the same from
    now on; both leave out all other waiting.
    """
    return await call.db.read(_read_flow, id)


def _read_flow(c: Connection, ident: str | int) -> dict[str, Any]:
    group = lookup.find_group(c, ident)
    about: dict[str, Any] = {"group": None, "name": None}
    rows = list[FlowRow]()
    if group is None:
        row = lookup.find_task(c, ident)
        about["name"] = row.name
        group = groups.map_groups(c, [row.group_number or 0]).get(row.group_number or 0)
        rows = [] if group else flows.list_connected(c, row.uuid, MAX_TASKS + 1)
    if group is not None:
        about |= {"group": format_group(group.number), "name": group.name}
        rows = flows.list_group(c, group.number, MAX_TASKS + 1)
    shown = rows[:MAX_TASKS]
    return {
        **about,
        "is_complete": len(rows) <= MAX_TASKS,
        "statuses": dict(Counter(_get_state(row) for row in shown)),
        **_build_tree(c, shown, flows.list_edges(c, [row.uuid for row in shown])),
    }


def _build_tree(
    c: Connection, rows: Sequence[FlowRow], edges: Sequence[FlowEdge]
) -> dict[str, Any]:
    parents: dict[str, list[FlowEdge]] = {}
    for edge in edges:
        parents.setdefault(edge.task, []).append(edge)
    times = {row.number: _find_seconds(c, row) for row in rows}
    needs = {row.number: [one.number for one in parents.get(row.uuid, ())] for row in rows}
    tasks = [PathTask(n, max(times[n][0] or 0.0, times[n][1]), needs[n]) for n in needs]
    left = [PathTask(n, max(0.0, (times[n][0] or 0.0) - times[n][1]), needs[n]) for n in needs]
    path = find_critical_path(tasks)
    known = {row.number: row for row in rows}
    return {
        "critical_seconds": path.seconds,
        "left_seconds": find_critical_path(left).seconds,
        "tasks": [
            _build_row(known[number], depth, parents, times[number][0])
            | {"critical": number in path.numbers}
            for depth, number in arrange_tree(tasks)
        ],
    }


def _get_state(row: FlowRow) -> str:
    return SKIPPED if is_skipped(row.status, row.reason) else row.status


def _build_row(
    row: FlowRow, depth: int, parents: Mapping[str, Sequence[FlowEdge]], seconds: float | None
) -> dict[str, Any]:
    return {
        "uuid": row.uuid, "number": row.number, "name": row.name, "status": row.status,
        "depth": depth, "queue": row.queue, "priority": row.priority, "front": row.front,
        "attempts": row.attempts, "created_at": row.created_at, "started_at": row.started_at,
        "ended_at": row.ended_at, "reason": row.reason,
        "seconds": seconds,
        "after": [{"number": p.number, "kind": p.kind} for p in parents.get(row.uuid, ())],
    }  # fmt: skip


def _find_seconds(c: Connection, row: FlowRow) -> tuple[float | None, float]:
    """Return the measured or expected seconds of a task, None if unknown, and those that passed."""
    ran = 0.0
    if row.started_at and (row.ended_at or row.status == TaskStatus.RUNNING):
        end = timestamps.to_unix(row.ended_at or timestamps.now())
        ran = max(0.0, end - timestamps.to_unix(row.started_at))
    if row.status in ENDED:
        return (ran if row.started_at else None), ran
    past = dispatch_view.get_cache(c).get_past(c, row.template, row.name)
    return (past.usual.median if past else None), ran
