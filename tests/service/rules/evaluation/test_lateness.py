"""Subjects that were late, and done, while no runtime ran: each is told once."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.rules.conditions import Match
from app.core.rules.rule_plan import Labels, is_matched
from app.service.rules.evaluation import lateness
from app.service.tasks.submission import submit
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome, make_conditions

pytestmark = pytest.mark.database
HOUR = 3600.0
HUNG = {"deadline": {"reference": "started_at", "offset": "1h"}}
NEVER_STARTED = {"metric": "instance.queued_seconds", "op": ">", "value": "30m"}
BY_SIX = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}}


async def list_texts(home: VirtualHome) -> list[str]:
    return [alert["text"] for alert in await home.list_alerts()]


async def test_what_was_late_and_is_done_before_the_first_pass_is_told(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    task = await home.submit()
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    await home.start_run(task)
    await home.advance(5)
    assert home.take_log() == [(2 * HOUR, "fire"), (2 * HOUR + 5, "resolve")]
    (text,) = await list_texts(home)
    assert text == "was due Mon 30 Nov 00:30, started Mon 02:00, while down"


async def test_what_was_late_in_a_long_pass_is_told(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    task = await home.submit()
    await home.run_pass()
    home.engine.next_at = home.now = home.start + 1795
    await home.run_pass()
    await home.skip(12)
    await home.start_run(task)
    await home.skip(8)
    await home.run_pass()
    assert await list_texts(home) == ["was due Mon 30 Nov 00:30, started Mon 00:30:07"]


async def test_a_run_that_ended_late_while_down_is_told(home: VirtualHome):
    await home.add_rule(make_conditions("instance", HUNG))
    run = await home.start_run(await home.submit())
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    await home.end_run(run)
    await home.run_pass()
    assert await list_texts(home) == ["was due Mon 30 Nov 01:00, ended Mon 02:00, while down"]


@pytest.mark.parametrize(
    ("active", "count"), [(["00:00-00:30"], 0), (["00:00-00:30", "01:30-01:40"], 1)]
)
async def test_what_was_late_outside_of_the_active_time_stays_quiet(
    home: VirtualHome, active: list[str], count: int
):
    await home.add_rule(make_conditions("instance", HUNG, active_time=active))
    run = await home.start_run(await home.submit())
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    await home.end_run(run)
    await home.skip(22 * HOUR)
    await home.run_pass()
    assert len(home.log) == count


async def test_each_of_many_late_tasks_is_told_once(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    await submit.submit(home.call, tasks=50 * [{"argv": ["true"]}], env={})
    tasks = [uuid for (uuid,) in await execute_sql(home.call, "SELECT uuid FROM tasks")]
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    await home.start_runs(tasks)
    await home.run_pass()
    await home.advance(1)
    assert {subject for _, action, subject in home.log if action == "fire"} == {
        f"task:{task}" for task in tasks
    }
    texts = await list_texts(home)
    assert len(texts) == 50 and all(text.endswith(", while down") for text in texts)
    home.restart()
    await home.advance(5)
    assert len(await list_texts(home)) == 50


async def test_each_of_many_names_that_succeeded_late_is_told(home: VirtualHome):
    await home.add_rule(make_conditions("task", BY_SIX, match={"task": "etl-*"}))
    tasks = [{"argv": ["true"], "name": f"etl-{number}"} for number in range(7)]
    await submit.submit(home.call, tasks=tasks, env={})
    uuids = await execute_sql(home.call, "SELECT uuid FROM tasks ORDER BY number")
    runs = await home.start_runs([uuid for (uuid,) in uuids])
    await home.end_run(runs[0])
    await home.run_pass()
    home.restart()
    await home.skip(8 * HOUR)
    for run in runs[1:]:
        await home.end_run(run)
    await home.run_task("etl-0")
    await home.run_pass()
    assert [action for _, action in home.take_log()] == 6 * ["fire"]


async def test_a_lateness_that_was_told_before_the_end_is_not_told_again(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    task = await home.submit()
    await home.skip(HOUR)
    await home.run_pass()
    await home.start_run(task)
    await home.run_pass()
    assert [action for _, action in home.take_log()] == ["fire", "resolve"]
    home.restart()
    await home.advance(5)
    assert home.take_log() == []


async def test_what_was_late_before_the_last_sign_of_life_is_not_told(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    task = await home.submit()
    await home.skip(HOUR)
    await home.start_run(task)
    minute = timestamps.from_unix(home.now)
    await execute_sql(
        home.call, "INSERT INTO samples (kind, name, minute, running, waiting, used_cpu,"
        " used_memory, created_at, updated_at) VALUES ('pool', 'default', ?, 0, 0, 0, 0, ?, ?)",
        minute, minute, minute,
    )  # fmt: skip
    await home.skip(60)
    await home.run_pass()
    assert home.log == []


async def test_a_forecast_tells_what_missed_its_deadline_while_down(home: VirtualHome):
    when = {"forecast": {"reference": "started_at", "offset": "1h", "margin": "50m"}}
    await home.add_rule(make_conditions("instance", when))
    early, late = [await home.start_run(await home.submit()) for _ in range(2)]
    await home.run_pass()
    home.restart()
    await home.skip(HOUR / 2)
    await home.end_run(early)
    await home.skip(HOUR)
    await home.end_run(late)
    await home.run_pass()
    assert await list_texts(home) == ["was due Mon 30 Nov 01:00, ended Mon 01:30, while down"]


async def test_what_was_done_in_time_while_down_stays_quiet(home: VirtualHome):
    await home.add_rule(make_conditions("instance", NEVER_STARTED))
    await home.add_rule(make_conditions("instance", HUNG), "hung")
    running = await home.start_run(await home.submit())
    task = await home.submit()
    await home.run_pass()
    home.restart()
    await home.skip(1000)
    await home.end_run(running)
    await home.start_run(task)
    await home.skip(2 * HOUR)
    await home.run_pass()
    assert [subject for *_, subject in home.log] == [f"task:{task}"], "it hangs since its start"


async def test_a_fixed_time_that_passed_while_down_is_told(home: VirtualHome):
    await home.add_rule(make_conditions("task", BY_SIX, match={"task": "etl"}))
    run = await home.start_run(await home.submit("etl"))
    await home.run_pass()
    home.restart()
    await home.skip(8 * HOUR)
    await home.end_run(run)
    await home.run_pass()
    assert await list_texts(home) == ["was due Mon 30 Nov 06:00, succeeded Mon 08:00, while down"]


@pytest.mark.parametrize(
    ("match", "count"), [({"task": "etl"}, 1), ({"task": ["e*", "t*"]}, 2), ({"queue": "q*"}, 0)]
)
async def test_a_rule_looks_only_at_the_late_runs_it_names(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch, match: Any, count: int
):
    looks: list[object] = []

    def look(match: Match, labels: Labels) -> bool:
        looks.append(labels)
        return is_matched(match, labels)

    monkeypatch.setattr(lateness, "is_matched", look)
    await home.add_rule(make_conditions("instance", HUNG, match=match))
    runs = await home.start_runs([await home.submit(name) for name in ("etl", "test", "other")])
    await home.run_pass()
    home.restart()
    await home.skip(2 * HOUR)
    for run in runs:
        await home.end_run(run)
    await home.run_pass()
    assert len(looks) == count
    assert len(await home.list_alerts()) == count
