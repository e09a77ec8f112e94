"""Schedules as sent to clients: in words, with their latest fire times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any

from app.core.schedules.recurrence import describe_recurrence
from app.core.schema import secrets
from app.service.schedules import rules as schedule_rules
from db import timestamps
from db.engine import Connection
from db.queries import schedules
from db.rows import FireRow, ScheduleRow

MAX_FIRES = 20
"""Latest fire times sent with a schedule."""
_SHOWN = tuple(name for name in ScheduleRow._fields if name not in ("context", "boot_id", "due_at"))


def build_all(c: Connection, rows: Sequence[ScheduleRow]) -> list[dict[str, Any]]:
    """Return schedules as sent to clients.

    Added to the columns are `cwd`, `words`, `state` (active, paused or ended), `fires` (the latest
    ones, newest first), `run_seconds` (the usual time of a run, or None), and `missed_count`, the
    number of `fires` that were missed. Secrets are masked.
    """
    fires = schedules.list_fires(c, [row.name for row in rows], MAX_FIRES)
    now = timestamps.utcnow()
    return [_build(row, fires[row.name], now) for row in rows]


def _build(row: ScheduleRow, fires: Sequence[FireRow], now: datetime) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in _SHOWN}
    return {
        **columns,
        "task": secrets.mask_record(row.task),
        "cwd": row.task.get("cwd") or row.context.get("cwd"),
        "words": describe_recurrence(schedule_rules.get_recurrence(row)),
        "state": get_state(row, now),
        "fires": [fire._asdict() for fire in fires],
        "missed_count": sum(fire.outcome == "missed" for fire in fires),
        "run_seconds": _estimate_run(fires),
    }


def get_state(row: ScheduleRow, now: datetime) -> str:
    """Return `active`, `paused`, or `ended` for a schedule without another fire time."""
    if schedule_rules.is_paused(row, now):
        return "paused"
    return "ended" if row.due_at is None and row.kind != "boot" else "active"


def _estimate_run(fires: Sequence[FireRow]) -> float | None:
    """Return the median time of the runs that succeeded, in seconds."""
    times = [
        timestamps.to_unix(fire.ended_at) - timestamps.to_unix(fire.started_at)
        for fire in fires
        if fire.status == "succeeded" and fire.started_at and fire.ended_at
    ]
    return median(times) if times else None
