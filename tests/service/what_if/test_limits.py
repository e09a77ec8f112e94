"""Supposed limits of tags and groups."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import NotFound, Problem, Usage
from app.service.context import Call
from app.service.definitions import limits, queues
from app.service.registry import call_verb
from app.service.tasks.submission import submit
from tests.service.calls import submit_task


async def suppose(call: Call, *settings: str) -> dict[str, Any]:
    return await call_verb(call, "forecast", {"settings": list(settings)})


def list_starts(found: dict[str, Any], side: str) -> list[float | None]:
    rows = sorted(found["tasks"], key=lambda row: row["number"])
    return [row[side]["start"] for row in rows]


async def fill(call: Call) -> None:
    await queues.queue_set(call, name="default", capacity=4)
    await queues.pool_set(call, name="default", cpu=8)
    await limits.set_(call, name="team", running=1)
    for _ in range(3):
        await submit_task(call, timeout=60, tags={"team": "a"})


async def test_a_higher_limit_of_a_tag_starts_tasks_sooner(call: Call):
    await fill(call)

    found = await suppose(call, "limit.team=a.running=2")

    assert list_starts(found, "before") == [0, 60, 120]
    assert list_starts(found, "after") == [0, 0, 60]
    (step,) = found["steps"]
    assert step["command"] == ["taskdeck", "limit", "set", "team=a", "--running", "2"]
    await call_verb(call, step["verb"], step["args"])
    assert (await limits.show(call, name="team=a"))["running"] == 2


async def test_a_limit_of_each_value_and_of_a_group_may_change(call: Call):
    await fill(call)
    tasks = [{"argv": ["true"], "timeout": 60}] * 2
    await submit.submit(call, tasks=tasks, env={}, group={"name": "x", "max_running": 1})

    found = await suppose(call, "limit.team.cpu=2", "limits.team.running=3", "limit.g1.running=2")

    assert list_starts(found, "before") == [0, 60, 120, 0, 60]
    assert list_starts(found, "after") == [0, 0, 60, 0, 0]
    assert [" ".join(step["command"][1:]) for step in found["steps"]] == [
        "limit set team --running 3 --cpu 2", "set g1 --max-running 2"
    ]  # fmt: skip
    for step in found["steps"]:
        await call_verb(call, step["verb"], step["args"])


@pytest.mark.parametrize(
    ("setting", "problem", "said"),
    [
        ("limit.teem=a.running=2", NotFound, "Nearest: team."),
        ("limit.g7.running=2", NotFound, 'there is no limit "g7", and'),
        ("limit.team=a.running=x", Usage, "running must be"),
        ("limit.team=a", Usage, "is no setting of a limit"),
        ("limit.team=a.capacity=2", Usage, "is no setting of a limit"),
    ],
)
async def test_a_wrong_limit_is_refused(
    call: Call, setting: str, problem: type[Problem], said: str
):
    await limits.set_(call, name="team", running=1)

    with pytest.raises(problem) as error:
        await suppose(call, setting)

    assert said in str(error.value)
