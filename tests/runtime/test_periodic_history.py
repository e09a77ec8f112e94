"""What the runtime writes down each minute for the history."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.usage import Usage
from app.service import history
from app.service.context import Call
from db import timestamps
from db.engine import Database
from tests.runtime.conftest import Told, ended
from tests.runtime.test_periodic import run_one
from tests.service.calls import execute


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """The duties over a dispatcher."""
    return Duties(db, dispatcher, Usage(home))


async def a_run(call: Call, dispatcher: Dispatcher, told: Told) -> None:
    """A whole run of a task."""
    dispatcher.hear(ended(await run_one(call, dispatcher, told), 1))
    await dispatcher.round()


async def test_two_samples_of_one_minute_lose_no_count(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, monkeypatch: pytest.MonkeyPatch
):
    moment = timestamps.utcnow()
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment)
    for _ in range(2):
        await a_run(call, dispatcher, told)
        await duties.sample()

    (row,) = await execute(call, "SELECT started, ended, failed, running FROM samples WHERE kind = 'queue'")

    assert tuple(row) == (2, 2, 2, 0)


async def test_minutes_that_are_over_are_counted_by_a_duty(call: Call, duties: Duties, dispatcher: Dispatcher, told: Told):
    await a_run(call, dispatcher, told)
    await execute(call, "UPDATE instances SET start_time = ?, end_time = ?", *(timestamps.from_unix(timestamps.utcnow().timestamp() - 600),) * 2)

    await {duty.name: duty.run for duty in duties.table()}["history"]()

    rows = await execute(call, "SELECT width, started, ended, failed FROM history ORDER BY width")
    assert [tuple(row) for row in rows] == [(1, 1, 1, 1), (15, 1, 1, 1), (120, 1, 1, 1)]


async def test_what_ends_after_the_clock_was_ahead_for_a_while_is_counted(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    right = timestamps.utcnow()
    for now in (right + timedelta(days=58), right):
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now)
        await a_run(call, dispatcher, told)
        last = "(SELECT max(runid) FROM instances)"
        await execute(call, f"UPDATE instances SET start_time = ?, end_time = ? WHERE runid = {last}", *(timestamps.now(),) * 2)
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now + timedelta(minutes=2))
        await duties.count()

    rows = await execute(call, "SELECT ended FROM history WHERE width = 1 AND at < ?", timestamps.now())
    assert [row.ended for row in rows] == [1]


async def test_a_runtime_that_stops_while_it_counts_ends_without_a_fault(duties: Duties, monkeypatch: pytest.MonkeyPatch):
    begun = asyncio.Event()

    async def count(*_: Any) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(history, "count", count)
    counting = asyncio.create_task(duties.count())
    await begun.wait()
    counting.cancel()

    assert await counting is None
