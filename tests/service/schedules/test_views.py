"""Schedules as sent to clients: next fire times, timelines, and their order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import Usage
from app.service.context import Call
from app.service.schedules import verbs
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.schedules.conftest import ManualClock

DAY = 86_400.0


def read_times(found: list[str]) -> list[datetime]:
    return [timestamps.parse_time(at) for at in found]


async def test_a_schedule_is_shown_with_its_next_fire_times(call: Call):
    await verbs.create(call, name="nightly", cron="0 2 * * *", timezone="UTC", argv=["true"])

    shown = await verbs.show(call, name="nightly")

    times = read_times(shown["upcoming"])
    assert [at.hour for at in times] == [2] * 5
    assert times[4] - times[0] == timedelta(days=4)
    assert shown["next_fire"] == shown["upcoming"][0] == shown["due_at"]


async def test_a_paused_schedule_has_no_next_fire_times(call: Call):
    await verbs.create(call, name="nightly", cron="0 2 * * *", argv=["true"])
    await verbs.pause(call, name="nightly")

    assert (await verbs.show(call, name="nightly"))["upcoming"] == []


async def test_a_timeline_has_at_most_one_fire_time_a_step(call: Call, clock: ManualClock):
    await verbs.create(call, name="each-second", every="1s", argv=["true"])
    await verbs.create(call, name="daily", cron="0 2 * * *", timezone="UTC", argv=["true"])
    since = clock.now.timestamp()

    second, daily = await verbs.timeline(
        call, names=["each-second", "daily", "unknown"], since=since, step=3600.0, cells=48
    )

    assert (second["name"], daily["name"]) == ("each-second", "daily")
    assert len(second["upcoming"]) == 48 and len(daily["upcoming"]) == 2
    times = read_times(second["upcoming"])
    assert times[-1].timestamp() < since + 48 * 3600
    assert {int((at.timestamp() - since) // 3600) for at in times} == set(range(48))


async def test_a_timeline_lists_the_handled_fire_times_of_its_range(call: Call):
    await verbs.create(call, name="daily", cron="0 2 * * *", timezone="UTC", argv=["true"])
    now = timestamps.utcnow()
    for days in (0, 1, 3):
        at = timestamps.format_time(now - timedelta(days=days, hours=1))
        await execute_sql(
            call,
            "INSERT INTO fires (schedule, fire_time, outcome, created_at, updated_at)"
            " VALUES ('daily', ?1, 'missed', ?1, ?1)",
            at,
        )
    since = (now - timedelta(days=2)).timestamp()

    (found,) = await verbs.timeline(call, names=["daily"], since=since, step=3600.0, cells=48)

    times = read_times([fire["fire_time"] for fire in found["fires"]])
    assert times == sorted(times) and len(times) == 2
    assert times[-1].astimezone(UTC) < now


@pytest.mark.parametrize(
    "wrong",
    [{"cells": 0}, {"cells": 100_000}, {"step": 0.1}, {"since": 1e30}, {"names": ["x"] * 101}],
)
async def test_a_timeline_of_unreasonable_size_is_refused(call: Call, wrong: dict[str, Any]):
    with pytest.raises(Usage):
        await verbs.timeline(
            call, **({"names": ["x"], "since": 0.0, "step": 60.0, "cells": 10} | wrong)
        )
