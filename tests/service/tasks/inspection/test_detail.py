"""Details of one task: reasons, suggestions, past runs, usage, relatives, rules, history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.core.board import RunUse
from app.core.schema import secrets
from app.service.board import show_board
from app.service.context import Call
from app.service.definitions import queues, slas, templates
from app.service.tasks.changes import actions
from app.service.tasks.inspection import dependencies, views
from app.service.tasks.inspection.detail import read_detail
from db import timestamps
from tests.service.calls import execute_sql, submit_task


async def create_template(call: Call, name: str = "crunch") -> None:
    schema = {"argv": ["crunch", "{{ n }}"]}
    await templates.create(
        call, name=name, engine="exec", schema=schema, cpu=2, memory="4G", timeout="1h"
    )


async def run_task(
    call: Call, worker: Any, *, seconds: float, cpu: float, peak: float, **spec: Any
) -> int:
    """Run a task with this duration and usage; return its number."""
    number = (await submit_task(call, **spec))["number"]
    await worker.run(number)
    used = (
        "UPDATE instances SET run_seconds = ?, cpu_seconds = ?, max_rss = ? WHERE task_id = (SELECT"
        " uuid FROM tasks WHERE number = ?)"
    )
    await execute_sql(call, used, seconds, cpu, peak, number)
    return number


async def test_a_waiting_task_has_reasons_and_suggestions_but_no_log(runtime_call: Call):
    await queues.queue_create(runtime_call, name="media", capacity=0, pool="default")
    await submit_task(runtime_call, queue="media")

    found = await read_detail(runtime_call, id=1)

    assert found["log"] is None
    assert found["why"]["reasons"][0]["code"] == "queue-full"
    cure = next(cure for cure in found["why"]["cures"] if cure["name"] == "queue")
    assert cure["command"] == ["taskdeck", "set", "1", "--queue", "default"]
    assert cure["gain"] == "it starts at once"
    done = await actions.set_(runtime_call, **cure["args"])
    assert done["done"][0]["number"] == 1
    assert (await read_detail(runtime_call, id=1))["task"]["queue"] == "default"


async def test_why_and_detail_offer_the_same_suggestions(call: Call, runtime_call: Call):
    await submit_task(call, hold=True)

    (why,) = await views.explain(runtime_call, ids=[1])
    (dead,) = await views.explain(call, ids=[1])

    assert [cure["name"] for cure in why["cures"]] == ["release"]
    assert (await read_detail(runtime_call, id=1))["why"]["cures"] == why["cures"]
    assert [cure["command"] for cure in dead["cures"]] == [["taskdeck", "serve", "--detach"]]


async def test_only_the_first_few_tasks_get_suggestions(runtime_call: Call):
    for _ in range(8):
        await submit_task(runtime_call, hold=True)

    found = await views.explain(runtime_call, ids=list(range(1, 9)))

    assert [len(one["cures"]) for one in found] == [1, 1, 1, 1, 1, 0, 0, 0]


async def test_past_runs_are_those_of_the_template_and_suggest_a_request(
    runtime_call: Call, worker: Any
):
    await create_template(runtime_call)
    for seconds in (100.0, 110.0, 120.0):
        await run_task(
            runtime_call,
            worker,
            seconds=seconds,
            cpu=60.0,
            peak=1000.0,
            template="crunch",
            parameters={"n": "1"},
        )
    await submit_task(runtime_call, template="crunch", parameters={"n": "2"})

    found = await read_detail(runtime_call, id=4)

    assert (found["past"]["of"], found["past"]["n"], found["past"]["usual"]["median"]) == (
        "template",
        3,
        110.0,
    )
    assert found["fit"] == {"cpu": 0.8, "memory": 1228.8}


async def test_past_runs_of_a_command_share_its_name_or_differ_in_digits(
    runtime_call: Call, worker: Any
):
    for number in range(3):
        await run_task(
            runtime_call, worker, seconds=10.0, cpu=5.0, peak=50.0, name=f"sweep-{number}"
        )
    for _ in range(3):
        await run_task(runtime_call, worker, seconds=20.0, cpu=5.0, peak=50.0, name="nightly")
    await submit_task(runtime_call, name="sweep-9")
    await submit_task(runtime_call, name="nightly")
    await submit_task(runtime_call, name="other-9")

    like, same, none = [
        (await read_detail(runtime_call, id=number))["past"] for number in (7, 8, 9)
    ]

    assert (like["of"], like["n"], like["usual"]["median"]) == ("like", 3, 10.0)
    assert (same["of"], same["n"], same["usual"]["median"]) == ("name", 3, 20.0)
    assert none is None


async def test_a_running_task_shows_its_usage_and_expected_end(
    runtime_call: Call, fake_runtime: Any, worker: Any
):
    await create_template(runtime_call)
    for _ in range(3):
        await run_task(
            runtime_call,
            worker,
            seconds=100.0,
            cpu=60.0,
            peak=100.0,
            template="crunch",
            parameters={"n": "1"},
        )
    await submit_task(runtime_call, template="crunch", parameters={"n": "2"})
    runid = await worker.start(4)
    fake_runtime.uses[runid] = RunUse(1.5, 900.0, 3, 1.9, 2000.0, 2.8, (1.0, 1.9), (10.0, 2000.0))

    found = await read_detail(runtime_call, id=4)

    assert found["why"] is None
    assert found["log"]["runs"][0]["runid"] == runid
    assert (found["use"]["processes"], found["use"]["most_memory"]) == (3, 2000.0)
    assert (await views.show(runtime_call, id=4))["use"] == found["use"] and (
        await views.show(runtime_call, id=3)
    )["use"] is None
    assert found["fit"]["memory"] == 2457.6
    assert 90.0 < found["ends_in"][0] <= found["ends_in"][1] <= 100.0


async def test_board_why_and_detail_agree_on_the_expected_end(runtime_call: Call, worker: Any):
    for number in range(3):
        await run_task(
            runtime_call, worker, seconds=100.0, cpu=60.0, peak=100.0, name=f"enc-{number}"
        )
    await queues.pool_set(runtime_call, name="default", cpu=1)
    await submit_task(runtime_call, name="enc-9")
    await worker.start(4)
    await submit_task(runtime_call, name="other")

    found, waits, (line,) = (
        await read_detail(runtime_call, id=4),
        await views.explain(runtime_call, ids=[5]),
        (await show_board(runtime_call))["running"],
    )

    assert 90.0 < found["ends_in"][0] <= found["ends_in"][1] <= 100.0
    assert 90.0 < line["left"] <= 100.0 and not line["at_most"]
    assert "#4 frees 1 in 1–2m" in waits[0]["reasons"][0]["text"]


@pytest.mark.parametrize(
    ("before", "name"), [(("sleep 0", "sleep 1", "sleep 2"), "sleep 600"), (("bash",) * 3, "bash")]
)
async def test_a_command_that_outlasts_its_past_runs_is_not_called_late(
    runtime_call: Call, worker: Any, before: tuple[str, ...], name: str
):  # fmt: skip
    for past in before:
        await run_task(runtime_call, worker, seconds=2.0, cpu=1.0, peak=100.0, name=past)
    await submit_task(runtime_call, name=name)
    await worker.start(4)
    begun = "UPDATE instances SET start_time = ? WHERE end_time IS NULL"
    await execute_sql(
        runtime_call, begun, timestamps.format_time(timestamps.utcnow() - timedelta(seconds=60))
    )

    found = await read_detail(runtime_call, id=4)

    assert found["past"]["n"] == 3 and found["ends_in"] is None
    assert [line["left"] for line in (await show_board(runtime_call))["running"]] == [None]


async def test_the_tree_shows_several_levels_in_both_directions(runtime_call: Call):
    await submit_task(runtime_call, name="a")
    await submit_task(runtime_call, name="b", after=[1])
    await submit_task(runtime_call, name="c", after=[2])
    await submit_task(runtime_call, name="d", after=[2, 3])

    found = (await read_detail(runtime_call, id=2))["tree"]

    assert [(line["depth"], line["name"]) for line in found["parents"]] == [(0, "a")]
    assert [(line["depth"], line["name"], line["again"]) for line in found["children"]] == [
        (0, "c", False), (1, "d", False), (0, "d", False),
    ]  # fmt: skip


async def test_the_tree_is_bounded_and_counts_the_rest(runtime_call: Call):
    await submit_task(runtime_call)
    for _ in range(dependencies.MAX_TASKS + 37):
        await submit_task(runtime_call, after=[1])
    chain = (await submit_task(runtime_call))["number"]
    for at in range(20):
        await submit_task(runtime_call, after=[chain + at])

    wide = (await read_detail(runtime_call, id=1))["tree"]["children"]
    deep = (await read_detail(runtime_call, id=chain))["tree"]["children"]

    assert (len(wide), wide[-1]) == (dependencies.MAX_TASKS + 1, {"depth": 0, "more": 37})
    assert (len(deep), deep[-1]) == (
        dependencies.MAX_LEVELS + 1,
        {"depth": dependencies.MAX_LEVELS, "more": 1},
    )


async def test_a_deleted_relative_is_marked(runtime_call: Call, worker: Any):
    await submit_task(runtime_call)
    await submit_task(runtime_call, after_any=[1])
    await worker.run(1)
    await actions.rm(runtime_call, ids=[1])

    (line,) = (await read_detail(runtime_call, id=2))["tree"]["parents"]

    assert (line["status"], line["kind"]) == ("removed", "any")


async def test_applicable_rules_show_their_deadlines(runtime_call: Call, worker: Any):
    await slas.create(
        runtime_call,
        name="mine",
        preset="finishes-within",
        value="45m",
        task="etl",
        severity="critical",
    )
    await slas.create(
        runtime_call, name="others", preset="finishes-within", value="45m", task="other"
    )
    await slas.create(
        runtime_call, name="tagged", preset="starts-within", value="10m", tag="env=prod"
    )
    await submit_task(runtime_call, name="etl", tags={"env": "prod"})
    await worker.run(1)

    found = await read_detail(runtime_call, id=1)

    created = timestamps.to_unix(found["task"]["created_at"])
    assert [(rule["name"], rule["severity"]) for rule in found["slas"]] == [
        ("mine", "critical"),
        ("tagged", "warning"),
    ]
    assert abs(found["slas"][0]["due"] - created - 45 * 60) < 0.01
    assert [rule["done"] is not None for rule in found["slas"]] == [True, True]
    assert not any(rule["late"] for rule in found["slas"])


async def test_only_operations_on_the_task_are_listed(runtime_call: Call):
    await submit_task(runtime_call)
    await submit_task(runtime_call)
    await actions.set_(runtime_call, ids=[1], fields={"priority": 5})
    await actions.set_(runtime_call, ids=[2], fields={"priority": 7})

    *_, act = found = (await read_detail(runtime_call, id=1))["acts"]

    assert [one["verb"] for one in found] == ["submit", "set priority"]
    assert act["by"] == "ann"
    assert (act["before"]["priority"], act["after"]["priority"]) == (0, 5)


async def test_secrets_are_masked_at_any_depth(runtime_call: Call):
    parameters = {"type": "object", "properties": {"db": {"type": "object"}}}
    await templates.create(
        runtime_call,
        name="deep",
        engine="exec",
        schema={"argv": ["x", "{{ db }}"]},
        parameters=parameters,
    )
    await submit_task(
        runtime_call,
        template="deep",
        parameters={"db": {"host": "h", "users": [{"password": "hunter2"}]}},
    )

    found = (await read_detail(runtime_call, id=1))["task"]

    assert found["parameters"]["db"]["host"] == "h"
    assert "hunter2" not in str(found)


async def test_deeply_nested_parameters_are_cut(runtime_call: Call):
    await submit_task(runtime_call)
    deep = "[" * 300 + "]" * 300
    await execute_sql(
        runtime_call, "UPDATE tasks SET parameters = ? WHERE number = 1", f'{{"x": {deep}}}'
    )

    found = await read_detail(runtime_call, id=1)

    assert str(found["task"]["parameters"]).count("[") == secrets.MAX_DEPTH
