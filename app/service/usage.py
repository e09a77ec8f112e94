"""Usage: tasks, hours of CPU, memory and GPUs, and waits of a period, by groups of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from app.core.task_groups import format_group
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.service.arguments import parse_since
from app.service.context import Call
from db import timestamps
from db.queries.history import usage as store
from db.queries.history.usage import NamedSum, UsageSum

HOUR = 3600.0
GIB = 1024.0
TAG = "tag:"
KINDS = ("queue", "template", "user", "group", "name")


async def read_usage(call: Call, *, by: str = "queue", since: Any = "30d") -> dict[str, Any]:
    """Return what runs used since a past time, by one of KINDS or `tag:KEY`.

    The result is {by, since, complete_since, rows, total}. A task counts once, in the period in
    which its latest attempt ended or runs; its hours and those of its earlier attempts count where
    they passed. Cores, memory and GPUs are those reserved; `cpu_used_hours` are measured. After
    `complete_since` no run is missing; None if cleanup removed no run of the period.
    """
    group, tag = _parse_group(by)
    begin, now = parse_since(since) or "", timestamps.now()
    sums, named = await call.db.read(store.sum_active, group, tag, begin, now)
    page: str | None = begin
    while page is not None:
        more, more_named, page = await call.db.read(store.sum_ended, group, tag, begin, now, page)
        sums += more
        named += more_named
    removed = await call.db.read(store.find_removed_until)
    return {
        "by": by, "since": begin,
        "complete_since": removed if removed and removed > begin else None,
        # names of tasks may be as many as runs
        **await asyncio.to_thread(_make_rows, sums, named),
    }  # fmt: skip


def _make_rows(sums: Iterable[UsageSum], named: Iterable[NamedSum]) -> dict[str, Any]:
    """Return the rows, those with the most hours of cores first, and their total."""
    hours: dict[str | None, dict[str, float]] = {}
    in_total: dict[str, float] = {}
    for part in named:
        for known in (hours.setdefault(part.name, {}), in_total):
            known[part.resource] = known.get(part.resource, 0.0) + part.seconds / HOUR
    rows = sorted(
        _merge(sums).values(), key=lambda one: (-one.core_seconds, str(one.name or ""), one.runs)
    )
    return {
        "rows": [_to_row(one, hours.get(one.name, {})) for one in rows],
        "total": _to_row(_add_all(None, rows), in_total),
    }


def _parse_group(by: Any) -> tuple[str, str]:
    """Return the group and the key of the tag. Raise Usage."""
    if isinstance(by, str) and by.startswith(TAG) and len(by) > len(TAG):
        return "tag", by.removeprefix(TAG)
    if by in KINDS:
        return by, ""
    shown = truncate(sanitize(str(by)), 40)
    raise Usage(
        'usage is by {kinds} or tag:KEY, not by "{shown}".', kinds=", ".join(KINDS), shown=shown
    )


def _merge(sums: Iterable[UsageSum]) -> dict[str | None, UsageSum]:
    """Return the sums by name."""
    parts: dict[str | None, list[UsageSum]] = {}
    for one in sums:
        parts.setdefault(one.name, []).append(one)
    return {name: _add_all(name, some) for name, some in parts.items()}


def _add_all(name: str | None, some: Iterable[UsageSum]) -> UsageSum:
    columns = list(zip(*some, strict=True)) or [()] * len(UsageSum._fields)
    added = [sum(column) for column in columns[1:-1]]
    return UsageSum(name, *added, longest=max(columns[-1], default=0.0))


def _to_row(one: UsageSum, hours: Mapping[str, float]) -> dict[str, Any]:
    return {
        "name": format_group(one.name) if isinstance(one.name, int) else one.name,
        "tasks": one.tasks, "runs": one.runs, "failed": one.failed,
        "run_hours": one.seconds / HOUR, "cpu_hours": one.core_seconds / HOUR,
        "cpu_used_hours": one.cpu_seconds / HOUR,
        "memory_gib_hours": one.memory_seconds / GIB / HOUR, "gpu_hours": one.gpu_seconds / HOUR,
        "resource_hours": dict(sorted(hours.items())),
        "mean_wait": one.wait / one.waits if one.waits else None,
        "longest_wait": one.longest if one.waits else None,
    }  # fmt: skip
