"""Rules as collections of alerts have them: what they cover, and how they read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import Usage
from app.service.definitions import apply, slas
from app.service.rules import replay
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome, make_conditions

pytestmark = pytest.mark.database
HOUR, DAY = 3600.0, 86400.0
FAILED = {"metric": "instance.exit_code", "op": "!=", "value": 0}
FAILS = {"metric": "task.consecutive_failures", "op": ">=", "value": 2}
BY_SIX = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}}


async def add_schedule(home: VirtualHome, name: str = "nightly", task: str | None = "etl") -> None:
    await execute_sql(
        home.call,
        "INSERT INTO schedules (name, status, kind, expression, zone, start, task, context,"
        " exclude, created_at, updated_at) VALUES (?2, 'active', 'cron', '0 2 * * *',"
        " 'UTC', ?1, ?3, '{}', '[]', ?1, ?1)",
        timestamps.now(),
        name,
        json.dumps({"name": task} if task else {"argv": ["true"]}),
    )


async def submit_by_schedule(home: VirtualHome, task: str = "etl") -> str:
    uuid = await home.submit(task)
    await execute_sql(
        home.call,
        "INSERT INTO fires (schedule, fire_time, outcome, task_id, created_at, updated_at)"
        " VALUES ('nightly', ?1, 'submitted', ?2, ?1, ?1)",
        timestamps.from_unix(home.now),
        uuid,
    )
    return uuid


async def list_objects(home: VirtualHome) -> list[str]:
    return [alert["object"] for alert in await home.list_alerts()]


async def list_replayed(home: VirtualHome) -> list[tuple[float, str]]:
    """Return (seconds since the start, object) of what a replay finds."""
    found = await replay.test(home.call, name="rule")
    return [(round(timestamps.to_unix(one["fired_at"]) - home.start, 2), one["object"])
            for one in found["alerts"]]  # fmt: skip


async def test_failures_of_a_schedule_fire_its_rules_only(home: VirtualHome):
    await add_schedule(home)
    match = {"schedule": "night*"}
    await home.add_rule(make_conditions("instance", FAILED, match=match))
    await home.add_rule(make_conditions("task", FAILS, match=match), "twice")
    for _ in range(2):
        await home.run_task("other", 1)
        await home.skip(1)
        await home.end_run(await home.start_run(await submit_by_schedule(home)), 1)
    await home.advance(5)
    assert sorted(await list_objects(home)) == ["#2 etl", "#4 etl", "etl"]


@pytest.mark.parametrize("scope", ["task", "instance", "schedule"])
async def test_a_schedule_that_never_ran_misses_its_deadline(home: VirtualHome, scope: str):
    await add_schedule(home)
    await home.add_rule(make_conditions(scope, BY_SIX, match={"schedule": "nightly"}))
    await home.skip(6 * HOUR - 10)
    await home.advance(20)
    assert home.take_log() == [(6 * HOUR, "fire")]


async def test_a_schedule_names_the_tasks_that_it_submits(home: VirtualHome):
    await add_schedule(home, task=None)
    window = {"metric": "instance.run_seconds", "stat": "max", "window": "1h"}
    await home.add_rule(make_conditions("schedule", {**window, "op": ">", "value": 10}))
    await home.run_task("nightly", seconds=20)
    await home.advance(5)
    assert await list_objects(home) == ["schedule nightly"]


async def test_a_rule_of_schedules_leaves_other_tasks_out(home: VirtualHome):
    await add_schedule(home)
    long = {"metric": "instance.run_seconds", "op": ">", "value": "1m"}
    await home.add_rule(make_conditions("schedule", long))
    await home.start_run(await home.submit("by-hand"))
    await home.start_run(await submit_by_schedule(home))
    await home.advance(65)
    assert await list_objects(home) == ["schedule nightly"]


async def test_names_match_by_the_tags_of_their_latest_task(home: VirtualHome):
    await home.add_rule(make_conditions("task", FAILS, match={"tags": {"team": "db"}}))
    for _ in range(2):
        for name, tags in (("dump", {"team": "db"}), ("other", {})):
            await home.end_run(await home.start_run(await home.submit(name, tags=tags)), 1)
    await home.advance(5)
    assert await list_objects(home) == ["dump"]


async def test_a_task_for_later_waits_from_its_planned_start(home: VirtualHome):
    when = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "60s"}
    await home.add_rule(make_conditions("queue", when))
    uuid = await home.submit(at=timestamps.from_unix(home.now + HOUR))
    await home.skip(HOUR)
    await execute_sql(home.call, "UPDATE tasks SET status = 'queued' WHERE uuid = ?", uuid)
    await home.advance(70)
    assert home.take_log() == [(HOUR + 60.001, "fire")]


async def test_a_retry_does_not_postpone_a_deadline(home: VirtualHome):
    when = {"deadline": {"reference": "queued_at", "offset": "90s"}}
    await home.add_rule(make_conditions("instance", when))
    run = await home.start_run(await home.submit(retries=3, retry_delay=10))
    await home.advance(80)
    await home.end_run(run, 1)
    await home.advance(30)
    assert home.take_log() == [(90, "fire")]
    assert [at for at, _ in await list_replayed(home)] == [90]


async def test_the_only_alert_of_a_rule_names_all_subjects(home: VirtualHome):
    await home.add_rule(make_conditions("task", FAILS, for_each="rule"))
    queued = {"metric": "instance.queued_seconds", "op": ">", "value": "1m"}
    await home.add_rule(make_conditions("instance", queued, for_each="template"), "late")
    for _ in range(2):
        await home.run_task("sync", 1)
    await home.submit()
    await home.advance(65)
    assert sorted(await list_objects(home)) == ["all tasks", "no template"]


async def test_an_inactive_rule_that_keeps_its_alert_writes_nothing(home: VirtualHome):
    when = {"metric": "host.memory_ratio", "op": ">", "value": "90%"}
    await home.add_rule(
        make_conditions("host", when, active_time="00:00-01:00", keep_firing_for="1h")
    )
    home.probes.host["memory_ratio"] = 0.95
    await home.skip(HOUR - 10)
    await home.advance(20)
    before = home.call.db.changes
    await home.advance(60)
    assert home.call.db.changes == before
    assert [action for _, action in home.take_log()] == ["fire"]


async def test_a_replay_finds_what_never_happened(home: VirtualHome):
    await add_schedule(home)
    when = {"metric": "schedule.seconds_since_success", "op": ">", "value": "25h"}
    await home.add_rule(make_conditions("schedule", when))
    await home.skip(2 * DAY)
    assert await list_replayed(home) == [(25 * HOUR, "schedule nightly")]
    match = {"schedule": "n*"}
    await slas.set_(home.call, name="rule", conditions=make_conditions("task", BY_SIX, match=match))
    assert {subject for _, subject in await list_replayed(home)} == {"etl"}


async def test_a_waiting_retry_has_the_next_attempt_in_a_replay(home: VirtualHome):
    when = {"metric": "instance.attempt", "op": ">=", "value": 2}
    await home.add_rule(make_conditions("instance", when))
    task = await home.submit(retries=1, retry_delay=60)
    await home.end_run(await home.start_run(task), 1)
    await home.advance(5)
    assert home.take_log() == [(0, "fire")]
    assert [at for at, _ in await list_replayed(home)] == [0]


async def test_a_null_is_no_value_and_can_be_exported(home: VirtualHome):
    conditions = make_conditions("task", BY_SIX, match=None, for_each=None)
    await home.add_rule({**conditions, "match": {"task": "etl", "queue": None}})
    text = await apply.export(home.call)
    found = await apply.apply(home.call, text=text)
    assert {change["change"] for change in found["changes"]} == {"same"}


async def test_a_time_of_a_file_needs_no_quotes(home: VirtualHome):
    rule = "scope = 'task'\nwhen.deadline.reference = { fixed = 06:00:00, tz = 'UTC' }"
    await apply.apply(home.call, text=f"[slas.rule.conditions]\n{rule}")
    assert (await slas.show(home.call, name="rule"))["words"].endswith("by 06:00 UTC")


@pytest.mark.parametrize("severity", [[], {}, 1, None])
async def test_a_severity_that_is_no_text_is_refused(home: VirtualHome, severity: Any):
    tables = {
        "slas": {"rule": {"conditions": make_conditions("task", BY_SIX), "severity": severity}}
    }
    with pytest.raises(Usage, match="severity must be"):
        await apply.apply(home.call, tables=tables)
    with pytest.raises(Usage, match="severity must be"):
        await slas.create(
            home.call, name="r", conditions=make_conditions("task", BY_SIX), severity=severity
        )
