"""`taskdeck flow`."""

from __future__ import annotations

import json
from typing import Any

START = "2026-11-30T10:00:00.000000Z"


def make_task(number: int, name: str, depth: int, **changes: Any) -> dict[str, Any]:
    return {
        "number": number, "name": name, "depth": depth, "status": "blocked", "started_at": None,
        "ended_at": None, "reason": None, "seconds": None, "after": [], "critical": False,
    } | changes  # fmt: skip


FLOW = {
    "group": "g12", "name": "flow", "is_complete": False,
    "statuses": {"succeeded": 1, "blocked": 2},
    "critical_seconds": 125.0, "left_seconds": 120.0,
    "tasks": [
        make_task(4, "fetch", 0, status="succeeded", seconds=5.0, critical=True),
        make_task(5, "align", 1, seconds=120.0, critical=True,
                  after=[{"number": 4, "kind": "success"}]),
        make_task(6, "mail", 2, after=[{"number": 5, "kind": "failure"},
                                       {"number": 4, "kind": "start"}]),
    ],
}  # fmt: skip


def test_the_tree_has_times_parents_and_the_critical_path(fake_runtime, cli):
    runtime = fake_runtime(flow=FLOW)

    said = cli("flow", "g12")

    assert said.out.splitlines() == [
        "g12 flow: 1 succeeded, 2 blocked",
        "critical path (*): 2m05s, at least 2m left",
        "   ID  TASK        STATE        TIME  AFTER",
        "*   4  fetch       ✓ succeeded  5.0s",
        "*   5  └─ align    ↳ blocked     ~2m  #4",
        "    6     └─ mail  ↳ blocked       –  if #5 fails; start of #4",
    ]
    assert "only the first 3 tasks are shown" in said.err
    assert runtime.get_last_args("flow") == {"id": "g12"}
    assert json.loads(cli("flow", "g12", "--json").out) == FLOW
    assert cli("flow").code == cli("flow", "g12", "g13").code == 2


def test_a_needless_task_is_skipped(fake_runtime, cli):
    reason = "skipped: only if #4 fails"
    task = make_task(5, "clean-up", 1, status="cancelled", reason=reason)
    fake_runtime(flow={**FLOW, "statuses": {"skipped": 1}, "tasks": [task]})

    lines = cli("flow", "g12").out.splitlines()

    assert lines[0] == "g12 flow: 1 skipped" and lines[-1].split()[-3:] == ["-", "skipped", "–"]
