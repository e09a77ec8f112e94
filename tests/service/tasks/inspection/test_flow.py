"""Flows: the tasks of a group, or around a task, in the order of a tree."""

from __future__ import annotations

import pytest

from app.errors import NotFound
from app.service.context import Call
from app.service.tasks.changes import actions, retry
from app.service.tasks.inspection import flow
from app.service.tasks.submission import submit
from tests.service.calls import execute_sql, submit_task

TASKS = [
    {"argv": ["a"], "name": "fetch"},
    {"argv": ["b"], "name": "qc", "after": ["fetch"]},
    {"argv": ["c"], "name": "align", "after": ["fetch"]},
    {"argv": ["d"], "name": "call", "after": ["align", "qc"]},
    {"argv": ["e"], "name": "mail", "after_failure": ["qc"]},
]


async def test_a_group_is_a_tree_with_its_critical_path(call: Call, worker):
    await submit.submit(call, tasks=TASKS, group={"name": "flow"})
    for number in (1, 3, 2):
        await worker.run(number)
    times = "UPDATE tasks SET started_at = ?, ended_at = ? WHERE number = ?"
    for number, end in ((1, "10:00:05"), (2, "10:00:01"), (3, "10:01:00")):
        span = (f"2026-11-30T{at}.000000Z" for at in ("10:00:00", end))
        await execute_sql(call, times, *span, number)

    found = await flow.show_flow(call, id="g1")

    assert (found["group"], found["name"], found["is_complete"]) == ("g1", "flow", True)
    assert [(one["depth"], one["name"], one["critical"]) for one in found["tasks"]] == [
        (0, "fetch", True),
        (1, "qc", False),
        (2, "mail", False),
        (1, "align", True),
        (2, "call", False),
    ]
    assert (found["critical_seconds"], found["left_seconds"]) == (65.0, 0.0)
    assert found["tasks"][2]["after"] == [{"number": 2, "kind": "failure"}]
    assert await flow.show_flow(call, id=3) == found


async def test_a_task_cancelled_before_its_retry_takes_no_time(call: Call, worker):
    await submit_task(call)
    await worker.run(1, 1)
    await retry.retry(call, ids=[1])
    await actions.cancel(call, ids=[1])

    (task,) = (await flow.show_flow(call, id=1))["tasks"]

    assert (task["status"], task["seconds"], task["started_at"]) == ("cancelled", None, None)


async def test_a_task_without_a_group_is_shown_with_all_connected_tasks(call: Call):
    for parents in ([], [1], [], [2, 3], []):
        await submit_task(call, after=parents)

    found = await flow.show_flow(call, id=2)

    assert (found["group"], [one["number"] for one in found["tasks"]]) == (None, [1, 2, 4, 3])
    assert [one["number"] for one in (await flow.show_flow(call, id=5))["tasks"]] == [5]


async def test_a_large_flow_is_cut_and_an_unknown_group_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flow, "MAX_TASKS", 3)
    await submit.submit(call, tasks=TASKS, group={"name": "flow"})

    found = await flow.show_flow(call, id="g1")

    assert (len(found["tasks"]), found["is_complete"]) == (3, False)
    with pytest.raises(NotFound, match='there is no group "g7"'):
        await flow.show_flow(call, id="g7")
