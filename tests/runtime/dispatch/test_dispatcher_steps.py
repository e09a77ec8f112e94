"""Statements of one dispatcher round, which decide how many tasks start in a second."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime.dispatch import dispatcher as dispatch_module
from app.runtime.dispatch.dispatcher import Dispatcher
from app.service.context import Call
from app.service.definitions import queues
from app.service.tasks.changes import actions
from app.service.tasks.submission import submit
from db import raw_sql
from db.engine import Connection, create_write_engine
from db.queries.scheduling import loads
from db.queries.tasks import pending_parents, transitions
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import RuntimeProcess, wait_until
from tests.service.calls import execute_sql, submit_task

MOST_STATEMENTS = 27
"""Statements of a round in which runs end and others start."""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives each raw statement on the writer's connection."""
    found: list[str] = []
    execute = raw_sql.execute_on_driver

    def record(driver: Any, sql: str, parameters: Any, many: bool = False) -> Any:
        found.append(sql)
        return execute(driver, sql, parameters, many)

    monkeypatch.setattr(raw_sql, "execute_on_driver", record)
    return found


async def run_full_round(call: Call, dispatcher: Dispatcher, told: FakeKeeper) -> None:
    """Run a round in which two runs end and two others start."""
    await queues.queue_create(call, name="q", capacity=2)
    for _ in range(4):
        await submit_task(call, queue="q", cpu=0)
    await dispatcher.run_round()
    for runid in told.spawned_runs:
        dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()


async def test_a_round_of_ends_and_starts_has_few_statements(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, statements: list[str]
):
    await run_full_round(call, dispatcher, fake_keeper)

    last = statements[len(statements) - statements[::-1].index("BEGIN IMMEDIATE") :]
    assert len(fake_keeper.spawned_runs) == 4
    assert last.count(loads._LOADS) == 1
    assert len(last) <= MOST_STATEMENTS


async def test_many_events_are_stored_by_several_rounds(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    await queues.queue_create(call, name="q", capacity=9)
    for _ in range(5):
        await submit_task(call, queue="q", cpu=0)
    await dispatcher.run_round()
    monkeypatch.setattr(dispatch_module, "MAX_EVENTS", 2)
    for runid in fake_keeper.spawned_runs:
        dispatcher.handle_event(make_started_event(runid))
        dispatcher.handle_event(make_ended_event(runid))

    counts: list[int] = []
    read = "SELECT count(*) FROM tasks WHERE status = 'succeeded'"
    while dispatcher._wake.is_set():  # as `run` does
        dispatcher._wake.clear()
        await dispatcher.run_round()
        counts.append((await execute_sql(call, read))[0][0])

    assert counts == [2, 4, 5]
    assert fake_keeper.get_orders("forget") == [
        tuple(fake_keeper.spawned_runs[at : at + 2]) for at in (0, 2, 4)
    ]


MANY = transitions.MAX_CHILDREN + 1
"""More children than the transaction that ends their parent updates."""


def make_family() -> list[dict[str, Any]]:
    """Return the tasks of a submission: a parent that no pool starts, and its children."""
    child = {"argv": ["true"], "after": ["parent"]}
    return [{"argv": ["true"], "name": "parent", "hold": True}, *[child] * MANY]


async def test_rounds_update_the_children_left_by_an_end(call: Call, dispatcher: Dispatcher):
    await submit.submit(call, tasks=make_family())
    await actions.cancel(call, ids=["parent"])
    read = "SELECT count(*) FROM tasks WHERE status = 'cancelled'"
    assert (await execute_sql(call, read))[0][0] == 1

    while await call.db.read(pending_parents.has_any):
        await dispatcher.run_round()

    assert (await execute_sql(call, read))[0][0] == 1 + MANY


async def test_children_that_cannot_be_updated_do_not_stop_the_rounds(
    call: Call,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def fail(c: Connection) -> None:
        raise ValueError("unreadable")

    monkeypatch.setattr(transitions, "continue_propagation", fail)
    await submit.submit(call, tasks=[*make_family(), {"argv": ["true"]}])
    await actions.cancel(call, ids=["parent"])

    await dispatcher.run_round()

    assert "the children of ended tasks could not be updated" in caplog.text
    assert len(fake_keeper.spawned_runs) == 1 and dispatcher.internal_error is None


@pytest.mark.process
def test_the_next_runtime_updates_the_children_of_a_killed_one(runtime: RuntimeProcess):
    runtime.call("submit", tasks=make_family(), cwd="/", env={})
    runtime.kill()
    engine = create_write_engine(runtime.home / "taskdeck.db")
    with engine.begin() as c:  # the transaction of a cancel, and then the kill
        (uuid,) = raw_sql.fetch_column(c, "SELECT uuid FROM tasks WHERE name = 'parent'")
        transitions.cancel(c, [uuid], "ann")
    with engine.begin() as c:
        assert raw_sql.fetch_value(c, "SELECT count(*) FROM tasks WHERE status = 'blocked'") == MANY
    engine.dispose()

    runtime.start()

    wait_until(
        lambda: runtime.call("status")["counts"].get("cancelled") == 1 + MANY, "children cancelled"
    )
