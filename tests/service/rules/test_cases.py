"""The usual alerts of a server, written as conditions: each fires at its second and clears."""

from __future__ import annotations

import pytest

from app.service.rules.facts.probes import RunProbe
from db import timestamps
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome

pytestmark = pytest.mark.database
HOUR = 3600.0


async def test_the_latency_of_a_queue_is_over_a_minute(home: VirtualHome):
    when = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "60s"}
    await home.add_rule({"scope": "queue", "match": {"queue": "default"}, "when": when})
    task = await home.submit()
    await home.advance(59)
    assert home.take_log() == []
    await home.advance(30)
    assert home.take_log() == [(60.001, "fire")]
    await home.start_run(task)
    await home.advance(30)
    assert home.take_log() == [(89, "resolve")]


async def test_a_queue_is_longer_than_100_for_a_minute(home: VirtualHome):
    when = {"metric": "queue.depth", "op": ">", "value": 100}
    await home.add_rule(
        {"scope": "queue", "match": {"queue": "default"}, "when": when, "for": "1m"}
    )
    tasks = [await home.submit() for _ in range(101)]
    await home.advance(50)
    await home.start_run(tasks[0])
    await home.advance(10)
    extra = await home.submit()
    await home.advance(59)
    assert home.take_log() == []
    await home.advance(2)
    assert home.take_log() == [(120, "fire")]
    await home.start_run(extra)
    await home.advance(60)
    assert home.take_log() == [(121, "resolve")]


async def test_a_run_takes_over_an_hour(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "op": ">", "value": "1h"}
    await home.add_rule({"scope": "instance", "match": {"task": "encode-*"}, "when": when})
    run = await home.start_run(await home.submit("encode-1"))
    await home.start_run(await home.submit("other"))
    await home.advance(3599)
    assert home.take_log() == []
    await home.advance(60)
    assert home.take_log() == [(3600.001, "fire")]
    await home.end_run(run)
    await home.advance(60)
    assert home.take_log() == [(3659, "resolve")]


async def test_a_task_has_not_started_within_five_minutes(home: VirtualHome):
    when = {"metric": "instance.queued_seconds", "op": ">", "value": "5m"}
    await home.add_rule({"scope": "instance", "when": when})
    task = await home.submit()
    await home.advance(400)
    assert home.take_log() == [(300.001, "fire")]
    await home.start_run(task)
    await home.advance(60)
    assert home.take_log() == [(400, "resolve")]


async def test_the_last_success_is_older_than_its_schedule(home: VirtualHome):
    await execute_sql(
        home.call,
        "INSERT INTO schedules (name, status, kind, expression, zone, start, task, context,"
        " exclude, created_at, updated_at) VALUES ('nightly', 'active', 'cron', '0 2 * * *',"
        " 'UTC', ?1, '{\"name\": \"etl\"}', '{}', '[]', ?1, ?1)",
        timestamps.now(),
    )
    when = {"metric": "schedule.seconds_since_success", "op": ">", "value": "25h"}
    await home.add_rule({"scope": "schedule", "match": {"schedule": "night*"}, "when": when})
    task = await home.submit("etl")
    await execute_sql(
        home.call,
        "INSERT INTO fires (schedule, fire_time, outcome, task_id, created_at, updated_at)"
        " VALUES ('nightly', ?1, 'submitted', ?2, ?1, ?1)",
        timestamps.now(),
        task,
    )
    await home.end_run(await home.start_run(task))
    await home.advance(10)
    await home.skip(25 * HOUR - 20)
    await home.advance(60)
    assert home.take_log() == [(25 * HOUR + 0.001, "fire")]
    second = await home.submit("etl")
    await execute_sql(
        home.call,
        "INSERT INTO fires (schedule, fire_time, outcome, task_id, created_at, updated_at)"
        " VALUES ('nightly', ?1, 'submitted', ?2, ?1, ?1)",
        timestamps.now(),
        second,
    )
    await home.end_run(await home.start_run(second))
    await home.advance(60)
    assert home.take_log() == [(25 * HOUR + 50, "resolve")]


