"""All about one task in one answer: why and what could help, its past, its use, its kin, its rules, who changed it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.core.board import RunUse
from app.core.schema import secrets
from app.service.board import board
from app.service.context import Call
from app.service.definitions import queues, slas, templates
from app.service.tasks import actions, dependencies, views
from app.service.tasks.detail import about
from db import timestamps
from tests.service.calls import execute, submitted


async def template(call: Call, name: str = "crunch") -> None:
    schema = {"argv": ["crunch", "{{ n }}"]}
    await templates.create(call, name=name, engine="exec", schema=schema, cpu=2, memory="4G", timeout="1h")


async def ran(call: Call, worker: Any, *, seconds: float, cpu: float, peak: float, **spec: Any) -> int:
    """A task that ran so long and took so much; its number."""
    number = (await submitted(call, **spec))["number"]
    await worker.run(number)
    used = "UPDATE instances SET run_seconds = ?, cpu_seconds = ?, max_rss = ? WHERE task_id = (SELECT uuid FROM tasks WHERE number = ?)"
    await execute(call, used, seconds, cpu, peak, number)
    return number


async def test_a_waiting_task_comes_with_why_and_what_could_help_and_no_log(live: Call):
    await queues.queue_create(live, name="media", capacity=0, pool="default")
    await submitted(live, queue="media")

    found = await about(live, id=1)

    assert found["log"] is None
    assert found["why"]["reasons"][0]["code"] == "queue-full"
    cure = next(cure for cure in found["why"]["cures"] if cure["name"] == "queue")
    assert cure["command"] == ["taskdeck", "set", "1", "--queue", "default"]
    assert cure["gain"] == "it starts at once"
    done = await actions.set_(live, **cure["args"])
    assert done["done"][0]["number"] == 1
    assert (await about(live, id=1))["task"]["queue"] == "default"


async def test_why_and_about_offer_the_same_and_without_a_runtime_to_start_one(call: Call, live: Call):
    await submitted(call, hold=True)

    (why,) = await views.why(live, ids=[1])
    (dead,) = await views.why(call, ids=[1])

    assert [cure["name"] for cure in why["cures"]] == ["release"]
    assert (await about(live, id=1))["why"]["cures"] == why["cures"]
    assert [cure["command"] for cure in dead["cures"]] == [["taskdeck", "serve", "--detach"]]


async def test_cures_are_worked_out_for_the_first_few_of_many(live: Call):
    for _ in range(8):
        await submitted(live, hold=True)

    found = await views.why(live, ids=list(range(1, 9)))

    assert [len(one["cures"]) for one in found] == [1, 1, 1, 1, 1, 0, 0, 0]


async def test_past_runs_are_those_of_the_template_and_say_what_to_ask_for(live: Call, worker: Any):
    await template(live)
    for seconds in (100.0, 110.0, 120.0):
        await ran(live, worker, seconds=seconds, cpu=60.0, peak=1000.0, template="crunch", parameters={"n": "1"})
    await submitted(live, template="crunch", parameters={"n": "2"})

    found = await about(live, id=4)

    assert (found["past"]["of"], found["past"]["n"], found["past"]["usual"]["median"]) == ("template", 3, 110.0)
    assert found["fit"] == {"cpu": 0.8, "memory": 1228.8}


async def test_past_runs_of_a_command_are_those_of_its_name_else_of_names_that_differ_in_digits(live: Call, worker: Any):
    for number in range(3):
        await ran(live, worker, seconds=10.0, cpu=5.0, peak=50.0, name=f"sweep-{number}")
    for _ in range(3):
        await ran(live, worker, seconds=20.0, cpu=5.0, peak=50.0, name="nightly")
    await submitted(live, name="sweep-9")
    await submitted(live, name="nightly")
    await submitted(live, name="other-9")

    like, same, none = [(await about(live, id=number))["past"] for number in (7, 8, 9)]

    assert (like["of"], like["n"], like["usual"]["median"]) == ("like", 3, 10.0)
    assert (same["of"], same["n"], same["usual"]["median"]) == ("name", 3, 20.0)
    assert none is None


async def test_a_running_task_tells_its_use_and_when_it_usually_ends_and_asks_no_less_than_it_needs(live: Call, up: Any, worker: Any):
    await template(live)
    for _ in range(3):
        await ran(live, worker, seconds=100.0, cpu=60.0, peak=100.0, template="crunch", parameters={"n": "1"})
    await submitted(live, template="crunch", parameters={"n": "2"})
    runid = await worker.start(4)
    up.uses[runid] = RunUse(1.5, 900.0, 3, 1.9, 2000.0, 2.8, (1.0, 1.9), (10.0, 2000.0))

    found = await about(live, id=4)

    assert found["why"] is None
    assert found["log"]["runs"][0]["runid"] == runid
    assert (found["use"]["processes"], found["use"]["most_memory"]) == (3, 2000.0)
    assert (await views.show(live, id=4))["use"] == found["use"] and (await views.show(live, id=3))["use"] is None
    assert found["fit"]["memory"] == 2457.6
    assert 90.0 < found["ends_in"][0] <= found["ends_in"][1] <= 100.0


async def test_the_end_of_a_command_is_known_to_the_board_to_why_and_to_its_screen_alike(live: Call, worker: Any):
    for number in range(3):
        await ran(live, worker, seconds=100.0, cpu=60.0, peak=100.0, name=f"enc-{number}")
    await queues.pool_set(live, name="default", cpu=1)
    await submitted(live, name="enc-9")
    await worker.start(4)
    await submitted(live, name="other")

    found, waits, (line,) = await about(live, id=4), await views.why(live, ids=[5]), (await board(live))["running"]

    assert 90.0 < found["ends_in"][0] <= found["ends_in"][1] <= 100.0
    assert 90.0 < line["left"] <= 100.0 and not line["at_most"]
    assert "#4 frees 1 in ~2m" in waits[0]["reasons"][0]["text"]


@pytest.mark.parametrize(("before", "name"), [(("sleep 0", "sleep 1", "sleep 2"), "sleep 600"), (("bash",) * 3, "bash")])
async def test_what_took_longer_than_commands_of_its_name_did_is_not_called_late_by_them(
    live: Call, worker: Any, before: tuple[str, ...], name: str
):  # fmt: skip
    for past in before:
        await ran(live, worker, seconds=2.0, cpu=1.0, peak=100.0, name=past)
    await submitted(live, name=name)
    await worker.start(4)
    begun = "UPDATE instances SET start_time = ? WHERE end_time IS NULL"
    await execute(live, begun, timestamps.stamp(timestamps.utcnow() - timedelta(seconds=60)))

    found = await about(live, id=4)

    assert found["past"]["n"] == 3 and found["ends_in"] is None
    assert [line["left"] for line in (await board(live))["running"]] == [None]


async def test_a_tree_tells_several_levels_in_both_directions(live: Call):
    await submitted(live, name="a")
    await submitted(live, name="b", after=[1])
    await submitted(live, name="c", after=[2])
    await submitted(live, name="d", after=[2, 3])

    found = (await about(live, id=2))["tree"]

    assert [(line["depth"], line["name"]) for line in found["parents"]] == [(0, "a")]
    assert [(line["depth"], line["name"], line["again"]) for line in found["children"]] == [
        (0, "c", False), (1, "d", False), (0, "d", False),
    ]  # fmt: skip


async def test_a_tree_is_bounded_and_counts_what_it_leaves_out(live: Call):
    await submitted(live)
    for _ in range(dependencies.MOST + 37):
        await submitted(live, after=[1])
    chain = (await submitted(live))["number"]
    for at in range(20):
        await submitted(live, after=[chain + at])

    wide = (await about(live, id=1))["tree"]["children"]
    deep = (await about(live, id=chain))["tree"]["children"]

    assert (len(wide), wide[-1]) == (dependencies.MOST + 1, {"depth": 0, "more": 37})
    assert (len(deep), deep[-1]) == (dependencies.LEVELS + 1, {"depth": dependencies.LEVELS, "more": 1})


async def test_a_relative_that_was_removed_says_so(live: Call, worker: Any):
    await submitted(live)
    await submitted(live, after_any=[1])
    await worker.run(1)
    await actions.rm(live, ids=[1])

    (line,) = (await about(live, id=2))["tree"]["parents"]

    assert (line["status"], line["kind"]) == ("removed", "any")


async def test_rules_that_a_task_must_keep_tell_when_it_is_due(live: Call, worker: Any):
    await slas.create(live, name="mine", preset="finishes-within", value="45m", task="etl", severity="critical")
    await slas.create(live, name="others", preset="finishes-within", value="45m", task="other")
    await slas.create(live, name="tagged", preset="starts-within", value="10m", tag="env=prod")
    await submitted(live, name="etl", tags={"env": "prod"})
    await worker.run(1)

    found = await about(live, id=1)

    created = timestamps.unix(found["task"]["created_at"])
    assert [(rule["name"], rule["severity"]) for rule in found["slas"]] == [("mine", "critical"), ("tagged", "warning")]
    assert abs(found["slas"][0]["due"] - created - 45 * 60) < 0.01
    assert [rule["done"] is not None for rule in found["slas"]] == [True, True]
    assert not any(rule["late"] for rule in found["slas"])


async def test_who_changed_what_of_a_task_is_told_and_nothing_of_others(live: Call):
    await submitted(live)
    await submitted(live)
    await actions.set_(live, ids=[1], fields={"priority": 5})
    await actions.set_(live, ids=[2], fields={"priority": 7})

    *_, act = found = (await about(live, id=1))["acts"]

    assert [one["verb"] for one in found] == ["submit", "set priority"]
    assert act["by"] == "ann"
    assert (act["before"]["priority"], act["after"]["priority"]) == (0, 5)


async def test_secrets_are_masked_however_deep_they_lie(live: Call):
    parameters = {"type": "object", "properties": {"db": {"type": "object"}}}
    await templates.create(live, name="deep", engine="exec", schema={"argv": ["x", "{{ db }}"]}, parameters=parameters)
    await submitted(live, template="deep", parameters={"db": {"host": "h", "users": [{"password": "hunter2"}]}})

    found = (await about(live, id=1))["task"]

    assert found["parameters"]["db"]["host"] == "h"
    assert "hunter2" not in str(found)


async def test_parameters_nested_beyond_all_measure_are_cut_not_a_failure(live: Call):
    await submitted(live)
    deep = "[" * 300 + "]" * 300
    await execute(live, "UPDATE tasks SET parameters = ? WHERE number = 1", f'{{"x": {deep}}}')

    found = await about(live, id=1)

    assert str(found["task"]["parameters"]).count("[") == secrets.DEEPEST
