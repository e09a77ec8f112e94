"""A clock that is far ahead for a while removes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.maintenance_settings import DAY
from app.home import clock_guard
from app.home.clock_guard import Steady
from app.runtime.change_feed import Feed
from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.serve import Runtime
from app.runtime.usage import Usage
from app.service.context import Call
from app.service.tasks import views
from db import timestamps
from db.backup.catalog import Store
from db.engine import Database
from tests.service.calls import execute, submitted

Pass = Callable[..., None]


@pytest.fixture(autouse=True)
def passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Let the machine run for so many hours, while the clock goes on for so many days; without a config.toml of the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    moment, seconds = [timestamps.utcnow()], [1000.0]
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment[0])
    monkeypatch.setattr(clock_guard, "_seconds", lambda: seconds[0])

    def passing(hours: float = 0, days: float = 0) -> None:
        moment[0] += timedelta(days=days)
        seconds[0] += hours * 3600

    return passing


def test_a_clock_that_goes_as_the_machine_does_is_believed(passing: Pass):
    found = Steady()
    found.begin(timestamps.now())

    for hours in (1, 24, 200):
        passing(hours, hours / 24)
        assert found.look()
    passing(days=-40)
    assert found.look(), "set back, it takes nothing for older than it is"


def test_one_that_jumps_ahead_is_believed_after_a_day(passing: Pass):
    found = Steady()
    assert found.look()

    assert not found.doubt()
    passing(days=58)
    assert found.doubt() == "the clock was 58d ahead of what was stored last, and may be wrong."
    passing(23, 1)
    assert not found.look()
    passing(1)
    assert found.look()


def test_one_that_jumps_ahead_just_after_the_first_start_is_not_believed(passing: Pass):
    found = Steady()
    found.begin(None)

    passing(days=58)

    assert not found.look()


def test_one_that_jumps_twice_is_ahead_by_both_and_begins_anew_once_it_is_believed(passing: Pass):
    found = Steady()
    assert found.ahead() == 0

    passing(days=20)
    assert found.ahead() == 20 * DAY
    passing(days=15)
    assert found.ahead() == 35 * DAY
    passing(24, 1)
    assert found.ahead() == 0
    passing(days=2)
    assert found.ahead() == 2 * DAY


async def test_what_the_duties_saw_of_the_clock_a_verb_is_told(db: Database, dispatcher: Dispatcher, home: Path, passing: Pass):
    runtime = Runtime(home, dispatcher, Usage(home), Feed())
    duties = Duties(db, dispatcher, Usage(home), steady=runtime.steady)
    await duties.sample()
    assert not runtime.clock_doubt

    passing(days=58)
    await duties.cleanup()
    assert runtime.clock_doubt and runtime.clock_ahead == 58 * DAY
    passing(24, 1)
    assert not runtime.clock_doubt


async def test_a_clock_that_went_far_ahead_is_doubted_by_the_next_runtimes_too_until_one_was_up_for_a_day(
    db: Database, dispatcher: Dispatcher, home: Path, passing: Pass
):
    async def runtime() -> Duties:
        duties = Duties(db, dispatcher, Usage(home))
        await duties.begin()
        await duties.sample()
        return duties

    assert (await runtime())._steady.look()
    passing(days=58)
    for _ in range(2):
        assert not (await runtime())._steady.look()
        passing(1, 1 / 24)
    for _ in range(24):
        passing(1, 1 / 24)
        assert (await runtime()).table()

    assert (await runtime())._steady.look()


async def test_what_is_old_by_a_clock_far_ahead_of_what_was_stored_last_stays_for_a_day(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, passing: Pass
):
    first = Duties(db, dispatcher, Usage(home))
    await first.begin()
    await submitted(call)
    await execute(call, "UPDATE tasks SET status = 'failed', ended_at = ?", timestamps.now())
    await first.sample()
    for _ in range(3):
        await first.backup()
        passing(24, 1)
    passing(days=58)

    second = Duties(db, dispatcher, Usage(home))
    await second.begin()
    await second.cleanup()
    await second.backup()
    assert len((await views.ls(call))["tasks"]) == 1 and len(Store(home / "backups").good()) == 4

    passing(24, 1)
    await second.backup()
    await second.cleanup()
    assert (await views.ls(call))["tasks"] == [] and len(Store(home / "backups").good()) < 4
