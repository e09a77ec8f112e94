"""The clock guard: nothing is removed while the clock may be ahead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.maintenance_settings import DAY
from app.home import clock_guard
from app.home.clock_guard import ClockGuard
from app.runtime.change_feed import ChangeFeed
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.runtime.serve import Runtime
from app.service.context import Call
from app.service.tasks.inspection import views
from db import timestamps
from db.backup.catalog import BackupCatalog
from db.engine import Database
from tests.service.calls import execute_sql, submit_task

AdvanceClock = Callable[..., None]


@pytest.fixture(autouse=True)
def advance_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    """Return a function that advances machine time by hours and the clock by days.

    The user's config.toml is hidden.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    moment, seconds = [timestamps.utcnow()], [1000.0]
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment[0])
    monkeypatch.setattr(clock_guard, "_read_boot_seconds", lambda: seconds[0])

    def passing(hours: float = 0, days: float = 0) -> None:
        moment[0] += timedelta(days=days)
        seconds[0] += hours * 3600

    return passing


def test_a_clock_in_step_with_the_machine_is_trusted(advance_clock: AdvanceClock):
    found = ClockGuard()
    found.begin(timestamps.now())

    for hours in (1, 24, 200):
        advance_clock(hours, hours / 24)
        assert found.is_trusted()
    advance_clock(days=-40)
    assert found.is_trusted(), "set back, it takes nothing for older than it is"


def test_a_clock_that_jumps_ahead_is_trusted_after_a_day(advance_clock: AdvanceClock):
    found = ClockGuard()
    assert found.is_trusted()

    assert not found.explain_doubt()
    advance_clock(days=58)
    assert (
        found.explain_doubt()
        == "the clock was 58d ahead of the last stored time, and may be wrong."
    )
    advance_clock(23, 1)
    assert not found.is_trusted()
    advance_clock(1)
    assert found.is_trusted()


def test_a_jump_just_after_the_first_start_is_not_trusted(advance_clock: AdvanceClock):
    found = ClockGuard()
    found.begin(None)

    advance_clock(days=58)

    assert not found.is_trusted()


def test_two_jumps_add_up_until_the_clock_is_trusted(advance_clock: AdvanceClock):
    found = ClockGuard()
    assert found.get_lead() == 0

    advance_clock(days=20)
    assert found.get_lead() == 20 * DAY
    advance_clock(days=15)
    assert found.get_lead() == 35 * DAY
    advance_clock(24, 1)
    assert found.get_lead() == 0
    advance_clock(days=2)
    assert found.get_lead() == 2 * DAY


async def test_verbs_share_the_clock_doubt_of_the_periodic_jobs(
    db: Database, dispatcher: Dispatcher, home: Path, advance_clock: AdvanceClock
):
    runtime = Runtime(home, dispatcher, UsageSampler(home), ChangeFeed())
    duties = Duties(db, dispatcher, UsageSampler(home), steady=runtime.clock_guard)
    await duties.store_sample()
    assert not runtime.clock_doubt

    advance_clock(days=58)
    await duties.run_cleanup()
    assert runtime.clock_doubt and runtime.clock_ahead == 58 * DAY
    advance_clock(24, 1)
    assert not runtime.clock_doubt


async def test_the_doubt_outlives_restarts_until_a_day_of_run_time(
    db: Database, dispatcher: Dispatcher, home: Path, advance_clock: AdvanceClock
):
    async def runtime() -> Duties:
        duties = Duties(db, dispatcher, UsageSampler(home))
        await duties.prepare()
        await duties.store_sample()
        return duties

    assert (await runtime())._clock_guard.is_trusted()
    advance_clock(days=58)
    for _ in range(2):
        assert not (await runtime())._clock_guard.is_trusted()
        advance_clock(1, 1 / 24)
    for _ in range(24):
        advance_clock(1, 1 / 24)
        assert (await runtime()).list_duties()

    assert (await runtime())._clock_guard.is_trusted()


async def test_data_that_looks_old_after_a_jump_stays_for_a_day(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, advance_clock: AdvanceClock
):
    first = Duties(db, dispatcher, UsageSampler(home))
    await first.prepare()
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET status = 'failed', ended_at = ?", timestamps.now())
    await first.store_sample()
    for _ in range(3):
        await first.run_backup()
        advance_clock(24, 1)
    advance_clock(days=58)

    second = Duties(db, dispatcher, UsageSampler(home))
    await second.prepare()
    await second.run_cleanup()
    await second.run_backup()
    assert (
        len((await views.ls(call))["tasks"]) == 1
        and len(BackupCatalog(home / "backups").list_good()) == 4
    )

    advance_clock(24, 1)
    await second.run_backup()
    await second.run_cleanup()
    assert (await views.ls(call))["tasks"] == [] and len(
        BackupCatalog(home / "backups").list_good()
    ) < 4
