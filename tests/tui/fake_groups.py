"""Fake home with groups of tasks: a sweep that runs, an array that ended, and single tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.board import Board
from app.service.tasks.inspection.pages import COLUMNS
from app.tui.rows.groups import make_entry
from tests.tui import boards, fake_home
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


def make_board() -> Board:
    """Return the busy board with the sweep: it runs, waits, and two of its tasks failed."""
    busy = boards.busy()
    running = (
        boards.make_running(1102, "train", "gpu", 40 * MINUTE, None, None, (1.9, 2),
        (1.2 * boards.G, 2 * boards.G), "epoch 3")._replace(group=12, member="lr=0.3 bs=96"),
    )  # fmt: skip
    waiting = boards.make_waiting(
        1105, "train", "gpu", "queued", 45 * MINUTE, "queue gpu is full (8 of 8); first of 55",
        "1st of 55; queue full 8/8", 6 * MINUTE,
    )._replace(group=12, member="lr=0.2 bs=96")  # fmt: skip
    ended = [
        boards.make_ended(number, "train", "gpu", status, at * MINUTE, how)._replace(
            group=12, member=member
        )
        for number, status, at, how, member in (
            (1107, "succeeded", 1, "succeeded in 30m", "lr=0.4 bs=64"),
            (1101, "failed", 3, "failed, exit 1 after 36m: no CUDA device", "lr=0.2 bs=64"),
            (1100, "failed", 4, "failed, exit 1 after 37m: no CUDA device", "lr=0.1 bs=32"),
        )
    ]
    return busy._replace(
        groups=(make_entry(SWEEP),), running=(*busy.running, *running),
        next=(busy.next[0], waiting, *busy.next[1:]), ended=(*ended, *busy.ended),
        waiting_total=busy.waiting_total + 55,
    )  # fmt: skip


def make_step(number: int, name: str, status: str, depth: int, **values: Any) -> Row:
    """Return a task of a flow, as the verb `flow` answers it."""
    return {
        "uuid": UUID.format(number), "number": number, "name": name, "status": status,
        "depth": depth, "queue": "gpu", "priority": 0, "front": 0, "attempts": 1,
        "created_at": format_timestamp(45 * MINUTE), "started_at": None, "ended_at": None,
        "reason": None, "seconds": None, "after": [], "critical": False,
    } | values  # fmt: skip


def make_flow() -> Row:
    """Return a workflow that runs: a chain with a branch that failed."""
    began = {"started_at": format_timestamp(40 * MINUTE)}
    ended = began | {"ended_at": format_timestamp(30 * MINUTE)}
    tasks = [
        make_step(1200, "fetch", "succeeded", 0, **ended, seconds=10 * MINUTE, critical=True),
        make_step(1201, "quality-control of all the reads", "failed", 1, **ended, seconds=40.0,
            after=[{"number": 1200, "kind": "success"}], reason="exit 1"),
        make_step(1204, "tell", "queued", 2, after=[{"number": 1201, "kind": "failure"}]),
        make_step(1202, "align", "running", 1, **began, seconds=60 * MINUTE, critical=True,
            after=[{"number": 1200, "kind": "success"}]),
        make_step(1203, "call variants", "blocked", 2, seconds=20 * MINUTE, critical=True,
            after=[{"number": 1201, "kind": "any"}, {"number": 1202, "kind": "success"}]),
    ]  # fmt: skip
    return {
        "group": "g14", "name": "variants", "is_complete": True, "tasks": tasks,
        "statuses": {"succeeded": 1, "failed": 1, "queued": 1, "running": 1, "blocked": 1},
        "critical_seconds": 90 * MINUTE, "left_seconds": 40 * MINUTE,
    }  # fmt: skip


def make_groups_home(folder: Path) -> FakeRuntime:
    """Return the runtime of a busy home with two groups."""
    review = fake_home.REVIEW | {
        "total": 100, "statuses": dict(SWEEP["counts"]), "dependents": 0,
        "first": [
            {name: make_member(index)[name] for name in ("uuid", "number", "name", "status",
            "queue", "run")}
            for index in range(4)
        ],
    }  # fmt: skip
    members = [make_member(index) for index in range(8)]
    page = {
        "group": SWEEP | {"max_running": 8}, "names": ["lr", "bs"], "columns": list(COLUMNS),
        "rows": [[row[name] for name in COLUMNS] for row in members],
    }  # fmt: skip
    runtime = fake_home.make_busy_home(
        folder, browse=answer_browse, review=review, group_tasks=page, flow=make_flow()
    )
    runtime.board = make_board()
    return runtime