async def test_a_task_has_not_succeeded_by_six_on_workdays(home: VirtualHome):
    reference = {"fixed": "06:00", "tz": "UTC", "days": "mon-fri"}
    when = {"deadline": {"reference": reference}}
    await home.add_rule({"scope": "task", "match": {"task": "nightly-etl"}, "when": when})
    await home.skip(2 * HOUR)
    await home.run_task("nightly-etl", seconds=HOUR)
    await home.skip(3 * HOUR - 60)  # Monday 05:59: it has succeeded
    await home.advance(120)
    assert home.take_log() == []
    await home.skip(24 * HOUR - 120)  # Tuesday 05:59: it never started
    await home.advance(120)
    assert home.take_log() == [(30 * HOUR, "fire")]
    await home.run_task("nightly-etl", seconds=60)
    await home.advance(10)
    assert home.take_log() == [(30 * HOUR + 120, "resolve")]
    await home.skip(4 * 24 * HOUR - 200)  # Saturday 05:58: no workday
    await home.advance(HOUR / 4)
    assert [action for _, action in home.take_log()] == ["fire"]  # since Wednesday, while down


async def test_the_newest_backup_is_older_than_48_hours(home: VirtualHome):
    when = {"metric": "taskdeck.backup_age_seconds", "op": ">", "value": "48h"}
    await home.add_rule({"scope": "taskdeck", "when": when})
    await home.advance(10)
    assert home.take_log() == []  # no data is no alert
    await add_backup(home)
    await home.skip(48 * HOUR - 20)
    await home.advance(60)
    assert home.take_log() == [(48 * HOUR + 10.001, "fire")]
    await add_backup(home)
    await home.advance(10)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def add_backup(home: VirtualHome) -> None:
    await execute_sql(
        home.call,
        "INSERT INTO backups (kind, file, verified_at, created_at, updated_at) VALUES ('full',"
        " ?1, ?1, ?1, ?1)",
        timestamps.now(),
    )


async def test_a_task_restarts_more_than_once_in_five_minutes(home: VirtualHome):
    when = {"metric": "instance.attempt", "rate_over": "5m", "op": ">", "value": 1}
    await home.add_rule({"scope": "instance", "when": when})
    task = await home.submit(retries=5, retry_delay=0.1)
    await home.end_run(await home.start_run(task), code=1)
    for _ in range(2):
        await home.advance(60)
        assert home.take_log() == []
        await make_due(home, task)
        await home.end_run(await home.start_run(task), code=1)
    await home.advance(400)
    assert home.take_log() == [(120, "fire"), (360, "resolve")]


async def make_due(home: VirtualHome, task: str) -> None:
    await execute_sql(
        home.call, "UPDATE tasks SET status = 'queued', retry_at = NULL WHERE uuid = ?", task
    )


async def test_the_95th_percentile_of_run_times_is_over_30_seconds(home: VirtualHome):
    when = {
        "metric": "instance.run_seconds", "stat": "p95", "window": "10m", "op": ">", "value": "30s",
    }  # fmt: skip
    await home.add_rule({"scope": "task", "match": {"task": "render"}, "when": when})
    await home.run_task("render", seconds=10)
    await home.advance(50)
    assert home.take_log() == []
    run = await home.start_run(await home.submit("render"))
    await home.advance(40)
    await home.end_run(run)
    await home.advance(700)
    assert home.take_log() == [(100, "fire"), (700, "resolve")]


async def test_a_queue_does_not_drain_for_half_an_hour(home: VirtualHome):
    parts = [
        {"metric": "queue.depth", "op": ">", "value": 0},
        {"metric": "queue.drain_rate", "rate_over": "1m", "op": "<=", "value": 0},
    ]
    await home.add_rule(
        {"scope": "queue", "match": {"queue": "default"}, "when": {"all": parts}, "for": "30m"}
    )
    await home.start_run(await home.submit())
    second = await home.submit()
    await home.advance(1855)
    assert home.take_log() == []
    await home.advance(60)
    assert home.take_log() == [(1860, "fire")]
    await home.start_run(second)
    await home.advance(60)
    assert home.take_log() == [(1915, "resolve")]


