"""Fixed deadlines of names with a schedule: only its latest fire time counts, or later tasks."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.rules.levels import describe_levels
from app.service.definitions import slas
from app.service.rules import replay
from app.service.schedules import firing, verbs
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome

pytestmark = pytest.mark.database
HOUR, DAY = 3600.0, 86400.0
BY_SIX: dict[str, Any] = {
    "scope": "task",
    "match": {"task": "etl"},
    "when": {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}},
}
NAMED = BY_SIX | {"match": {"schedule": "etl"}}
SCHEDULED = BY_SIX | {"scope": "schedule", "match": {"schedule": "etl"}}


async def schedule(home: VirtualHome, cron: str = "0 2 * * *") -> None:
    await verbs.create(home.call, name="etl", cron=cron, timezone="UTC", argv=["true"])


async def go(home: VirtualHome, hours: float, code: int | None = 0) -> None:
    """Move to an hour since the start; with a code, the tasks that wait then end with it."""
    while home.now < home.start + hours * HOUR:
        step = min(HOUR / 2, home.start + hours * HOUR - home.now)
        await home.skip(step)
        await firing.fire_due(home.call.db)
        if code is not None:
            await end_waiting(home, code)
        await home.run_pass()


async def end_waiting(home: VirtualHome, code: int = 0) -> None:
    rows = await execute_sql(home.call, "SELECT uuid FROM tasks WHERE status = 'queued'")
    for (uuid,) in rows:
        await home.end_run(await home.start_run(uuid), code)


async def read_level(home: VirtualHome) -> str:
    await home.advance(5)
    (row,) = await home.call.db.read(lambda c: slas.definitions.list_slas(c))
    levels = home.engine.levels.find((row.id, row.updated_at))
    return describe_levels(row.conditions, levels, home.now)[0]["text"]


async def list_fired(home: VirtualHome) -> list[float]:
    """Return the hours at which alerts fired, the same in the replay."""
    found = [round(at / HOUR, 1) for at, action, _ in home.log if action == "fire"]
    days = (home.now - home.start) / DAY
    told = (await replay.test(home.call, name="rule", days=days))["alerts"]
    times = [timestamps.to_unix(one["fired_at"]) - home.start for one in told]
    assert [round(at / HOUR, 1) for at in times] == found
    return found


@pytest.mark.parametrize("rule", [BY_SIX, NAMED, SCHEDULED], ids=["name", "match", "schedule"])
async def test_a_rerun_of_the_day_before_does_not_count(home: VirtualHome, rule: dict[str, Any]):
    await schedule(home)
    await home.add_rule(rule)
    await go(home, 14)
    assert home.log == []
    await verbs.run(home.call, name="etl")
    await verbs.pause(home.call, name="etl")
    await go(home, 31)
    assert await list_fired(home) == [30.0], "the run of 02:00 is missing"
    await verbs.run(home.call, name="etl")
    await go(home, 32)
    assert [action for _, action, _ in home.log] == ["fire", "resolve"]
    await list_fired(home)


async def test_the_value_names_the_task_that_met_the_deadline(home: VirtualHome):
    await schedule(home)
    await home.add_rule(BY_SIX)
    await go(home, 1)
    assert await read_level(home) == "etl due in 4h59m, 06:00; 1 open"
    await go(home, 3)
    assert await read_level(home) == "etl: met by #1, next due 06:00"


async def test_a_backfill_of_earlier_days_does_not_count(home: VirtualHome):
    await schedule(home)
    await home.add_rule(BY_SIX)
    await go(home, 2, None)
    await execute_sql(home.call, "UPDATE tasks SET status = 'held'")
    day = "2026-11-29"
    await verbs.backfill(home.call, name="etl", since=day, until=day)
    await go(home, 7)
    assert await list_fired(home) == [6.0]


@pytest.mark.parametrize("rule", [BY_SIX, SCHEDULED], ids=["name", "schedule"])
async def test_a_failure_of_the_latest_fire_time_is_told_at_once(
    home: VirtualHome, rule: dict[str, Any]
):
    await schedule(home)
    await home.add_rule(rule)
    await go(home, 25)
    assert home.log == []
    await go(home, 26.5, code=1)
    assert await list_fired(home) == [26.0]
    (alert,) = await home.list_alerts()
    assert alert["text"].startswith("failed Tue 02:00, due Tue 1 Dec 06:00: #")


@pytest.mark.parametrize("rule", [BY_SIX, SCHEDULED], ids=["name", "schedule"])
async def test_a_failure_before_a_later_fire_time_is_not_told(
    home: VirtualHome, rule: dict[str, Any]
):
    await schedule(home, "0 * * * *")
    await home.add_rule(rule)
    await go(home, 3, code=1)
    await go(home, 7)
    assert await list_fired(home) == []


@pytest.mark.parametrize("by", ["create", "set"])
async def test_no_deadline_counts_before_the_first_fire_time(home: VirtualHome, by: str):
    await home.add_rule(BY_SIX)
    await go(home, 5)
    await schedule(home, "0 2 * * *" if by == "create" else "0 14 * * *")
    if by == "set":
        await verbs.set_(home.call, name="etl", cron="0 2 * * *")
    await go(home, 25)
    assert await list_fired(home) == []
    await go(home, 31, None)
    assert await list_fired(home) == [30.0]


async def test_a_fire_time_that_a_person_skipped_is_not_due(home: VirtualHome):
    await schedule(home)
    await home.add_rule(BY_SIX)
    await go(home, 10)
    await verbs.skip_next(home.call, name="etl")
    await go(home, 40)
    assert await list_fired(home) == []


async def test_a_damaged_schedule_still_has_its_past_fire_times(home: VirtualHome):
    await schedule(home)
    await home.add_rule(BY_SIX)
    await go(home, 10)
    await execute_sql(home.call, "UPDATE schedules SET zone = 'Nowhere', updated_at = '2026-11-30'")
    await home.advance(5)
    assert await read_level(home) == "etl: met by #1, next due Tue 06:00"


async def test_a_rerun_does_not_count_while_no_runtime_runs(home: VirtualHome):
    await schedule(home)
    await home.add_rule(BY_SIX)
    await go(home, 14)
    await verbs.run(home.call, name="etl")
    await go(home, 25)
    home.restart()
    await home.skip(8 * HOUR)
    await firing.fire_due(home.call.db)
    await end_waiting(home)
    await home.advance(5)
    texts = [alert["text"] for alert in await home.list_alerts()]
    assert texts == ["was due Tue 1 Dec 06:00, succeeded Tue 09:00, while down"]
