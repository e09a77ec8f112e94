"""Values of the database that cannot be read: the task is held, or dispatching halts."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from app import paths
from app.home import lock
from app.runtime.dispatch import dispatcher as dispatcher_module
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.service import operations
from app.service.context import Call
from app.service.definitions import slas
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from db.maintenance import integrity
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import RuntimeProcess, run_command, wait_until
from tests.service.calls import execute_sql, submit_task

HELD_BY = "taskdeck: its launch data cannot be read"


async def run_all_rounds(dispatcher: Dispatcher) -> None:
    """Run dispatcher rounds until none asks for the next."""
    dispatcher.wake()
    while dispatcher._wake.is_set():
        dispatcher._wake.clear()
        await dispatcher.run_round()


def list_spawned(fake_keeper: FakeKeeper) -> list[str]:
    return [run["env"]["TASKDECK_TASK"] for (run,) in fake_keeper.get_orders("spawn")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tasks SET launch = '[\"argv\": ' WHERE number = 1",
        "UPDATE tasks SET env = '[]' WHERE number = 1",
        "UPDATE environments SET variables = 'null' WHERE variables LIKE '%\"1\"%'",
    ],
)
async def test_a_task_that_cannot_be_started_is_held_and_the_others_start(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, change: str
):
    for value in ("1", "2"):
        await submit.submit(call, tasks=[{"argv": ["true"]}], env={"A": value})
    await execute_sql(call, change)

    await run_all_rounds(dispatcher)

    assert list_spawned(fake_keeper) == ["2"] and dispatcher.halted is None
    (held,) = await execute_sql(call, "SELECT status, held_by FROM tasks WHERE number = 1")
    assert tuple(held) == ("held", HELD_BY)
    assert len(integrity.check_database(call.db.path)) == 1, "its value stays as it was"


async def test_another_unreadable_value_halts_dispatching_and_ends_are_stored(
    call: Call,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    await submit_task(call)
    await run_all_rounds(dispatcher)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    dispatcher.handle_event(make_started_event(fake_keeper.spawned_runs[0], boot_at=now))
    await run_all_rounds(dispatcher)
    await submit_task(call, at=3600)
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET not_before = '0' WHERE number = 2")

    dispatcher.handle_event(make_ended_event(fake_keeper.spawned_runs[0]))
    for _ in range(3):
        await run_all_rounds(dispatcher)

    value = "tasks.not_before cannot be read where number = 2"
    assert (dispatcher.halted or "").startswith(
        f"database damaged ({value}; see: taskdeck db check) since "
    )
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == [value]
    assert list_spawned(fake_keeper) == ["1"]
    assert (await views.show(call, id=1))["status"] == "succeeded"

    duties = Duties(call.db, dispatcher, UsageSampler(call.home))
    await duties.measure()
    assert dispatcher.halted is not None
    await execute_sql(call, "UPDATE tasks SET not_before = NULL WHERE number = 2")
    monkeypatch.setattr(dispatcher_module, "SEARCH_INTERVAL", 0.0)
    await duties.measure()
    await run_all_rounds(dispatcher)
    assert dispatcher.halted is None and "3" in list_spawned(fake_keeper)


@pytest.mark.parametrize("conditions", ["{", '{"pr%set": "x"}'])
async def test_a_duty_that_fails_on_an_unreadable_value_halts_dispatching(
    call: Call, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture, conditions: str
):
    await submit_task(call)
    await slas.create(call, name="late", preset="finishes-within", value="1h")
    await execute_sql(call, "UPDATE slas SET conditions = ?", conditions)
    duties = Duties(call.db, dispatcher, UsageSampler(call.home))
    (duty,) = [duty for duty in duties.list_duties() if duty.name == "slas"]

    await duties._run_duty(duty)
    await duties._run_duty(duty)

    assert (dispatcher.halted or "").startswith(
        "database damaged (slas.conditions cannot be read where name = 'late'; "
    )
    assert not [name for name in duties._problems if name.startswith("duty-")]
    assert "Traceback" not in caplog.text


async def test_an_unreadable_operation_does_not_hide_the_others(call: Call):
    await submit_task(call)
    await actions.hold(call, ids=[1])
    values = '(id, "by", verb, object, before, after, created_at, updated_at)'
    await execute_sql(
        call,
        f"INSERT INTO operations {values} VALUES (99, 'x', 'hold', 'task #1', '[', '{{',"
        " 'never', '')",
    )

    rows = await operations.ls(call, object="task #1")

    assert [row["id"] for row in rows][:2] == [99, 4]
    assert (rows[0]["before"], rows[0]["after"], rows[0]["at"]) == (
        None,
        None,
        "1970-01-01T00:00:00.000000Z",
    )
    assert await views.show(call, id=1)


def test_a_runtime_over_an_unreadable_value_answers_and_says_what_to_do(runtime: RuntimeProcess):
    past, waiting = runtime.submit("true"), runtime.submit("true", at=3600)
    runtime.wait_for_end(past)
    assert run_command(runtime.home, "stop").returncode == 0
    wait_until(lambda: not lock.is_held(runtime.home), "the runtime's end")
    with closing(sqlite3.connect(paths.get_database_path(runtime.home))) as c:
        c.execute("UPDATE tasks SET launch = '{' WHERE number = ?", (past,))
        c.execute("UPDATE tasks SET not_before = '0' WHERE number = ?", (waiting,))
        c.commit()

    assert run_command(runtime.home, "serve", "--detach").returncode == 0

    wait_until(
        lambda: "database damaged (tasks." in run_command(runtime.home, "status").stdout,
        "the status says why nothing starts",
    )
    shown = run_command(runtime.home, "show", past)
    assert (shown.returncode, "Traceback" in shown.stderr) == (5, False)
    assert "has problems (tasks." in shown.stderr and "db check" in shown.stderr
    checked = run_command(runtime.home, "db", "check").stdout
    assert f"tasks.launch cannot be read where number = {past}\n" in checked
    assert f"tasks.not_before cannot be read where number = {waiting}\n" in checked
    assert "Traceback" not in Path(paths.get_runtime_log_path(runtime.home)).read_text()
