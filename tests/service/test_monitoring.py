"""Snapshots for monitoring: depths, waits, pools, rules and copies, as stored."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.core.board import ReplicaFacts, ResourceUse
from app.service import alerts
from app.service.context import Call
from app.service.definitions import queues, slas
from app.service.monitoring import MonitoringSnapshot, take_snapshot
from db import timestamps
from db.queries.rules import alerts as stored_alerts
from db.queries.scheduling.waits import MAX_SEARCHED
from tests.service.calls import execute_sql, submit_task
from tests.service.conftest import FakeRuntimeHandle, Worker


def format_ago(seconds: float) -> str:
    return timestamps.format_time(timestamps.utcnow() - timedelta(seconds=seconds))


def get_states(found: MonitoringSnapshot) -> dict[str, str]:
    return {rule.name: rule.state for rule in found.rules}


async def fire_alerts(call: Call, rule: str, status: str) -> None:
    """Store an open alert of a rule."""
    (number,) = (await execute_sql(call, "SELECT id FROM slas WHERE name = ?", rule))[0]
    await execute_sql(
        call,
        "INSERT INTO alerts (sla_id, name, severity, status, object, text, short, fired_at,"
        " created_at, updated_at) VALUES (?, ?, 'warning', ?, 'taskdeck', '', '', ?, ?, ?)",
        *(number, rule, status, *[timestamps.now()] * 3),
    )


async def test_depths_are_those_of_tasks_that_are_not_over(runtime_call: Call, worker: Worker):
    await queues.queue_create(runtime_call, name="night")
    for more in ({}, {}, {"hold": True}, {"queue": "night"}):
        await submit_task(runtime_call, **more)
    await worker.start(1)

    found = await take_snapshot(runtime_call)

    assert dict(found.tasks) == {
        ("default", "running"): 1, ("default", "queued"): 1, ("default", "held"): 1,
        ("night", "queued"): 1,
    }  # fmt: skip


async def test_a_wait_begins_when_a_task_could_have_started(call: Call):
    for name in ("old", "planned", "retried", "idle"):
        await queues.queue_create(call, name=name)
        if name != "idle":
            await submit_task(call, queue=name)
    await execute_sql(call, "UPDATE tasks SET created_at = ?", format_ago(900))
    for column, queue, seconds in (("not_before", "planned", 60), ("retry_at", "retried", 30)):
        statement = f"UPDATE tasks SET {column} = ? WHERE queue = ?"
        await execute_sql(call, statement, format_ago(seconds), queue)

    waits = (await take_snapshot(call)).waits

    assert waits.keys() == {"old", "planned", "retried"}
    assert waits["old"] >= 900 and 60 <= waits["planned"] < 900 and 30 <= waits["retried"] < 900


async def test_the_longest_wait_is_found_among_many_tasks(call: Call):
    for _ in range(MAX_SEARCHED + 1):
        await submit_task(call)
    statement = "UPDATE tasks SET created_at = ? WHERE number = ?"
    await execute_sql(call, statement, format_ago(500), MAX_SEARCHED + 1)

    assert (await take_snapshot(call)).waits["default"] >= 500


async def test_every_queue_counts_from_zero(runtime_call: Call, fake_runtime: FakeRuntimeHandle):
    await queues.queue_create(runtime_call, name="night")

    found = await take_snapshot(runtime_call)
    fake_runtime.counts.add_start("night", 1.0)

    assert found.counts.queues["night"].started == 0
    assert sum(found.counts.queues["night"].waits.counts) == 0
    assert (await take_snapshot(runtime_call)).counts.queues["night"].started == 1


async def test_pools_show_what_they_have_and_reserve(runtime_call: Call):
    await queues.pool_create(runtime_call, name="big", cpu=8, memory="4G", resources={"license": 3})
    await execute_sql(runtime_call, "UPDATE pools SET used_cpu = 2, used_memory = 1024")

    pool = next(p for p in (await take_snapshot(runtime_call)).pools if p.name == "big")

    assert (pool.total_cpu, pool.total_memory, pool.used_cpu, pool.used_memory) == (
        8, 4096, 2, 1024
    )  # fmt: skip
    assert pool.measured_cpu == 0.0 and pool.outer is None
    assert pool.resources == (ResourceUse("license", 3, 0),)


async def test_rules_have_one_state_each(call: Call):
    for name in ("off", "ok", "firing", "acknowledged", "silenced"):
        await slas.create(call, name=name, preset="stays-below", metric="wal-size", value="1G")
    for name in ("firing", "acknowledged", "silenced"):
        await fire_alerts(call, name, "firing")
    await execute_sql(call, "UPDATE slas SET enabled = 0 WHERE name = 'off'")
    await alerts.ack(call, ids=["acknowledged"])
    await alerts.silence(call, sla="silenced", until="1h")

    found = await take_snapshot(call)

    assert get_states(found) == {name: name for name in get_states(found)}
    assert {rule.name: dict(rule.alerts) for rule in found.rules if rule.alerts} == {
        "firing": {"firing": 1}, "acknowledged": {"acknowledged": 1}, "silenced": {"firing": 1},
    }  # fmt: skip


async def test_problems_of_taskdeck_itself_are_named(call: Call):
    await call.db.write(
        stored_alerts.set_system_alerts, {"backup": "no space", "duty-usage": "failed"}
    )

    assert (await take_snapshot(call)).problems == ["backup", "duty-usage"]


async def test_copies_are_those_of_the_board(call: Call):
    assert (await take_snapshot(call)).replica is None
    row = ("there", "here", format_ago(300), *[format_ago(900)] * 2)
    statement = (
        "INSERT INTO replicas (target, origin, synced_at, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?)"
    )
    await execute_sql(call, statement, *row)

    replica = (await take_snapshot(call)).replica

    assert isinstance(replica, ReplicaFacts) and replica.late
    assert replica.lag == pytest.approx(300, abs=60)


async def test_sizes_and_writer_are_read_without_opening_the_file(call: Call):
    found = await take_snapshot(call)

    assert found.database_bytes == call.db.path.stat().st_size
    assert (found.database_state, found.writer.pending) == ("ok", 0)


async def test_an_unreadable_time_leaves_the_wait_out(call: Call):
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET created_at = 'yesterday'")

    assert (await take_snapshot(call)).waits == {}
