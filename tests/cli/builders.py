"""Builders of rows as the runtime sends them, with times relative to the answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.service.tasks.inspection.views import NOTES
from db.queries.reads import LIST_COLUMNS


@dataclass(frozen=True)
class RelativeTime:
    """Time stored as seconds before the answer, so that slow tests do not age their data."""

    seconds: float

    def text(self) -> str:
        return datetime.fromtimestamp(time.time() - self.seconds, UTC).strftime(
            "%Y-%m-%dT%H:%M:%S.%fZ"
        )


def make_past_time(seconds: float) -> Any:
    """Return a time that the runtime answers as this many seconds ago."""
    return RelativeTime(seconds)


def make_task(number: int, name: str, status: str, **more: Any) -> dict[str, Any]:
    """Build a task row; `age`, `started` and `ended` are seconds ago."""
    age, started, ended = more.pop("age", 60), more.pop("started", None), more.pop("ended", None)
    return {
        "uuid": f"0000-{number}", "number": number, "name": name, "status": status,
        "queue": "default", "priority": 0, "cpu": 1.0,
        "memory": 0.0, "timeout": None, "retries": 0, "retry_delay": 1.0, "reason": None,
        "template": None, "parameters": {},
        "tags": {}, "cwd": "/srv", "launch": {"argv": ["true"]}, "submitted_by": "ann",
        "created_at": make_past_time(age),
        "started_at": None if started is None else make_past_time(started),
        "ended_at": None if ended is None else make_past_time(ended),
        "updated_at": make_past_time(0), "wait_short": None, "expected": None,
        "expected_in": None, "run_limit": None, "group_index": None, "sweep": None, **more,
    }  # fmt: skip


def make_list_answer(tasks: list[dict[str, Any]], total: int, of: int) -> dict[str, Any]:
    """Build the answer to `ls`, brief or not."""
    notes = {task["uuid"]: [task.get(name) for name in NOTES] for task in tasks}
    lines = [[task[name] for name in LIST_COLUMNS] for task in tasks]
    return {"tasks": tasks, "lines": JsonText(lines), "notes": notes, "total": total, "of": of}


def make_group(number: int, status: str, **more: Any) -> dict[str, Any]:
    """Build a group of 100 tasks, 37 of which have ended, as the runtime sends it."""
    return {
        "group": f"g{number}", "number": number, "name": "grid \x1b[2J", "submitted_by": "ann",
        "created_at": make_past_time(300), "max_running": None, "status": status,
        "counts": {"failed": 2, "succeeded": 35, "queued": 59, "running": 4},
        "total": 100, "ended": 37, "failed": 2, "running": 0, "waiting": 63,
        "rate": None, "eta": None, "failure": None, **more,
    }  # fmt: skip


@dataclass(frozen=True)
class JsonText:
    """JSON within JSON, encoded when answered."""

    value: Any

    def text(self) -> str:
        return json.dumps(self.value, default=lambda time: time.text())


def make_run(attempt: int, status: str, **more: Any) -> dict[str, Any]:
    """Build a run row."""
    return {
        "runid": f"run-{attempt}", "number": 1, "name": "x", "queue": "default", "attempt": attempt,
        "status": status,
        "start_time": make_past_time(10), "end_time": make_past_time(7), "exit_code": None,
        "signal": None, "reason": None, "cpu_seconds": None,
        "max_rss": None, "run_seconds": None, "log_bytes": None, **more,
    }  # fmt: skip
