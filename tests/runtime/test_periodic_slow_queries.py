"""What was slow is written down by the clock, by whose duty or verb it was; what ails the database is an alert for as long as it does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.core.maintenance_settings import Slow, Upkeep
from app.runtime.config_watcher import Settings
from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties, Duty
from app.runtime.usage import Usage
from app.service import alerts, registry
from app.service.context import Call
from db import raw_sql
from db.engine import Database
from db.maintenance import slow_queries


class Minding(Settings):
    """Settings that mind whatever takes a microsecond."""

    def __init__(self) -> None:
        super().__init__("/nonexistent")

    @property
    def upkeep(self) -> Upkeep:
        return Upkeep(slow=Slow(threshold=1e-6))


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """The duties, minding everything."""
    return Duties(db, dispatcher, Usage(home), Minding())


def _slow(duties: Duties) -> Duty:
    return next(duty for duty in duties.table() if duty.name == "slow")


async def test_a_duty_and_a_verb_are_told_apart(duties: Duties, call: Call):
    await duties.begin()
    await duties._guarded(next(duty for duty in duties.table() if duty.name == "slas"))
    await registry.answer(call, "ls", {})
    await duties._guarded(_slow(duties))

    callers = {row.caller for row in await duties.db.read(slow_queries.listed)}

    assert {"duty slas", "ls"} <= callers


async def test_a_round_of_the_dispatcher_says_whose_it_was(duties: Duties, dispatcher: Dispatcher):
    await duties.begin()
    loop, done = asyncio.create_task(dispatcher.run()), asyncio.Event()
    duties.db.after_commit(done.set)
    await duties.db.write(lambda c: raw_sql.run(c, "UPDATE queues SET priority = priority + 1"))
    dispatcher.wake()
    async with asyncio.timeout(20):
        while "dispatcher" not in {row.caller for row in await duties.db.read(slow_queries.listed)}:
            await duties.slow()
    loop.cancel()

    assert done.is_set()


async def test_a_log_that_grows_is_told_until_it_is_small_again(duties: Duties, call: Call, monkeypatch: pytest.MonkeyPatch):
    async def firing() -> list[str]:
        return [row["sla"] for row in await alerts.ls(call)]

    with monkeypatch.context() as patch:
        patch.setattr(slow_queries, "wal_bytes", lambda path: slow_queries.LARGE + 1)
        await duties._guarded(_slow(duties))
    assert "wal-size" in await firing()

    await duties._guarded(_slow(duties))
    assert "wal-size" not in await firing()


async def test_the_writing_down_wakes_nobody(duties: Duties):
    woken: list[int] = []
    await duties.begin()
    await duties.db.read(_some)
    duties.db.after_commit(lambda: woken.append(1))
    await duties.slow()

    assert await duties.db.read(slow_queries.listed) != []
    assert woken == []


def _some(c: Connection) -> int:
    return raw_sql.value(c, "SELECT count(*) FROM queues")