async def test_most_slots_are_in_use_for_ten_minutes(home: VirtualHome):
    await execute_sql(home.call, "UPDATE queues SET capacity = 10 WHERE name = 'default'")
    when = {"metric": "queue.load_ratio", "op": ">=", "value": "90%"}
    await home.add_rule({"scope": "queue", "when": when, "for": "10m"})
    runs = [await home.start_run(await home.submit(cpu=0.1)) for _ in range(9)]
    await home.advance(599)
    assert home.take_log() == []
    await home.advance(2)
    assert home.take_log() == [(600, "fire")]
    await home.end_run(runs[0])
    await home.advance(10)
    assert home.take_log() == [(601, "resolve")]


async def test_the_memory_of_the_host_is_over_90_percent(home: VirtualHome):
    when = {"metric": "host.memory_ratio", "op": ">", "value": 0.9}
    await home.add_rule({"scope": "host", "when": when, "keep_firing_for": "30s"})
    await home.advance(10)
    home.probes.host["memory_ratio"] = 0.95
    await home.advance(10)
    assert home.take_log() == [(15, "fire")]
    for used in (0.89, 0.91, 0.89, 0.92):  # around the limit: no flapping
        home.probes.host["memory_ratio"] = used
        await home.advance(15)
    assert home.take_log() == []
    home.probes.host["memory_ratio"] = 0.5
    await home.advance(60)
    assert home.take_log() == [(115, "resolve")]


async def test_the_disk_will_be_full_within_a_day(home: VirtualHome):
    when = {"metric": "host.disk_full_in_hours", "op": "<", "value": "24h"}
    await home.add_rule({"scope": "host", "when": when})
    home.probes.host["disk_free"] = 100e9
    await home.advance(900)
    assert home.take_log() == []
    for _ in range(60):  # 60 MB in 30 s: 100 GB last for half a day
        home.probes.host["disk_free"] -= 60e6  # type: ignore[operator]
        await home.advance(30)
    ((_, action),) = home.take_log()
    assert action == "fire"
    await home.advance(3700)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def test_a_run_writes_nothing_for_ten_minutes(home: VirtualHome):
    when = {"metric": "instance.output_idle_seconds", "op": ">", "value": "10m"}
    await home.add_rule({"scope": "instance", "when": when})
    run = await home.start_run(await home.submit())
    await home.advance(300)
    home.probes.runs[run] = RunProbe(output_at=home.now)
    await home.advance(599)
    assert home.take_log() == []
    await home.advance(10)
    assert home.take_log() == [(900.001, "fire")]
    home.probes.runs[run] = RunProbe(output_at=home.now)
    await home.advance(10)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def test_a_task_fails_three_times_in_a_row(home: VirtualHome):
    when = {"metric": "task.consecutive_failures", "op": ">=", "value": 3}
    await home.add_rule({"scope": "task", "match": {"task": "sync"}, "when": when})
    for code in (1, 1, 0, 1, 1):
        await home.run_task("sync", code)
        await home.advance(10)
    assert home.take_log() == []
    await home.run_task("sync", 1)
    await home.advance(10)
    assert home.take_log() == [(50, "fire")]
    await home.run_task("sync", 0)
    await home.advance(10)
    assert home.take_log() == [(60, "resolve")]


async def test_a_cancelled_run_has_no_run_time_of_its_own(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "stat": "p95", "window": "10m", "op": ">",
            "value": "30s"}  # fmt: skip
    await home.add_rule({"scope": "task", "when": when})
    await home.start_run(await home.submit("stopped"))
    slow = await home.start_run(await home.submit("slow"))
    await home.advance(40)
    await execute_sql(
        home.call,
        "UPDATE instances SET status = 'cancelled', end_time = ?1, run_seconds = 40 WHERE task_id ="
        " (SELECT uuid FROM tasks WHERE name = 'stopped')",
        timestamps.now(),
    )
    await home.end_run(slow)
    await home.advance(10)
    assert [subject for *_, subject in home.log] == ["name:slow"]


async def test_an_alert_of_a_queue_names_its_task(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "op": ">", "value": "1m"}
    await home.add_rule({"scope": "queue", "when": when})
    await home.start_run(await home.submit("etl"))
    await home.advance(70)
    (alert,) = await home.list_alerts()
    assert (alert["object"], alert["text"]) == ("queue default", "#1 etl: running 1m (limit 1m)")
