"""Events since the last visit, and failures that nobody has seen."""

from __future__ import annotations

import time

from app.service import board, since_last_visit
from app.service.context import Call
from app.service.tasks.changes import actions
from tests.service.calls import submit_task


async def _run_three_tasks(live: Call, worker) -> float:
    """Return a moment after one success and before a failure and a success."""
    for name in ("early", "bad", "good"):
        await submit_task(live, name=name)
    await worker.run(1, 0)
    moment = time.time()
    await worker.run(2, 7)
    await worker.run(3, 0)
    return moment


async def test_ended_tasks_are_counted_and_failures_named(runtime_call: Call, worker):
    moment = await _run_three_tasks(runtime_call, worker)
    found = await since_last_visit.summarize_since(runtime_call, since=moment)
    assert found["ended"] == {"failed": 1, "succeeded": 1}
    assert [
        (task["number"], task["name"], task["status"], task["reason"]) for task in found["bad"]
    ] == [(2, "bad", "failed", "exit 7")]
    assert (found["alerts"], found["since"]) == ([], moment)


async def test_nothing_happened_since_now(runtime_call: Call, worker):
    await _run_three_tasks(runtime_call, worker)
    found = await since_last_visit.summarize_since(runtime_call, since=time.time() + 60)
    assert (found["ended"], found["bad"], found["alerts"]) == ({}, [], [])


async def test_the_board_counts_failures_since_the_last_visit(runtime_call: Call, worker):
    moment = await _run_three_tasks(runtime_call, worker)
    assert (await board.show_board(runtime_call, seen=moment))["failed"] == 1
    assert (await board.show_board(runtime_call, seen=time.time() + 1))["failed"] == 0
    assert (await board.show_board(runtime_call))["failed"] == 1


async def test_a_deleted_failure_is_not_counted(runtime_call: Call, worker):
    moment = await _run_three_tasks(runtime_call, worker)
    await actions.rm(runtime_call, ids=[2])
    found = await board.show_board(runtime_call, seen=moment)
    assert (found["failed"], found["today_failed"]) == (0, 1)
