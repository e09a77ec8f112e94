"""Answers of `what_if` and `usage` that fit the busy board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOUR = 3600.0


def _make_times(start: float | None, end: float | None, at_most: bool = False) -> dict[str, Any]:
    return {"start": start, "end": end, "start_at_most": at_most, "end_at_most": at_most}


def answer_what_if(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return a forecast in which each change halves the waits."""
    settings, cancel = args.get("settings") or (), args.get("cancel") or ()
    share = 0.5 ** (len(settings) + len(cancel))
    rows: list[dict[str, Any]] = []
    for at, name in enumerate(("resnet50-sweep-08", "thumbs S03", "etl-daily", "encode S02E10")):
        start, end = 0.5 * HOUR * at, 0.5 * HOUR * at + HOUR
        later = _make_times(start * share, start * share + HOUR, at == 3)
        rows.append({
            "number": 1049 + at, "name": name, "queue": "gpu", "is_running": False, "change": None,
            "before": _make_times(start, end, at == 3), "after": later,
        })  # fmt: skip
    for number in cancel:
        times = _make_times(0.0, 2 * HOUR)
        rows.append({
            "number": number, "name": "resnet50-sweep-06", "queue": "gpu", "is_running": True,
            "change": "cancelled", "before": times, "after": None,
        })  # fmt: skip
    rows.append({
        "number": 1060, "name": "report", "queue": "default", "is_running": False, "change": None,
        "before": _make_times(None, None), "after": _make_times(None, None),
    })  # fmt: skip
    steps = [
        {"verb": "queue.set", "args": {"name": "gpu", "capacity": 8},
         "command": ["taskdeck", "queue", "set", "gpu", "--capacity", "8"]}
        for _ in settings
    ]  # fmt: skip
    return {
        "now": "2026-11-25T09:00:00.000000Z", "halted": None, "waiting": 12, "simulated": 5,
        "held": 0, "tasks": rows, "steps": steps,
        "before": _make_side(1.0, [{"rule": "nightly", "number": 1051}]),
        "after": _make_side(share, []),
    }  # fmt: skip


def _make_side(share: float, missed: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "tasks": 5, "unknown": 1, "mean_wait": 2700 * share, "longest_wait": 5400 * share,
        "drained_in": 9000 * share, "missed": missed, "hours": {"cpu": 12.5, "gpu": 4.0},
        "use": {"main": {"cpu": 0.4, "gpu": None}, "gpu": {"cpu": 0.3, "gpu": 0.9}},
    }  # fmt: skip


def answer_usage(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usage of three groups; runs of the first days are removed."""
    names = {"queue": ("gpu", "media", "default"), "user": ("ann", "bob", "taskdeck")}
    rows = [
        _make_usage_row(name, 1200 / 10**at, at)
        for at, name in enumerate(names.get(args["by"], ("vision", "audio", None)))
    ]
    return {
        "by": args["by"], "since": "2026-10-26T09:00:00.000000Z", "rows": rows,
        "complete_since": None if args["since"] == "1d" else "2026-11-01T10:00:00.000000Z",
        "total": _make_usage_row(None, 1332, 0),
    }  # fmt: skip


def _make_usage_row(name: str | None, tasks: float, at: int) -> dict[str, Any]:
    return {
        "name": name, "tasks": int(tasks), "runs": int(tasks * 1.1), "failed": 4 - at,
        "run_hours": tasks / 4, "cpu_hours": tasks, "cpu_used_hours": tasks / 2,
        "memory_gib_hours": tasks * 4, "gpu_hours": tasks / 3, "mean_wait": 75.0 + at,
        "longest_wait": 7200.0,
    }  # fmt: skip
