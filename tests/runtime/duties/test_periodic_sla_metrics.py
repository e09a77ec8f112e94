"""Periodic evaluation of rules on internal metrics."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.service import alerts
from app.service.context import Call
from app.service.definitions import slas
from db import timestamps
from db.engine import Database
from db.queries.rules import metrics as figures
from tests.service.calls import execute_sql


async def run_duties(duties: Duties, *names: str) -> None:
    """Run these duties once each, as the scheduler does."""
    table = {duty.name: duty for duty in duties.list_duties()}
    for name in names:
        await duties._run_duty(table[name])


async def list_fired(call: Call) -> list[tuple[str, str]]:
    return [(row["sla"], row["status"]) for row in await alerts.ls(call, all=True)]


async def test_an_old_backup_fires_and_the_next_one_resolves(
    call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch
):
    await slas.create(call, name="backed-up", preset="stays-below", metric="backup-age", value="2h")
    await run_duties(duties, "backup", "slas")
    assert [row["stands"] for row in await slas.ls(call)] == ["backup 0s old"]
    later = timestamps.utcnow() + timedelta(hours=3)
    monkeypatch.setattr(timestamps, "utcnow", lambda: later)

    await run_duties(duties, "slas")
    assert [row["text"] for row in await alerts.ls(call)] == ["backup 3h old, allowed 2h"]
    await run_duties(duties, "backup", "slas")

    assert await list_fired(call) == [("backed-up", "resolved")]


async def test_a_restarted_runtime_repeats_no_alert(
    call: Call, duties: Duties, db: Database, dispatcher: Dispatcher, home: Path
):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await run_duties(duties, "slas")
    again = Duties(db, dispatcher, UsageSampler(home))
    await again.prepare()

    await run_duties(again, "slas", "figures", "slow")

    assert [found for found in await list_fired(call) if found[0] == "small-log"] == [
        ("small-log", "firing")
    ]


async def test_an_idle_evaluation_does_not_use_the_writer(call: Call, duties: Duties):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await run_duties(duties, "slas", "figures")
    before = await execute_sql(call, "SELECT total_changes()")

    for _ in range(5):
        await run_duties(duties, "slas", "figures")

    assert await execute_sql(call, "SELECT total_changes()") == before


async def test_an_unreadable_metric_is_reported_without_a_traceback(
    call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await run_duties(duties, "slas")

    def fail(*_: object) -> float:
        raise OSError("no luck")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(figures, "METRIC_READERS", {**figures.METRIC_READERS, "wal-size": fail})
        await run_duties(duties, "slas", "figures")
    told = {row["sla"]: row["text"] for row in await alerts.ls(call)}
    assert told.pop("small-log").startswith("the database's log ")
    assert told == {
        "figure-wal-size": "wal-size cannot be read (OSError); its rules keep their state"
    }
    assert not [record for record in caplog.records if record.exc_info]

    await run_duties(duties, "slas", "figures")

    assert [row["sla"] for row in await alerts.ls(call)] == ["small-log"]
