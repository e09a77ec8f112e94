"""Periodic samples and counts for the history."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.service import history
from app.service.context import Call
from db import timestamps
from tests.runtime.conftest import FakeKeeper, make_ended_event
from tests.runtime.duties.test_periodic import start_one_run
from tests.service.calls import execute_sql


async def complete_run(call: Call, dispatcher: Dispatcher, told: FakeKeeper) -> None:
    dispatcher.handle_event(make_ended_event(await start_one_run(call, dispatcher, told), 1))
    await dispatcher.run_round()


async def test_two_samples_of_one_minute_lose_no_count(
    call: Call,
    duties: Duties,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
):
    moment = timestamps.utcnow()
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment)
    for _ in range(2):
        await complete_run(call, dispatcher, fake_keeper)
        await duties.store_sample()

    (row,) = await execute_sql(
        call, "SELECT started, ended, failed, running FROM samples WHERE kind = 'queue'"
    )

    assert tuple(row) == (2, 2, 2, 0)


async def test_past_minutes_are_counted_by_a_job(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await complete_run(call, dispatcher, fake_keeper)
    await execute_sql(
        call,
        "UPDATE instances SET start_time = ?, end_time = ?",
        *(timestamps.from_unix(timestamps.utcnow().timestamp() - 600),) * 2,
    )

    await {duty.name: duty.run for duty in duties.list_duties()}["history"]()

    rows = await execute_sql(
        call, "SELECT width, started, ended, failed FROM history ORDER BY width"
    )
    assert [tuple(row) for row in rows] == [(1, 1, 1, 1), (15, 1, 1, 1), (120, 1, 1, 1)]


async def test_ends_after_a_temporarily_fast_clock_are_counted(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    right = timestamps.utcnow()
    for now in (right + timedelta(days=58), right):
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now)
        await complete_run(call, dispatcher, fake_keeper)
        last = "(SELECT max(runid) FROM instances)"
        await execute_sql(
            call,
            f"UPDATE instances SET start_time = ?, end_time = ? WHERE runid = {last}",
            *(timestamps.now(),) * 2,
        )
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now + timedelta(minutes=2))
        await duties.update_history()

    rows = await execute_sql(
        call, "SELECT ended FROM history WHERE width = 1 AND at < ?", timestamps.now()
    )
    assert [row.ended for row in rows] == [1]


async def test_a_runtime_that_stops_while_counting_reports_no_error(
    duties: Duties, monkeypatch: pytest.MonkeyPatch
):
    begun = asyncio.Event()

    async def count(*_: Any) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(history, "count_minutes", count)
    counting = asyncio.create_task(duties.update_history())
    await begun.wait()
    counting.cancel()

    assert await counting is None
