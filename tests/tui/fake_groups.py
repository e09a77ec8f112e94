"""Fake home with groups of tasks: a sweep that runs, an array that ended, and single tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.service.tasks.pages import COLUMNS
from tests.tui import fake_home
from tests.tui.boards import MINUTE, NOW
from tests.tui.fake_home import format_timestamp
from tests.tui.fake_runtime import UUID, FakeRuntime

Row = dict[str, Any]
FIRST = 1100
"""Number of the first task of the sweep."""
_OUTCOMES = ("failed", "failed", "running", "running", "running", "queued", "queued", "succeeded")


def make_member(index: int) -> Row:
    """Return a task of the sweep, as a row of `browse`."""
    status = _OUTCOMES[index] if index < len(_OUTCOMES) else "succeeded"
    began, ended = NOW - 40 * MINUTE, NOW - (index + 3) * MINUTE
    return dict.fromkeys(COLUMNS) | {
        "uuid": UUID.format(FIRST + index), "number": FIRST + index, "name": "train",
        "status": status, "run": status if status == "running" else None,
        "queue": "gpu", "priority": 0, "front": 0, "cpu": 2.0, "memory": 2048.0, "retries": 0,
        "attempts": 1, "created_at": format_timestamp(45 * MINUTE),
        "started_at": None if status == "queued" else format_timestamp(NOW - began),
        "ended_at": format_timestamp(NOW - ended) if status in ("failed", "succeeded") else None,
        "reason": "exit 1" if status == "failed" else None,
        "why": "queue gpu is full (8 of 8)" if status == "queued" else None,
        "submitted_by": "ann", "tags": {}, "at": FIRST + index, "group_number": 12,
        "group_index": index + 1,
        "sweep": {"lr": f"0.{index % 4 + 1}", "bs": str(32 * (index % 3 + 1))},
    }  # fmt: skip


def make_group(**values: Any) -> Row:
    """Return a group as `browse` answers it: by default the running sweep."""
    return {
        "group": "g12", "number": 12, "name": "train", "submitted_by": "ann",
        "created_at": format_timestamp(45 * MINUTE), "max_running": None,
        "counts": {"failed": 2, "running": 8, "queued": 55, "succeeded": 35},
        "total": 100, "ended": 37, "failed": 2, "running": 8, "waiting": 55, "status": "running",
        "rate": 1.5, "eta": 42 * MINUTE, "at": FIRST,
    } | values  # fmt: skip


SWEEP = make_group()
ARRAY = make_group(
    group="g11", number=11, name="render frames", counts={"succeeded": 100}, ended=100, failed=0,
    running=0, waiting=0, status="succeeded", rate=None, eta=None, at=1035,
)  # fmt: skip


def answer_browse(args: Mapping[str, Any]) -> Row:
    """Return a page with groups, or the tasks of the sweep under its filter."""
    if "group:g12" in args["filter"]:
        rows = [make_member(index) for index in range(8)]
        listed = [[row[name] for name in COLUMNS] for row in rows]
        return fake_home.answer_browse({"filter": ""}) | {
            "rows": listed, "total": len(rows), "of": 240,
        }  # fmt: skip
    found = fake_home.answer_browse(args)
    if not args.get("fold"):
        return found
    groups = [dict(SWEEP), ARRAY]
    if 12 in args["unfold"]:
        members = [make_member(index) for index in range(8)]
        groups[0]["rows"] = [[row[name] for name in COLUMNS] for row in members]
    return found | {"groups": groups, "total": None, "of": 240}


def make_groups_home(folder: Path) -> FakeRuntime:
    """Return the runtime of a busy home with two groups."""
    review = fake_home.REVIEW | {
        "total": 100, "statuses": dict(SWEEP["counts"]), "dependants": 0,
        "first": [
            {name: make_member(index)[name] for name in ("uuid", "number", "name", "status",
            "queue", "run")}
            for index in range(4)
        ],
    }  # fmt: skip
    return fake_home.make_busy_home(folder, browse=answer_browse, review=review)
