"""A value that cannot be read stops what has it, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.home import lock
from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.quarantine import _any
from app.runtime.usage import Usage
from app.service import board, operations, registry
from app.service.context import Call
from app.service.definitions import slas
from app.service.tasks import actions, submit, views
from db.maintenance import integrity, value_checks
from tests.runtime.conftest import Told, ended, started
from tests.runtime_process import Living, command, until
from tests.service.calls import execute, submitted


async def rounds(dispatcher: Dispatcher) -> None:
    """Rounds until none asks for the next."""
    dispatcher.wake()
    while dispatcher._wake.is_set():
        dispatcher._wake.clear()
        await dispatcher.round()


async def shown(call: Call, number: int) -> dict[str, Any]:
    return await views.show(call, id=number)


@pytest.mark.parametrize("column", ["launch", "parameters", "tags", "env"])
async def test_a_task_that_cannot_be_read_is_held_and_the_others_start(call: Call, dispatcher: Dispatcher, told: Told, column: str):
    await submitted(call)
    await submitted(call)
    await execute(call, f"UPDATE tasks SET {column} = '[\"argv\": ' WHERE number = 1")

    await rounds(dispatcher)
    await dispatcher.aside.anywhere()

    assert [run["env"]["TASKDECK_TASK"] for (run,) in told.of("spawn")] == (["2"] if column in ("launch", "env") else ["1", "2"])
    found = await shown(call, 1)
    assert found["hold"] and found["held_by"] == f"taskdeck: its {column} cannot be read"
    (why,) = await views.why(call, ids=[1])
    assert (await views.ls(call))["tasks"] and "release" not in [cure["verb"] for cure in why["cures"]]
    told_of = {row["object"].split()[0]: row for row in await operations.ls(call, verb="set aside")}
    assert (told_of["task"]["object"], told_of["task"]["by"]) == ("task #1", "taskdeck")
    assert told_of.keys() == ({"task", "run"} if column == "tags" else {"task"})  # a run takes the tags over
    (kept,) = await execute(call, "SELECT launch FROM tasks WHERE number = 1")
    assert json.loads(kept[0])["unreadable"] == {column: '["argv": '}


@pytest.mark.parametrize(
    "text", ["soon", "1", "2026-13-40T10:00:00.000000Z", "2026-11-25U10:00:00.000000Z", "0026-11-25T10:00:00.000000Z"]
)
async def test_a_task_of_no_time_is_held_and_does_not_start(call: Call, dispatcher: Dispatcher, told: Told, text: str):
    await submitted(call, at=3600)
    await submitted(call)
    await execute(call, "UPDATE tasks SET not_before = ? WHERE number = 1", text)

    await rounds(dispatcher)

    assert [run["env"]["TASKDECK_TASK"] for (run,) in told.of("spawn")] == ["2"]
    assert ((await shown(call, 1))["status"], (await shown(call, 1))["not_before"]) == ("held", None)


async def test_who_waits_in_an_environment_that_cannot_be_read_is_held_and_the_same_brings_it_back(
    call: Call, dispatcher: Dispatcher, told: Told
):  # fmt: skip
    spec = {"argv": ["true"]}
    for value in ("1", "1", "2"):
        await submit.submit(call, tasks=[spec], env={"A": value})
    await execute(call, "UPDATE environments SET variables = '{\"A\": 1' WHERE variables LIKE '%\"1\"%'")

    await rounds(dispatcher)

    assert [run["env"]["A"] for (run,) in told.of("spawn")] == ["2"]
    assert [(await shown(call, n))["held_by"] for n in (1, 2)] == ["taskdeck: its environment cannot be read"] * 2
    (refused,) = (await actions.release(call, ids=[1]))["refused"]
    assert refused["message"].startswith("#1 stays held: its environment cannot be read, and it would start without. ")

    await submit.submit(call, tasks=[spec], env={"A": "1"})
    await actions.release(call, ids=[1, 2])
    for at in range(3):
        await rounds(dispatcher)
        dispatcher.hear(ended(told.spawned[at]))
    await rounds(dispatcher)

    assert [run["env"]["A"] for (run,) in told.of("spawn")] == ["2", "1", "1", "1"]


async def test_a_run_whose_times_cannot_be_read_goes_on_and_ends(call: Call, dispatcher: Dispatcher, told: Told):
    await submitted(call, timeout=60)
    await rounds(dispatcher)
    dispatcher.hear(started(told.spawned[0]))
    await rounds(dispatcher)
    await execute(call, "UPDATE instances SET start_time = 'x', deadline = 'y'")
    await submitted(call)

    await rounds(dispatcher)
    await dispatcher.stop_overdue()
    assert len(told.spawned) == 2 and not told.of("stop")
    dispatcher.hear(ended(told.spawned[0]))
    await rounds(dispatcher)

    assert (await shown(call, 1))["status"] == "succeeded"


async def test_an_environment_that_was_set_aside_is_told_once_and_again_when_a_task_would_start_in_it(call: Call, dispatcher: Dispatcher):
    await submit.submit(call, tasks=[{"argv": ["true"]}], env={"A": "1"})
    await execute(call, "UPDATE environments SET variables = '{'")
    assert integrity.check(call.db.path) == ["1 row of environments without JSON in variables"]

    assert await dispatcher.aside.anywhere() == ["task #1: its environment cannot be read, so it is held"]
    assert integrity.check(call.db.path) == value_checks.of_image(call.db.path, lambda: None) == []
    assert await call.db.write(integrity.repair) == [] and not await call.db.read(_any, False)

    await actions.cancel(call, ids=[1])
    await execute(call, "UPDATE tasks SET hold = 0, held_by = NULL")
    await actions.retry(call, ids=[1])
    await rounds(dispatcher)
    assert (await shown(call, 1))["held_by"] == "taskdeck: its environment cannot be read"
    assert integrity.check(call.db.path) == []


async def test_what_a_task_should_run_is_not_guessed_when_it_is_asked_to_run_again(call: Call, dispatcher: Dispatcher, told: Told):
    await submitted(call)
    await execute(call, "UPDATE tasks SET launch = 'x'")
    await rounds(dispatcher)
    await actions.cancel(call, ids=[1])

    done = await actions.retry(call, ids=[1])
    await rounds(dispatcher)

    (refused,) = done["refused"]
    assert refused["message"].startswith("#1 stays cancelled: its launch cannot be read, and it would start without. Submit it anew. ")
    assert ((await shown(call, 1))["status"], told.spawned) == ("cancelled", [])


@pytest.mark.parametrize(("column", "stored"), [("launch", "launch = 'x'"), ("not_before", "not_before = 'soon'")])
async def test_what_cannot_be_read_is_not_released_and_says_what_to_do(call: Call, dispatcher: Dispatcher, column: str, stored: str):
    await submitted(call)
    (held,) = (await registry.answer(call, "hold", {"ids": [1]}))["operations"]
    await execute(call, f"UPDATE tasks SET {stored}")
    await dispatcher.aside.look()

    done = await actions.release(call, ids=[1])
    undone = await registry.answer(call, "undo", {"ids": [held]})

    (refused,) = done["refused"]
    assert refused["message"].startswith(
        f"#1 stays held: its {column} cannot be read, and it would start without. Submit it anew, then: taskdeck cancel 1. "
    )
    assert not done["done"] and undone["refused"] and (await shown(call, 1))["status"] == "held"


async def test_a_time_that_only_tells_something_keeps_no_task_from_being_released(call: Call, dispatcher: Dispatcher):
    await submitted(call)
    await execute(call, "UPDATE tasks SET created_at = 'x'")
    await dispatcher.aside.look()

    assert (await actions.release(call, ids=[1]))["done"] and (await shown(call, 1))["status"] == "queued"


async def test_what_is_left_of_it_is_shown_without_its_secrets(call: Call, dispatcher: Dispatcher):
    await submitted(call)
    text = '{"a": "\x1b[31mred", "api_token": "abc", "tokens": ["d", "e"], "password": "xy'
    await execute(call, "UPDATE tasks SET parameters = ?", text)
    await dispatcher.aside.look()
    await dispatcher.aside.anywhere()

    left = (await shown(call, 1))["launch"]["unreadable"]["parameters"]

    assert left.startswith('{"a": "') and "red" in left and "\x1b" not in left
    assert left.endswith('"api_token": •••, "tokens": •••, "password": •••')


@pytest.mark.parametrize("conditions", ["{", "[]", '{"pr%set": "x"}'])
async def test_a_rule_that_cannot_be_read_is_disabled_and_the_board_is_there(call: Call, dispatcher: Dispatcher, conditions: str):
    await slas.create(call, name="late", preset="finishes-within", value="1h")
    await execute(call, "UPDATE slas SET conditions = ?", conditions)

    assert await dispatcher.aside.anywhere() == ["sla late: its conditions cannot be read, so it is disabled"]

    assert await board.status(call)
    assert [row["enabled"] for row in await slas.ls(call)] == [False]


async def test_figures_of_no_time_keep_no_runtime_from_coming_up_and_are_removed(call: Call, dispatcher: Dispatcher):
    await Duties(call.db, dispatcher, Usage(call.home)).sample()
    await execute(call, "UPDATE samples SET minute = 'r' || substr(minute, 2) WHERE kind = 'pool'")

    await Duties(call.db, dispatcher, Usage(call.home)).begin()
    assert integrity.check(call.db.path) == ["1 row of samples without a time in minute"]
    (done,) = await dispatcher.aside.anywhere()

    assert done.endswith(" of samples: its minute cannot be read, so it is removed") and integrity.check(call.db.path) == []
    assert await call.db.read(board.read, call)


async def test_a_duty_that_fails_over_such_a_value_does_not_the_next_time(call: Call, dispatcher: Dispatcher):
    await submitted(call)
    await slas.create(call, name="late", preset="finishes-within", value="1h")
    await execute(call, "UPDATE slas SET conditions = 'x'")
    duties = Duties(call.db, dispatcher, Usage(call.home))
    (duty,) = [duty for duty in duties.table() if duty.name == "slas"]

    await duties._guarded(duty)
    await duties._guarded(duty)

    assert not [name for name in duties._problems if name.startswith("duty-")]


async def test_a_held_one_is_an_alert_until_it_is_gone(call: Call, dispatcher: Dispatcher):
    await submitted(call)
    await execute(call, "UPDATE tasks SET launch = 'x'")
    duties = Duties(call.db, dispatcher, Usage(call.home))

    await dispatcher.aside.look()
    await duties.reconcile()
    assert duties._problems["aside"].startswith("task #1 cannot be read as it was stored, and is held")

    await actions.cancel(call, ids=[1])
    await duties.reconcile()
    assert "aside" not in duties._problems


async def test_a_task_that_ended_can_be_read_again(call: Call, dispatcher: Dispatcher, told: Told):
    await submitted(call)
    await rounds(dispatcher)
    dispatcher.hear(ended(told.spawned[0]))
    await rounds(dispatcher)
    await execute(call, "UPDATE tasks SET launch = 'x', ended_at = 'never', created_at = '', started_at = '?'")

    assert await dispatcher.aside.look() == []
    assert await dispatcher.aside.anywhere() == ["task #1: its created_at and launch and started_at and ended_at cannot be read"]

    found = await shown(call, 1)
    assert (found["status"], found["hold"], found["ended_at"]) == ("succeeded", False, found["created_at"])
    assert integrity.check(call.db.path) == []


async def test_an_operation_that_cannot_be_read_keeps_no_other_from_being_told(call: Call):
    await submitted(call)
    await actions.hold(call, ids=[1])
    values = '(id, "by", verb, object, before, after, created_at, updated_at)'
    await execute(call, f"INSERT INTO operations {values} VALUES (99, 'x', 'hold', 'task #1', '[', '{{', 'never', '')")

    rows = await operations.ls(call)

    assert [row["id"] for row in rows][:2] == [99, 4]
    assert (rows[0]["before"], rows[0]["after"], rows[0]["at"]) == (None, None, "1970-01-01T00:00:00.000000Z")
    assert await shown(call, 1)


def _change(living: Living, statement: str) -> None:
    """A change of the database by another program, while no runtime has it."""
    assert command(living.home, "stop").returncode == 0
    until(lambda: not lock.held(living.home), "the runtime's end")
    with closing(sqlite3.connect(paths.database(living.home))) as c:
        c.execute(statement)
        c.commit()


def test_a_runtime_comes_up_over_what_cannot_be_read_the_rest_runs_and_what_is_of_the_past_is_told_once_with_what_to_do(runtime: Living):
    past = runtime.submit("true")
    runtime.ended(past)
    runtime.call("queue.pause", name="default")
    tasks = [runtime.submit("true") for _ in range(3)]
    _change(runtime, f"UPDATE tasks SET launch = '{{' WHERE number IN ({past}, {tasks[1]})")
    without = command(runtime.home, "show", past)

    assert command(runtime.home, "serve", "--detach").returncode == 0
    runtime.call("queue.resume", name="default")

    assert [end["code"] for end in runtime.ended(tasks[0], tasks[2])] == [0, 0]
    assert runtime.show(tasks[1])["held_by"] == "taskdeck: its launch cannot be read"
    assert f"task #{tasks[1]}: its launch cannot be read, so it is held" in Path(paths.runtime_log(runtime.home)).read_text()

    first, again = (command(runtime.home, "show", past) for _ in range(2))

    assert without.returncode == 5 and "not in order (2 rows of tasks without JSON in launch)" in without.stderr
    assert first.returncode == 5 and "was set aside (task #1: its launch cannot be read). Try again." in first.stderr
    assert again.returncode == 0
