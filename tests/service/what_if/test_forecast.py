"""Tests of the verb `forecast`: supposed changes are checked, forecast, and change nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Usage
from app.service.context import Call
from app.service.definitions import queues, slas
from app.service.registry import VERBS, call_verb
from app.service.tasks.submission import submit
from db import timestamps
from tests.service.calls import execute_sql, submit_task


async def suppose(call: Call, *settings: str, **also: Any) -> dict[str, Any]:
    return await call_verb(call, "forecast", {"settings": list(settings), **also})


async def fill(call: Call, count: int = 3, **spec: Any) -> None:
    """Submit tasks of a minute into a queue of one slot."""
    await queues.queue_set(call, name="default", capacity=1)
    for _ in range(count):
        await submit_task(call, timeout=60, **spec)


def get_starts(found: dict[str, Any], side: str) -> dict[Any, float | None]:
    return {row["number"]: row[side] and row[side]["start"] for row in found["tasks"]}


async def test_a_capacity_starts_tasks_sooner_and_changes_nothing(call: Call):
    await fill(call)
    rows = "SELECT count(*) FROM operations"
    known = await execute_sql(call, rows)

    found = await suppose(call, "queue.default.capacity=2")

    assert get_starts(found, "before") == {1: 0, 2: 60, 3: 120}
    assert get_starts(found, "after") == {1: 0, 2: 0, 3: 60}
    assert found["before"]["drained_in"] == 180 and found["after"]["drained_in"] == 120
    assert found["before"]["mean_wait"] == 60 and found["after"]["longest_wait"] == 60
    assert found["before"]["hours"]["cpu"] == pytest.approx(0.05)
    asks = [(row["group"], row["group_index"], row["needs"]) for row in found["tasks"]]
    assert asks == [(None, None, {"cpu": 1.0, "memory": 0.0})] * 3
    assert await execute_sql(call, rows) == known
    assert (await queues.queue_show(call, name="default"))["capacity"] == 1


async def test_settings_of_each_kind_are_steps_of_the_usual_verbs(call: Call):
    await fill(call)
    await queues.pool_set(call, name="default", resources={"gpu": 1})

    found = await suppose(
        call,
        "pools.default.total_cpu=3",
        'pool.default.resources."gpu"=4',
        "queue.default.priority=2",
        "task.3.priority=5",
        "task.3.resources.gpu=2",
        cancel=[2],
    )

    assert [" ".join(step["command"]) for step in found["steps"]] == [
        "taskdeck pool set default --cpu 3 --gpu 4",
        "taskdeck queue set default --priority 2",
        "taskdeck set 3 --priority 5 --gpu 2",
        "taskdeck cancel 2",
    ]
    assert {step["verb"] for step in found["steps"]} <= VERBS.keys()
    assert get_starts(found, "after") == {1: 60, 2: None, 3: 0}
    assert [row["change"] for row in found["tasks"]] == ["set", None, "cancelled"]
    for step in found["steps"]:
        await call_verb(call, step["verb"], step["args"])
    assert (await queues.pool_show(call, name="default"))["resources"] == {"gpu": 4}


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)  # a Friday


async def test_other_opening_hours_of_a_queue_start_its_tasks(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timestamps, "utcnow", lambda: NOW)
    await queues.queue_set(call, name="default", open="sun")
    await submit_task(call, timeout=60)

    for hours, soonest, latest in (("sat", 3600, 86400), ("always", 0, 0)):
        found = await suppose(call, f"queue.default.open={hours}")

        assert (get_starts(found, "before")[1] or 0) >= 3600
        assert soonest <= (get_starts(found, "after")[1] or 0) <= latest
        (step,) = found["steps"]
        assert step["command"] == ["taskdeck", "queue", "set", "default", "--open", hours]
        await call_verb(call, step["verb"], step["args"])
    assert (await queues.queue_show(call, name="default"))["open"] is None


async def test_new_tasks_join_with_their_dependencies(call: Call):
    await fill(call, 1)
    lines = [
        {"argv": ["a"], "name": "a", "priority": 3, "timeout": 10},
        {"argv": ["b"], "after": ["a"], "timeout": 5},
        {"argv": ["c"], "after": [1], "timeout": 5},
        {"argv": ["d"], "hold": True},
    ]

    found = await suppose(call, lines="\n".join(json.dumps(line) for line in lines))

    rows = {row["name"]: row for row in found["tasks"]}
    assert {name: row["after"]["start"] for name, row in rows.items()} == {
        "a": 0, "true": 10, "b": 70, "c": 75,
    }  # fmt: skip
    assert rows["a"]["number"] is None and rows["a"]["before"] is None
    assert found["held"] == 1 and found["steps"] == []
    assert await execute_sql(call, "SELECT count(*) FROM tasks") == [(1,)]


async def test_a_cancel_takes_dependents_along(call: Call):
    await fill(call, 2)
    await submit_task(call, after=[1], timeout=60)

    found = await suppose(call, cancel=[1])

    assert get_starts(found, "after") == {1: None, 2: 0, 3: None}


async def test_rules_that_tasks_would_miss_are_counted(call: Call):
    await fill(call, 2)
    await submit_task(call, timeout=60, after_start=[2])
    await slas.create(call, name="wait", preset="starts-within", value="30s")
    await slas.create(call, name="end", preset="finishes-within", value="90s", task="true")
    late = {"metric": "instance.queued_seconds", "op": ">", "value": "30s"}
    await slas.create(call, name="general", conditions={"scope": "instance", "when": late})
    due = {"deadline": {"reference": "queued_at", "offset": "100s"}}
    await slas.create(call, name="due", conditions={"scope": "instance", "when": due})

    found = await suppose(call, "queue.default.capacity=2")

    def list_missed(side: str) -> list[str]:
        return sorted(f"{one['rule']} {one['number']}" for one in found[side]["missed"])

    assert list_missed("before") == [
        "due 2", "due 3", "end 2", "end 3", "general 2", "general 3", "wait 2", "wait 3",
    ]  # fmt: skip
    assert list_missed("after") == ["due 3", "end 3", "general 3", "wait 3"]


async def test_a_cancel_takes_a_group(call: Call, worker: Any):
    await queues.queue_set(call, name="default", capacity=1)
    lines = [{"argv": ["true"], "timeout": 60} for _ in range(3)]
    group = await submit.submit(call, tasks=lines, group={"argv": ["true"]}, env={})
    await submit_task(call, timeout=60)
    await worker.run(1)

    found = await suppose(call, cancel=[group[0]["group"]])

    assert get_starts(found, "after") == {2: None, 3: None, 4: 0}


async def test_a_long_queue_is_simulated_in_part(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.service.what_if.forecast.MAX_TASKS", 2)
    monkeypatch.setattr("app.service.what_if.forecast.MIN_DEPTH", 2)
    await fill(call, 9)

    found = await suppose(call, "task.9.priority=3")

    assert (found["waiting"], found["simulated"]) == (9, 6)
    assert found["tasks"][0]["number"] == 9 and found["tasks"][0]["before"] is None


@pytest.mark.parametrize(
    ("setting", "problem", "said"),
    [
        ("pool.default.cpus=3", Usage, "Nearest: cpu."),
        ("pol.default.cpu=3", Usage, "Nearest: pool."),
        ("pool.default.cpu=much", Usage, 'cpu must be a number of cores'),
        ("pool.default.resources.gpu=x", Usage, "gpu must be a whole number"),
        ("queue.default.gpu=1", Usage, "no setting of a queue"),
        ("pool.defalt.cpu=3", NotFound, "Nearest: default."),
        ("queue.default.pool=gpus", NotFound, 'there is no pool "gpus"'),
        ("queue.defult.capacity=3", NotFound, "Nearest: default."),
        ("task.9.priority=3", NotFound, 'there is no task "9"'),
        ("task.1.memory=9999T", Problem, "memory"),
        ("capacity", Usage, "write KEY=VALUE"),
    ],
)  # fmt: skip
async def test_a_wrong_setting_is_refused_like_the_command(
    call: Call, setting: str, problem: type[Problem], said: str
):
    await submit_task(call)

    with pytest.raises(problem) as error:
        await suppose(call, setting)

    assert said in str(error.value)


async def test_ended_and_unknown_tasks_are_refused(call: Call, worker: Any):
    await submit_task(call)
    await worker.run(1)

    for args in ({"cancel": [1]}, {"settings": ["task.1.priority=2"]}):
        with pytest.raises(Conflict):
            await call_verb(call, "forecast", args)
    with pytest.raises(Usage, match="line 2: there is no option"):
        await suppose(call, lines='{"argv": ["a"]}\n{"argv": ["a"], "que": "x"}')


async def test_tasks_of_a_slurm_pool_are_not_simulated_and_told(
    runtime_call: Call, caller_notes: list[str]
):
    call = runtime_call
    await queues.pool_create(call, name="big", kind="slurm")
    await queues.queue_create(call, name="sims", pool="big")
    await submit_task(call, queue="sims", timeout=60)
    await fill(call, 1)

    found = await suppose(call, "queue.default.capacity=2")

    assert (found["simulated"], get_starts(found, "before").keys()) == (1, {2})
    assert caller_notes == ["Slurm decides when tasks of sims start: they are not simulated."]
    with pytest.raises(Usage, match="pool big is of kind slurm, which no forecast simulates"):
        await suppose(call, "pool.big.cpu=8")
