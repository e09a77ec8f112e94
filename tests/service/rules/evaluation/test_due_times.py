"""Due times: stored as soon as they are known, gone once met, and noticed after downtime."""

from __future__ import annotations

from typing import Any

import pytest

from app.service.definitions import slas
from app.service.rules.evaluation.due_times import MAX_DUE, DueList, DueTime
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome, make_conditions

pytestmark = pytest.mark.database
HOUR, DAY = 3600.0, 86400.0
HUNG = {"deadline": {"reference": "started_at", "offset": "1h"}}
NEVER_STARTED = {"metric": "instance.queued_seconds", "op": ">", "value": "30m"}
BY_SIX = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}}


async def find_due(home: VirtualHome, name: str = "rule") -> tuple[float, str] | None:
    """Return seconds from the start of the test to the next due time of a rule, and its object."""
    due = (await slas.show(home.call, name=name))["due"]
    return (round(timestamps.to_unix(due["at"]) - home.start, 2), due["object"]) if due else None


async def list_texts(home: VirtualHome) -> list[str]:
    return [alert["text"] for alert in await home.list_alerts()]


async def test_a_due_time_is_stored_once_a_task_waits_until_it_starts(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    assert await find_due(home) is None
    task = await home.submit()
    await home.run_pass()
    assert await find_due(home) == (1800, "#1 work")
    before = home.call.db.changes
    await home.advance(60)
    assert home.call.db.changes == before
    await home.start_run(task)
    await home.run_pass()
    assert await find_due(home) is None and await execute_sql(
        home.call, "SELECT count(*) FROM due_times"
    ) == [(0,)]


async def test_a_due_time_is_stored_once_a_run_starts_until_it_ends(home: VirtualHome):
    await home.add_rule(make_conditions("instance", HUNG))
    task = await home.submit()
    await home.advance(60)
    assert await find_due(home) is None
    run = await home.start_run(task)
    await home.run_pass()
    assert await find_due(home) == (3660, "#1 work")
    await home.end_run(run)
    await home.run_pass()
    assert await find_due(home) is None


async def test_a_task_that_never_starts_fires_at_its_second(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    await home.advance(2.5)
    await home.submit()
    await home.advance(1810)
    assert home.take_log() == [(1802.501, "fire")] and await find_due(home) is None


@pytest.mark.parametrize("when", [HUNG, NEVER_STARTED])
async def test_what_is_due_while_down_fires_after_the_start(home: VirtualHome, when: Any):
    await home.add_rule(make_conditions("instance", when))
    task = await home.submit()
    if when is HUNG:
        await home.start_run(task)
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    await home.run_pass()
    (alert,) = await home.list_alerts()
    assert alert["status"] == "firing" and alert["text"].endswith(", while down")
    assert timestamps.to_unix(alert["since"]) - home.start in (1800, HOUR)
    await home.advance(60)
    assert home.take_log() == [(2 * HOUR, "fire")]


async def test_a_success_meets_the_fixed_time(home: VirtualHome):
    await home.add_rule(make_conditions("task", BY_SIX, match={"task": "etl"}))
    await home.run_task("etl", seconds=HOUR)
    await home.run_pass()
    assert await find_due(home) is None
    await home.skip(6 * HOUR)
    await home.run_pass()
    assert await find_due(home) == (DAY + 6 * HOUR, "etl") and home.take_log() == []


async def test_a_pending_alert_is_due_at_the_end_of_its_wait(home: VirtualHome):
    when = {"metric": "queue.depth", "op": ">", "value": 0}
    await home.add_rule(make_conditions("queue", when, **{"for": "1m"}))
    await home.submit()
    await home.run_pass()
    assert await find_due(home) == (60, "queue default")
    await home.advance(61)
    assert await find_due(home) is None


async def test_a_changed_rule_has_other_due_times(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    await home.submit()
    await home.run_pass()
    later = make_conditions("instance", {**NEVER_STARTED, "value": "2h"})
    await slas.set_(home.call, name="rule", conditions=later)
    assert await find_due(home) is None
    await home.advance(1)
    assert await find_due(home) == (7200, "#1 work")
    await slas.set_(home.call, name="rule", enabled=False)
    assert await find_due(home) is None


async def test_the_next_due_times_of_many_tasks_are_stored(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    for _ in range(MAX_DUE + 3):
        await home.submit()
        await home.skip(1)
    await home.run_pass()
    due = (await slas.show(home.call, name="rule"))["due"]
    assert (due["object"], due["more"]) == ("#1 work", MAX_DUE - 1)


async def test_a_preset_has_a_due_time_too(home: VirtualHome):
    await slas.create(home.call, name="starts", preset="starts-within", value="10m")
    await home.submit()
    assert await find_due(home, "starts") == (600, "")


def test_a_list_keeps_the_earliest_time_of_each_subject():
    found = DueList()
    for at, subject in [(9.0, "a"), (3.0, "b"), (2.0, "a"), (5.0, "a")]:
        found.add(DueTime(at, subject, subject))
    assert [(one.at, one.subject) for one in found.times] == [(2.0, "a"), (3.0, "b")]
    assert not found.is_full_before(100.0)
    for number in range(MAX_DUE):
        found.add(DueTime(1.0, f"more{number}", ""))
    assert len(found.times) == MAX_DUE and found.is_full_before(1.0)
