"""Quarantine: an unreadable value stops only its own row."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.home import lock
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.service import board, operations, registry
from app.service.context import Call
from app.service.database.integrity import VALIDATORS
from app.service.definitions import slas
from app.service.tasks.changes import actions, retry
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from db.maintenance import integrity, quarantine, value_checks
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import RuntimeProcess, run_command, wait_until
from tests.service.calls import execute_sql, submit_task


async def run_all_rounds(dispatcher: Dispatcher) -> None:
    """Run dispatcher rounds until none asks for the next."""
    dispatcher.wake()
    while dispatcher._wake.is_set():
        dispatcher._wake.clear()
        await dispatcher.run_round()


async def show_task(call: Call, number: int) -> dict[str, Any]:
    return await views.show(call, id=number)


@pytest.mark.parametrize("column", ["launch", "parameters", "tags", "env"])
async def test_an_unreadable_task_is_held_and_the_others_start(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, column: str
):
    await submit_task(call)
    await submit_task(call)
    await execute_sql(call, f"UPDATE tasks SET {column} = '[\"argv\": ' WHERE number = 1")

    await run_all_rounds(dispatcher)
    await dispatcher.quarantine.search_everywhere()

    assert [run["env"]["TASKDECK_TASK"] for (run,) in fake_keeper.get_orders("spawn")] == (
        ["2"] if column in ("launch", "env") else ["1", "2"]
    )
    found = await show_task(call, 1)
    assert found["hold"] and found["held_by"] == f"taskdeck: its {column} cannot be read"
    (why,) = await views.explain(call, ids=[1])
    assert (await views.ls(call))["tasks"] and "release" not in [
        cure["verb"] for cure in why["cures"]
    ]
    told_of = {row["object"].split()[0]: row for row in await operations.ls(call, verb="set aside")}
    assert (told_of["task"]["object"], told_of["task"]["by"]) == ("task #1", "taskdeck")
    # a run copies the tags
    assert told_of.keys() == ({"task", "run"} if column == "tags" else {"task"})
    (kept,) = await execute_sql(call, "SELECT launch FROM tasks WHERE number = 1")
    assert json.loads(kept[0])["unreadable"] == {column: '["argv": '}


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "1",
        "2026-13-40T10:00:00.000000Z",
        "2026-11-25U10:00:00.000000Z",
        "0026-11-25T10:00:00.000000Z",
    ],
)
async def test_a_task_with_an_invalid_time_is_held(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, text: str
):
    await submit_task(call, at=3600)
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET not_before = ? WHERE number = 1", text)

    await run_all_rounds(dispatcher)

    assert [run["env"]["TASKDECK_TASK"] for (run,) in fake_keeper.get_orders("spawn")] == ["2"]
    assert ((await show_task(call, 1))["status"], (await show_task(call, 1))["not_before"]) == (
        "held",
        None,
    )


async def test_tasks_with_an_unreadable_environment_are_held_until_it_is_resubmitted(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):  # fmt: skip
    spec = {"argv": ["true"]}
    for value in ("1", "1", "2"):
        await submit.submit(call, tasks=[spec], env={"A": value})
    await execute_sql(
        call, "UPDATE environments SET variables = '{\"A\": 1' WHERE variables LIKE '%\"1\"%'"
    )

    await run_all_rounds(dispatcher)

    assert [run["env"]["A"] for (run,) in fake_keeper.get_orders("spawn")] == ["2"]
    assert [(await show_task(call, n))["held_by"] for n in (1, 2)] == [
        "taskdeck: its environment cannot be read"
    ] * 2
    (refused,) = (await actions.release(call, ids=[1]))["refused"]
    assert refused["message"].startswith("#1 stays held: its environment cannot be read. ")

    await submit.submit(call, tasks=[spec], env={"A": "1"})
    await actions.release(call, ids=[1, 2])
    for at in range(3):
        await run_all_rounds(dispatcher)
        dispatcher.handle_event(make_ended_event(fake_keeper.spawned_runs[at]))
    await run_all_rounds(dispatcher)

    assert [run["env"]["A"] for (run,) in fake_keeper.get_orders("spawn")] == ["2", "1", "1", "1"]


async def test_a_run_with_unreadable_times_continues_and_ends(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await submit_task(call, timeout=60)
    await run_all_rounds(dispatcher)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    dispatcher.handle_event(make_started_event(fake_keeper.spawned_runs[0], boot_at=now))
    await run_all_rounds(dispatcher)
    await execute_sql(call, "UPDATE instances SET start_time = 'x', deadline = 'y'")
    await submit_task(call)

    await run_all_rounds(dispatcher)
    await dispatcher.stop_overdue()
    assert len(fake_keeper.spawned_runs) == 2 and not fake_keeper.get_orders("stop")
    dispatcher.handle_event(make_ended_event(fake_keeper.spawned_runs[0]))
    await run_all_rounds(dispatcher)

    assert (await show_task(call, 1))["status"] == "succeeded"


async def test_a_quarantined_environment_is_reported_once_and_again_on_a_start(
    call: Call, dispatcher: Dispatcher
):
    await submit.submit(call, tasks=[{"argv": ["true"]}], env={"A": "1"})
    await execute_sql(call, "UPDATE environments SET variables = '{'")
    assert integrity.check_database(call.db.path) == [
        "1 row of environments without JSON in variables"
    ]

    assert await dispatcher.quarantine.search_everywhere() == [
        "task #1: its environment cannot be read, so it is held"
    ]
    assert (
        integrity.check_database(call.db.path)
        == value_checks.describe_image(call.db.path, lambda: None)
        == []
    )
    assert await call.db.write(integrity.repair_database) == [] and not await call.db.read(
        quarantine.has_unreadable, value_checks.IN_USE, VALIDATORS
    )

    await actions.cancel(call, ids=[1])
    await execute_sql(call, "UPDATE tasks SET hold = 0, held_by = NULL")
    await retry.retry(call, ids=[1])
    await run_all_rounds(dispatcher)
    assert (await show_task(call, 1))["held_by"] == "taskdeck: its environment cannot be read"
    assert integrity.check_database(call.db.path) == []


async def test_a_retry_does_not_guess_an_unreadable_command(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET launch = 'x'")
    await run_all_rounds(dispatcher)
    await actions.cancel(call, ids=[1])

    done = await retry.retry(call, ids=[1])
    await run_all_rounds(dispatcher)

    (refused,) = done["refused"]
    assert refused["message"].startswith(
        "#1 stays cancelled: its launch cannot be read. Submit it again. "
    )
    assert ((await show_task(call, 1))["status"], fake_keeper.spawned_runs) == ("cancelled", [])


@pytest.mark.parametrize(
    ("column", "stored"), [("launch", "launch = 'x'"), ("not_before", "not_before = 'soon'")]
)
async def test_an_unreadable_task_cannot_be_released_and_gives_advice(
    call: Call, dispatcher: Dispatcher, column: str, stored: str
):
    await submit_task(call)
    (held,) = (await registry.call_verb(call, "hold", {"ids": [1]}))["operations"]
    await execute_sql(call, f"UPDATE tasks SET {stored}")
    await dispatcher.quarantine.search()

    done = await actions.release(call, ids=[1])
    undone = await registry.call_verb(call, "undo", {"ids": [held]})

    (refused,) = done["refused"]
    assert refused["message"].startswith(
        f"#1 stays held: its {column} cannot be read. Submit it again, then: taskdeck cancel 1. "
    )
    assert not done["done"] and undone["refused"] and (await show_task(call, 1))["status"] == "held"


async def test_an_unreadable_descriptive_time_does_not_prevent_a_release(
    call: Call, dispatcher: Dispatcher
):
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET created_at = 'x'")
    await dispatcher.quarantine.search()

    assert (await actions.release(call, ids=[1]))["done"] and (await show_task(call, 1))[
        "status"
    ] == "queued"


async def test_readable_remains_are_shown_without_secrets(call: Call, dispatcher: Dispatcher):
    await submit_task(call)
    text = '{"a": "\x1b[31mred", "api_token": "abc", "api_tokens": ["d", "e"], "password": "xy'
    await execute_sql(call, "UPDATE tasks SET parameters = ?", text)
    await dispatcher.quarantine.search()
    await dispatcher.quarantine.search_everywhere()

    left = (await show_task(call, 1))["launch"]["unreadable"]["parameters"]

    assert left.startswith('{"a": "') and "red" in left and "\x1b" not in left
    assert left.endswith('"api_token": •••, "api_tokens": •••, "password": •••')


@pytest.mark.parametrize("conditions", ["{", "[]", '{"pr%set": "x"}'])
async def test_an_unreadable_rule_is_disabled_and_the_board_works(
    call: Call, dispatcher: Dispatcher, conditions: str
):
    await slas.create(call, name="late", preset="finishes-within", value="1h")
    await execute_sql(call, "UPDATE slas SET conditions = ?", conditions)

    assert await dispatcher.quarantine.search_everywhere() == [
        "sla late: its conditions cannot be read, so it is disabled"
    ]

    assert await board.show_status(call)
    assert [row["enabled"] for row in await slas.ls(call)] == [False]


async def test_samples_with_an_invalid_time_are_removed(call: Call, dispatcher: Dispatcher):
    await Duties(call.db, dispatcher, UsageSampler(call.home)).store_sample()
    await execute_sql(
        call, "UPDATE samples SET minute = 'r' || substr(minute, 2) WHERE kind = 'pool'"
    )

    await Duties(call.db, dispatcher, UsageSampler(call.home)).prepare()
    assert integrity.check_database(call.db.path) == ["1 row of samples without a time in minute"]
    (done,) = await dispatcher.quarantine.search_everywhere()

    assert (
        done.endswith(" of samples: its minute cannot be read, so it is removed")
        and integrity.check_database(call.db.path) == []
    )
    assert await call.db.read(board.read_board, call)


async def test_a_duty_that_fails_on_an_unreadable_value_recovers(
    call: Call, dispatcher: Dispatcher
):
    await submit_task(call)
    await slas.create(call, name="late", preset="finishes-within", value="1h")
    await execute_sql(call, "UPDATE slas SET conditions = 'x'")
    duties = Duties(call.db, dispatcher, UsageSampler(call.home))
    (duty,) = [duty for duty in duties.list_duties() if duty.name == "slas"]

    await duties._run_duty(duty)
    await duties._run_duty(duty)

    assert not [name for name in duties._problems if name.startswith("duty-")]


async def test_a_held_task_is_an_alert_until_it_is_gone(call: Call, dispatcher: Dispatcher):
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET launch = 'x'")
    duties = Duties(call.db, dispatcher, UsageSampler(call.home))

    await dispatcher.quarantine.search()
    await duties.reconcile()
    assert duties._problems["aside"].startswith(
        "task #1 cannot be read as it was stored, and is held"
    )

    await actions.cancel(call, ids=[1])
    await duties.reconcile()
    assert "aside" not in duties._problems


async def test_an_ended_task_becomes_readable_again(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await submit_task(call)
    await run_all_rounds(dispatcher)
    dispatcher.handle_event(make_ended_event(fake_keeper.spawned_runs[0]))
    await run_all_rounds(dispatcher)
    await execute_sql(
        call, "UPDATE tasks SET launch = 'x', ended_at = 'never', created_at = '', started_at = '?'"
    )

    assert await dispatcher.quarantine.search() == []
    assert await dispatcher.quarantine.search_everywhere() == [
        "task #1: its created_at and launch and started_at and ended_at cannot be read"
    ]

    found = await show_task(call, 1)
    assert (found["status"], found["hold"], found["ended_at"]) == (
        "succeeded",
        False,
        found["created_at"],
    )
    assert integrity.check_database(call.db.path) == []


async def test_an_unreadable_operation_does_not_hide_the_others(call: Call):
    await submit_task(call)
    await actions.hold(call, ids=[1])
    values = '(id, "by", verb, object, before, after, created_at, updated_at)'
    await execute_sql(
        call,
        f"INSERT INTO operations {values} VALUES (99, 'x', 'hold', 'task #1', '[', '{{',"
        " 'never', '')",
    )

    rows = await operations.ls(call)

    assert [row["id"] for row in rows][:2] == [99, 4]
    assert (rows[0]["before"], rows[0]["after"], rows[0]["at"]) == (
        None,
        None,
        "1970-01-01T00:00:00.000000Z",
    )
    assert await show_task(call, 1)


def change_while_stopped(living: RuntimeProcess, statement: str) -> None:
    """Change the database as another program while no runtime is running."""
    assert run_command(living.home, "stop").returncode == 0
    wait_until(lambda: not lock.is_held(living.home), "the runtime's end")
    with closing(sqlite3.connect(paths.get_database_path(living.home))) as c:
        c.execute(statement)
        c.commit()


def test_a_runtime_starts_over_unreadable_rows_and_reports_them_once(runtime: RuntimeProcess):
    past = runtime.submit("true")
    runtime.wait_for_end(past)
    runtime.call("queue.pause", name="default")
    tasks = [runtime.submit("true") for _ in range(3)]
    change_while_stopped(
        runtime, f"UPDATE tasks SET launch = '{{' WHERE number IN ({past}, {tasks[1]})"
    )
    without = run_command(runtime.home, "show", past)

    assert run_command(runtime.home, "serve", "--detach").returncode == 0
    runtime.call("queue.resume", name="default")

    assert [end["code"] for end in runtime.wait_for_end(tasks[0], tasks[2])] == [0, 0]
    assert runtime.show(tasks[1])["held_by"] == "taskdeck: its launch cannot be read"
    log_path = Path(paths.get_runtime_log_path(runtime.home))
    assert f"task #{tasks[1]}: its launch cannot be read, so it is held" in log_path.read_text()

    first, again = (run_command(runtime.home, "show", past) for _ in range(2))

    assert (
        without.returncode == 5
        and "has problems (2 rows of tasks without JSON in launch)" in without.stderr
    )
    if first.returncode:  # otherwise the search indexer read the row first
        assert (
            first.returncode == 5
            and "were quarantined (task #1: its launch cannot be read). Try again." in first.stderr
        )
    assert log_path.read_text().count("quarantined: task #1: its launch cannot be read") == 1
    assert again.returncode == 0
