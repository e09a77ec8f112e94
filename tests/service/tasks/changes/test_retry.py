"""Retries with the tasks that were cancelled because of the retried ones."""

from __future__ import annotations

import json

import pytest

from app.errors import Usage
from app.service.context import Call
from app.service.definitions import queues
from app.service.tasks.changes import actions, apply, retry
from app.service.tasks.submission import submit
from tests.service.calls import execute_sql, submit_task


async def submit_diamond(call: Call) -> None:
    """Submit #1, then #2 and #3 after it, and #4 after both; #5 runs only if #1 fails."""
    for parents in ([], [1], [1], [2, 3]):
        await submit_task(call, after=parents)
    await submit_task(call, after_failure=[1])


async def read_statuses(call: Call) -> list[str]:
    rows = await execute_sql(call, "SELECT status FROM tasks ORDER BY number")
    return [row.status for row in rows]


async def test_dependents_run_again_in_order(call: Call, worker):
    await submit_diamond(call)
    await worker.run(1, 1)
    assert await read_statuses(call) == ["failed", *["cancelled"] * 3, "queued"]

    done = await retry.retry(call, ids=[1], with_dependents=True)

    assert [row["number"] for row in done["done"]] == [1, 2, 3, 4] and done["notes"] == []
    for number in (1, 2, 3):
        await worker.run(number, 0)
    assert await read_statuses(call) == [*["succeeded"] * 3, "queued", "cancelled"]


async def test_a_branch_for_failures_waits_again_when_its_parent_does(call: Call, worker):
    await submit_diamond(call)
    await worker.run(1, 0)
    assert (await read_statuses(call))[4] == "cancelled"

    done = await retry.retry(call, ids=[1], again=True, with_dependents=True)

    assert [(row["number"], row["status"]) for row in done["done"]] == [
        (1, "queued"),
        (5, "blocked"),
    ]


async def test_dependents_can_follow_a_task_that_was_retried_alone(call: Call, worker):
    await submit_diamond(call)
    await worker.run(1, 1)
    await retry.retry(call, ids=[1])

    done = await retry.retry(call, ids=[1], with_dependents=True)

    assert [row["number"] for row in done["done"]] == [2, 3, 4]
    assert done["notes"] == ["#1 is queued already."] and done["refused"] == []


async def test_tasks_run_again_with_changed_requests(call: Call, worker):
    await submit.submit(call, tasks=[{"argv": ["x"]}] * 2, env={}, group={"argv": ["x"]})
    await worker.run(1, 1)

    done = await retry.retry(call, ids=["g1"], fields={"memory": 300.0, "timeout": 60.0})

    ((number, changes),) = [(row["number"], row["changes"]) for row in done["done"]]
    assert number == 1 and (changes["memory"], changes["timeout"]) == ([0.0, 300.0], [None, 60.0])
    await worker.run(1, 1)
    refused = await retry.retry(call, ids=[1], fields={"cpu": 1e4})
    assert "10000" in refused["refused"][0]["message"].replace(",", "") and not refused["done"]
    assert await read_statuses(call) == ["failed", "queued"]
    with pytest.raises(Usage, match='cannot change "name"'):
        await retry.retry(call, ids=[1], fields={"name": "x"})


async def test_new_memory_above_the_limit_of_oom_retries_is_told(call: Call, worker):
    await submit_task(call, memory=100.0, retry_on_oom="1.5,max=200M")
    told: list[list[str]] = []
    for memory in (150.0, 500.0):
        await worker.run(1, 1)
        done = await retry.retry(call, ids=[1], fields={"memory": memory})
        told.append(done["notes"])

    assert told == [
        [],
        [
            "#1 gets no more memory after another kill: retry_on_oom allows at most 200M, and the"
            " task has 500M. To raise the limit: taskdeck set 1 --retry-on-oom 1.5,max=750M"
        ],
    ]


async def test_a_succeeded_task_that_only_leads_others_keeps_its_requests(call: Call, worker):
    await submit_task(call)
    await worker.run(1, 0)

    done = await retry.retry(call, ids=[1], with_dependents=True, fields={"memory": 64.0})

    assert done["notes"] == [
        "#1 succeeded, so it does not run again and keeps its requests. To run it again: --again"
    ]


async def test_a_task_runs_again_with_other_named_resources(call: Call, worker):
    await queues.pool_set(call, name="default", resources={"gpu": 4, "tape": 1})
    await submit_task(call, resources={"gpu": 1, "tape": 1})
    await worker.run(1, 1)

    refused = await retry.retry(call, ids=[1], fields={"resources": {"gpu": 5}})
    done = await retry.retry(call, ids=[1], fields={"resources": {"gpu": 2}})

    assert "5 gpu" in refused["refused"][0]["message"]
    (row,) = done["done"]
    assert [json.loads(named) for named in row["changes"]["resources"]] == [
        {"gpu": 1, "tape": 1},
        {"gpu": 2, "tape": 1},
    ]


@pytest.mark.parametrize("ids", [[1], ["g1"]])
async def test_dependents_can_follow_a_task_that_succeeded_meanwhile(call: Call, worker, ids):
    tasks = [{"argv": ["x"], "name": "a"}, {"argv": ["x"], "name": "b", "after": ["a"]}]
    await submit.submit(call, tasks=tasks, env={}, group={"argv": ["x"]})
    await worker.run(1, 1)
    hint = (await retry.retry(call, ids=["g1"], failed=True))["notes"][0]
    assert hint.endswith("taskdeck retry --with-dependents 1")
    await worker.run(1, 0)
    assert await read_statuses(call) == ["succeeded", "cancelled"]

    done = await retry.retry(call, ids=ids, with_dependents=True)

    assert [(row["number"], row["status"]) for row in done["done"]] == [(2, "queued")]
    said = ["#1 succeeded, so it does not run again."] if ids == [1] else []
    assert done["notes"] == said and done["refused"] == []


async def test_a_dependent_of_another_failed_task_stays_cancelled(call: Call, worker):
    for parents in ([], [], [1, 2], [3]):
        await submit_task(call, after=parents)
    await worker.run(1, 1)
    await worker.run(2, 1)

    done = await retry.retry(call, ids=[1], with_dependents=True)

    assert [row["number"] for row in done["done"]] == [1]
    assert done["notes"] == [
        "#3 and #4 stay cancelled: another task that they wait for did not succeed."
    ]


async def test_a_task_cancelled_by_a_user_is_no_dependent(call: Call, worker):
    await submit_diamond(call)
    await actions.cancel(call, ids=[3])
    await worker.run(1, 1)

    done = await retry.retry(call, ids=[1], with_dependents=True)

    assert [row["number"] for row in done["done"]] == [1, 2] and done["notes"] == []
    assert await read_statuses(call) == ["queued", "blocked", "cancelled", "cancelled", "queued"]


async def test_many_dependents_of_a_selection_take_several_transactions(
    call: Call, worker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(apply, "MAX_UNRESOLVED", 1)
    monkeypatch.setattr(apply, "BATCH_SIZE", 1)
    monkeypatch.setattr(apply, "STEP_SECONDS", 0.0)
    await submit_diamond(call)
    await worker.run(1, 1)

    done = await retry.retry(call, select={"status": ["failed"]}, with_dependents=True)

    assert [row["status"] for row in done["done"]] == ["queued", *["blocked"] * 3]
