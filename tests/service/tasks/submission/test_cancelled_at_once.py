"""Tests of notes about tasks that are cancelled as they are submitted."""

from __future__ import annotations

from app.service.context import Call
from app.service.tasks.submission import submit
from tests.service.calls import submit_task


async def test_a_task_whose_parent_failed_already_is_noted(
    runtime_call: Call, worker, caller_notes: list[str]
):
    await submit_task(runtime_call)
    await submit_task(runtime_call, name="alarm", after_failure=[1])
    await worker.run(1)
    assert caller_notes == []

    await submit_task(runtime_call, name="late", after_failure=[1])
    await submit.submit_lines(runtime_call, text='{"argv": ["a"], "name": "after", "after": [2]}')

    assert caller_notes == [
        "#3 late was cancelled at once: skipped: only if #1 fails",
        "#4 after was cancelled at once: skipped: parent #2 was skipped",
    ]


async def test_of_many_cancelled_tasks_the_first_are_named(
    runtime_call: Call, worker, caller_notes: list[str]
):
    await submit_task(runtime_call)
    await worker.run(1, 3)
    tasks = [{"argv": ["a"], "name": f"t{at}", "after": [1]} for at in range(7)]

    await submit.submit(runtime_call, tasks=tasks, group={"name": "t"})

    assert caller_notes == [
        *(f"#{at + 2} t{at} was cancelled at once: parent #1 failed" for at in range(5)),
        "more of these tasks were cancelled at once. See: taskdeck ls --status cancelled",
    ]


async def test_a_large_submission_names_its_cancelled_tasks(
    runtime_call: Call, worker, caller_notes: list[str]
):
    await submit_task(runtime_call)
    await worker.run(1, 3)
    tasks = [{"argv": ["a"]} for _ in range(submit.SMALL_BATCH)]

    await submit.submit(runtime_call, tasks=[*tasks, {"argv": ["b"], "name": "b", "after": [1]}])

    assert caller_notes == [f"#{submit.SMALL_BATCH + 2} b was cancelled at once: parent #1 failed"]
