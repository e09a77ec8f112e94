"""Statements of one dispatcher round, which decide how many tasks start in a second."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime.dispatcher import Dispatcher
from app.service.context import Call
from app.service.definitions import queues
from db import raw_sql
from db.queries import loads
from tests.runtime.conftest import FakeKeeper, make_ended_event
from tests.service.calls import submit_task

MOST_STATEMENTS = 25
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
