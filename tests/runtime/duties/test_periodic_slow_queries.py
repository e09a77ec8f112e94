"""Periodic storage of slow statements by caller, and alerts on database conditions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.core.maintenance_settings import MaintenanceSettings, SlowSettings
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties, Duty
from app.runtime.duties.usage import UsageSampler
from app.service import alerts, registry
from app.service.context import Call
from db import raw_sql
from db.engine import Database
from db.maintenance import slow_queries


class RecordAllConfig(ConfigWatcher):
    """Settings with a threshold of a microsecond."""

    def __init__(self) -> None:
        super().__init__("/nonexistent")

    @property
    def maintenance(self) -> MaintenanceSettings:
        return MaintenanceSettings(slow=SlowSettings(threshold=1e-6))


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """Return duties that record every statement as slow."""
    return Duties(db, dispatcher, UsageSampler(home), RecordAllConfig())


def _find_slow_duty(duties: Duties) -> Duty:
    return next(duty for duty in duties.list_duties() if duty.name == "slow")


async def test_jobs_and_verbs_are_separate_callers(duties: Duties, call: Call):
    await duties.prepare()
    await duties._run_duty(next(duty for duty in duties.list_duties() if duty.name == "slas"))
    await registry.call_verb(call, "ls", {})
    await duties._run_duty(_find_slow_duty(duties))

    callers = {row.caller for row in await duties.db.read(slow_queries.list_slow)}

    assert {"duty slas", "ls"} <= callers


async def test_a_dispatcher_round_is_its_own_caller(duties: Duties, dispatcher: Dispatcher):
    await duties.prepare()
    loop, done = asyncio.create_task(dispatcher.run()), asyncio.Event()
    duties.db.after_commit(done.set)
    await duties.db.write(
        lambda c: raw_sql.execute_statement(c, "UPDATE queues SET priority = priority + 1")
    )
    dispatcher.wake()
    async with asyncio.timeout(20):
        while "dispatcher" not in {
            row.caller for row in await duties.db.read(slow_queries.list_slow)
        }:
            await duties.store_slow_statements()
    loop.cancel()

    assert done.is_set()


async def test_a_growing_wal_is_reported_until_it_is_small_again(
    duties: Duties, call: Call, monkeypatch: pytest.MonkeyPatch
):
    async def firing() -> list[str]:
        return [row["sla"] for row in await alerts.ls(call)]

    with monkeypatch.context() as patch:
        patch.setattr(slow_queries, "get_wal_size", lambda path: slow_queries.LARGE_WAL + 1)
        await duties._run_duty(_find_slow_duty(duties))
    assert "wal-size" in await firing()

    await duties._run_duty(_find_slow_duty(duties))
    assert "wal-size" not in await firing()


async def test_storing_slow_statements_wakes_nobody(duties: Duties):
    woken: list[int] = []
    await duties.prepare()
    await duties.db.read(_count_queues)
    duties.db.after_commit(lambda: woken.append(1))
    await duties.store_slow_statements()

    assert await duties.db.read(slow_queries.list_slow) != []
    assert woken == []


def _count_queues(c: Connection) -> int:
    return raw_sql.fetch_value(c, "SELECT count(*) FROM queues")
