"""Rules on figures of Taskdeck itself, looked at by the clock."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.usage import Usage
from app.service import alerts
from app.service.context import Call
from app.service.definitions import slas
from db import timestamps
from db.engine import Database
from db.queries import metrics as figures
from tests.service.calls import execute


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """The duties over a dispatcher."""
    return Duties(db, dispatcher, Usage(home))


async def by_the_clock(duties: Duties, *names: str) -> None:
    """These duties, once each, as the clock fires them."""
    table = {duty.name: duty for duty in duties.table()}
    for name in names:
        await duties._guarded(table[name])


async def fired(call: Call) -> list[tuple[str, str]]:
    return [(row["sla"], row["status"]) for row in await alerts.ls(call, all=True)]


async def test_a_backup_that_grows_old_fires_and_the_next_one_resolves_it(call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch):
    await slas.create(call, name="backed-up", preset="stays-below", metric="backup-age", value="2h")
    await by_the_clock(duties, "backup", "slas")
    assert [row["stands"] for row in await slas.ls(call)] == ["backup 0s old"]
    later = timestamps.utcnow() + timedelta(hours=3)
    monkeypatch.setattr(timestamps, "utcnow", lambda: later)

    await by_the_clock(duties, "slas")
    assert [row["text"] for row in await alerts.ls(call)] == ["backup 3h old, allowed 2h"]
    await by_the_clock(duties, "backup", "slas")

    assert await fired(call) == [("backed-up", "resolved")]


async def test_a_runtime_that_comes_up_again_tells_nothing_twice(
    call: Call, duties: Duties, db: Database, dispatcher: Dispatcher, home: Path
):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await by_the_clock(duties, "slas")
    again = Duties(db, dispatcher, Usage(home))
    await again.begin()

    await by_the_clock(again, "slas", "figures", "slow")

    assert [found for found in await fired(call) if found[0] == "small-log"] == [("small-log", "firing")]


async def test_an_idle_look_takes_no_turn_of_the_writer(call: Call, duties: Duties):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await by_the_clock(duties, "slas", "figures")
    before = await execute(call, "SELECT total_changes()")

    for _ in range(5):
        await by_the_clock(duties, "slas", "figures")

    assert await execute(call, "SELECT total_changes()") == before


async def test_a_figure_that_cannot_be_read_is_told_without_a_traceback_until_it_can(
    call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await slas.create(call, name="small-log", preset="stays-below", metric="wal-size", value="1K")
    await by_the_clock(duties, "slas")

    def fail(*_: object) -> float:
        raise OSError("no luck")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(figures, "FIGURES", {**figures.FIGURES, "wal-size": fail})
        await by_the_clock(duties, "slas", "figures")
    told = {row["sla"]: row["text"] for row in await alerts.ls(call)}
    assert told.pop("small-log").startswith("the database's log ")
    assert told == {"figure-wal-size": "wal-size cannot be read (OSError); the rules on it stay as they are"}
    assert not [record for record in caplog.records if record.exc_info]

    await by_the_clock(duties, "slas", "figures")

    assert [row["sla"] for row in await alerts.ls(call)] == ["small-log"]
