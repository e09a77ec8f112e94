"""Groups as users see them: progress, rate and outcomes of their tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.task_groups import RATE_WINDOW, format_group, measure_progress
from db import timestamps
from db.engine import Connection
from db.queries import groups
from db.rows import GroupRow


def list_groups(c: Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the groups that exist, in the order of their numbers here, with their progress.

    `counts` has the tasks by status, `at` is the place of the group in a list by number. The rest
    is as in `GroupProgress`.
    """
    found = groups.map_groups(c, numbers) if numbers else {}
    counts = groups.map_all_counts(c, found)
    now = timestamps.utcnow().timestamp()
    since = timestamps.from_unix(now - RATE_WINDOW)
    ended = groups.count_ended_since(c, found, since) if found else {}
    return [
        _to_dict(found[number], counts[number], ended.get(number, 0), now)
        for number in numbers
        if number in found
    ]


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
