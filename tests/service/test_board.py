"""The board snapshot that the deck and `status` show."""

from __future__ import annotations

import errno
import json
import os
import re
from datetime import timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from app import paths
from app.core.board import Board, HostFacts, ResourceUse
from app.service import alerts, board, sla_evaluation
from app.service.context import Call
from app.service.definitions import apply, bookings, queues, slas
from app.service.schedules import verbs
from app.service.tasks.changes import actions
from db import schema, timestamps
from db.engine import Database
from db.lock_monitor import LockHolder
from db.queries import reads
from db.queries.history import operations
from db.queries.home import retention
from tests.service.calls import execute_sql, submit_task


async def read_board_again(call: Call) -> Board:
    """Return the board after a JSON round trip."""
    return Board.from_dict(json.loads(json.dumps(await board.show_board(call))))


async def test_an_unused_home_says_so(call: Call):
    found = await read_board_again(call)

    assert (
        found.ever,
        found.running,
        found.next,
        found.ended,
        found.alerts,
        found.waiting_total,
    ) == (False, (), (), (), (), 0)
    assert [(line.name, line.capacity, line.word) for line in found.queues] == [
        ("default", found.queues[0].capacity, "open")
    ]
    assert found.runtime.state == "none"


async def test_an_idle_home_reads_only_runtime_figures_again(
    runtime_call: Call, fake_runtime, monkeypatch
):
    await submit_task(runtime_call, name="held", hold=True)
    for name in ("_TODAY", "_UNSEEN"):  # drop counts cached by earlier tests
        monkeypatch.setattr(board, name, board.EndedCount(["failed"]))
    began, read = timestamps.utcnow(), []
    monkeypatch.setattr(Database, "read", partialmethod(_count_reads, Database.read, read))
    monkeypatch.setattr(timestamps, "utcnow", lambda: began)
    first = await read_board_again(runtime_call)

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=9))
    monkeypatch.setattr(fake_runtime, "get_host", lambda: HostFacts(name="here", load=1.5))
    again = await read_board_again(runtime_call)
    assert len(read) == 1
    assert again == first._replace(at=first.at + 9, host=HostFacts(name="here", load=1.5))

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=11))
    assert (await read_board_again(runtime_call)).next == first.next
    assert len(read) == 2
    await submit_task(runtime_call, name="held too", hold=True)
    assert {line.name for line in (await read_board_again(runtime_call)).next} == {
        "held",
        "held too",
    }
    fake_runtime.halted = "disk full"
    assert (await read_board_again(runtime_call)).database == "disk full"
    await board.show_board(runtime_call, seen=began.timestamp())
    assert len(read) == 5


@pytest.mark.parametrize("queue", ["active", "paused"])
async def test_a_countdown_is_updated_on_an_idle_board(runtime_call: Call, monkeypatch, queue: str):
    await submit_task(runtime_call, name="again")
    await execute_sql(runtime_call, f"UPDATE queues SET status = '{queue}'")
    now = timestamps.utcnow()
    due = timestamps.format_time(now + timedelta(seconds=50))
    await execute_sql(
        runtime_call, f"UPDATE tasks SET status = 'retrying', retry_at = '{due}' WHERE number = 1"
    )
    waits = []
    for passed in (0, 4):
        monkeypatch.setattr(
            timestamps, "utcnow", lambda passed=passed: now + timedelta(seconds=passed)
        )
        waits.append((await read_board_again(runtime_call)).next[0].why)
    assert [re.findall(r"may start in ~\d+s", why) for why in waits] == [
        ["may start in ~50s"],
        ["may start in ~46s"],
    ]


async def test_lateness_and_the_end_of_a_silence_are_updated(runtime_call: Call, monkeypatch):
    await slas.create(runtime_call, name="soon", preset="starts-within", value="30s")
    began, told = timestamps.utcnow(), []
    monkeypatch.setattr(timestamps, "utcnow", lambda: began)
    await submit_task(runtime_call)
    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=40))
    await runtime_call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    await alerts.silence(runtime_call, until="3s", sla="soon")
    for passed in (41, 45):
        monkeypatch.setattr(
            timestamps, "utcnow", lambda passed=passed: began + timedelta(seconds=passed)
        )
        told += [
            (line.short, line.status) for line in (await read_board_again(runtime_call)).alerts
        ]
    assert told == [("41s > 30s", "silenced"), ("45s > 30s", "firing")]


async def test_a_cached_failure_count_is_refreshed_without_other_changes(
    runtime_call: Call, worker, monkeypatch
):
    passed, count = [0.0], reads.count_ended_since

    def long(*args: Any, **more: Any) -> Any:
        passed[0] += 1.0
        return count(*args, **more)

    monkeypatch.setattr(reads, "count_ended_since", long)
    monkeypatch.setattr(board, "monotonic", lambda: passed[0])
    for name in ("_TODAY", "_UNSEEN"):
        monkeypatch.setattr(board, name, board.EndedCount(["failed"]))
    await submit_task(runtime_call)
    assert (await read_board_again(runtime_call)).failed == 0
    await worker.run(1, 1)
    assert (await read_board_again(runtime_call)).failed == 0
    passed[0] += 60.0
    assert (await read_board_again(runtime_call)).failed == 1


async def test_the_count_of_today_keeps_tasks_that_are_deleted_and_removed(call: Call, worker):
    for code in (0, 0, 1):
        await worker.run((await submit_task(call))["number"], code)
    await actions.rm(call, ids=[1, 3])
    runs = [row[0] for row in await execute_sql(call, "SELECT runid FROM instances")]
    await call.db.write(retention.remove_runs, runs)

    assert len(await execute_sql(call, "SELECT 1 FROM tasks")) < 3
    assert (await board.show_status(call))["today"] == {"ok": 2, "failed": 1}
    found = await read_board_again(call)
    assert (found.today_ok, found.today_failed) == (2, 1)


async def test_everything_is_read_again_while_a_task_runs(runtime_call: Call, worker, monkeypatch):
    await submit_task(runtime_call)
    await worker.start(1)
    read: list[object] = []
    monkeypatch.setattr(Database, "read", partialmethod(_count_reads, Database.read, read))
    await read_board_again(runtime_call)
    await read_board_again(runtime_call)
    assert len(read) == 2


async def _count_reads(
    self: Database, usual: Any, read: list[object], fn: Any, *args: Any, **more: Any
) -> Any:
    read.append(fn)
    return await usual(self, fn, *args, **more)


async def test_running_waiting_and_ended_tasks_are_shown_with_reasons(
    runtime_call: Call, worker, home
):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    for name in ("good", "bad", "runs", "waits"):
        await submit_task(runtime_call, name=name, timeout="10m")
    await worker.run(1, 0, run_seconds=3.0)
    await worker.run(2, 7, run_seconds=2.0, logs="boom\n")
    runid = await worker.start(3)
    log = Path(paths.get_log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\ntwo 10%\rtwo 20%")

    found = await read_board_again(runtime_call)

    (running,) = found.running
    assert (running.number, running.name, running.status, running.output, running.attempt) == (
        3,
        "runs",
        "running",
        "two 20%",
        1,
    )
    assert running.left is not None and 590 < running.left <= 600 and running.at_most
    (waits,) = found.next
    assert (waits.number, waits.status, waits.why_short != "") == (4, "queued", True)
    assert {line.number: line.how for line in found.ended} == {
        1: "succeeded in 3.0s",
        2: "failed, exit 7 after 2.0s: boom",
    }
    assert (found.today_ok, found.today_failed, found.waiting_total, found.ever) == (1, 1, 1, True)
    assert found.news is not None and found.news.by == "ann"


async def test_old_successes_give_way_and_failures_of_the_week_stay(call: Call, worker):
    for code in (0, 1, 0, 1):
        await worker.run((await submit_task(call))["number"], code)
    hours = {1: 2, 2: 2, 3: 0, 4: 200}
    for number, hour in hours.items():
        await execute_sql(
            call,
            "UPDATE tasks SET ended_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', ?) WHERE"
            " number = ?",
            f"-{hour} hours",
            number,
        )

    assert [line.number for line in (await read_board_again(call)).ended] == [3, 2]


async def test_a_thousand_successes_hide_no_failure(call: Call, worker):
    await worker.run((await submit_task(call))["number"], 1)
    await execute_sql(
        call, "UPDATE tasks SET ended_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-2 hours')"
    )
    for _ in range(3):
        await worker.run((await submit_task(call))["number"], 0)

    assert {line.number for line in (await read_board_again(call)).ended} == {1, 2, 3, 4}


async def test_deleted_tasks_are_not_shown(call: Call, worker):
    await worker.run((await submit_task(call))["number"], 1)
    await actions.rm(call, ids=[1])

    assert (await read_board_again(call)).ended == ()


async def test_next_tasks_are_ordered_by_queue_and_task_priority(runtime_call: Call):
    await queues.queue_create(runtime_call, name="high", capacity=0, priority=10)
    await queues.queue_set(runtime_call, name="default", capacity=0)
    for queue, priority in (("default", 0), ("default", 5), ("high", 0)):
        await submit_task(runtime_call, queue=queue, priority=priority)

    assert [line.number for line in (await read_board_again(runtime_call)).next] == [3, 2, 1]


async def test_tasks_waiting_for_a_slot_come_before_other_waiting_tasks(runtime_call: Call):
    await queues.queue_set(runtime_call, name="default", capacity=0)
    await submit_task(runtime_call, hold=True)
    await submit_task(runtime_call, at="2h")
    await submit_task(runtime_call)

    assert [line.status for line in (await read_board_again(runtime_call)).next] == [
        "queued",
        "scheduled",
        "held",
    ]


async def test_timed_tasks_come_in_time_order_and_blocked_ones_last(runtime_call: Call):
    await queues.queue_create(runtime_call, name="shut", priority=10)
    await queues.queue_pause(runtime_call, name="shut")
    await submit_task(runtime_call, queue="shut", name="stands still")
    await submit_task(runtime_call, name="held", hold=True)
    for at in ("3h", "1h", "2h"):
        await submit_task(runtime_call, at=at, name=f"in {at}")
    for number, delay in ((6, "+2"), (7, "+1")):
        await submit_task(runtime_call, name=f"again in {delay}")
        due = f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '{delay} hours')"
        await execute_sql(
            runtime_call,
            f"UPDATE tasks SET status = 'retrying', retry_at = {due} WHERE number = {number}",
        )
    await submit_task(runtime_call, name="never fits")
    await execute_sql(runtime_call, "UPDATE tasks SET cpu = 100000.0 WHERE number = 8")
    await submit_task(runtime_call, name="next")

    assert [line.name for line in (await read_board_again(runtime_call)).next] == [
        "next", "again in +1", "again in +2", "in 1h", "in 2h", "in 3h", "stands still",
        "never fits", "held",
    ]  # fmt: skip


async def test_pools_show_their_reservations(runtime_call: Call, worker):
    await submit_task(runtime_call, cpu=0.5, memory="64M")
    await worker.start(1)

    (pool,) = (await read_board_again(runtime_call)).pools

    assert (pool.used_cpu, pool.used_memory) == (0.5, 64.0)


async def test_pools_and_status_show_what_is_reserved(runtime_call: Call):
    args = {"pool": "default", "tag": "team=a", "begin": "now", "end": "5h"}
    await bookings.create(runtime_call, **args, cpu=1, memory="64M")

    found, status = await read_board_again(runtime_call), await board.show_status(runtime_call)

    (one,) = found.bookings
    assert (one.pool, one.tag, one.amounts) == ("default", "team=a", "1 cpu, 64M memory")
    assert Board.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    (row,) = status["pools"][0]["reservations"]
    assert (row["tag"], row["needs"]) == ("team=a", {"cpu": 1.0, "memory": 64.0})


async def test_pools_and_status_show_named_resources(runtime_call: Call, worker):
    await apply.apply(runtime_call, text='[resources."license.matlab"]\ntotal = 2\n')
    await queues.pool_set(runtime_call, name="default", resources={"gpu": 4})
    await submit_task(runtime_call, resources={"gpu": 3, "license.matlab": 1})
    await worker.start(1)

    found, status = await read_board_again(runtime_call), await board.show_status(runtime_call)

    assert found.pools[0].resources == (ResourceUse("gpu", 4, 3),)
    assert found.resources == (ResourceUse("license.matlab", 2, 1),)
    assert found.running[0].holds == {"gpu": 3, "license.matlab": 1}
    assert Board.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert status["resources"] == [{"name": "license.matlab", "total": 2, "used": 1}]


async def test_status_has_every_documented_key(runtime_call: Call, worker):
    await worker.run((await submit_task(runtime_call))["number"], 1)
    await submit_task(runtime_call)

    found = await board.show_status(runtime_call)

    assert found["runtime"].keys() >= {"state", "pid", "since", "tick_lag"}
    assert found["keeper"].keys() == {"pid", "guard_pid"}
    assert (found["counts"], found["today"]) == ({"failed": 1, "queued": 1}, {"ok": 0, "failed": 1})
    assert [(q["name"], q["waiting"], q["word"]) for q in found["queues"]] == [
        ("default", 1, "open")
    ]
    assert [p["name"] for p in found["pools"]] == ["default"]
    assert found["alerts"] == [] and found["home"] == str(runtime_call.home)
    json.dumps(found)


async def test_a_stopped_runtime_is_shown_with_who_stopped_it(call: Call):
    with open(paths.get_stop_marker_path(call.home), "w") as file:
        file.write("bob\n10:31\n")

    found: dict[str, Any] = await board.show_status(call)

    assert (found["runtime"]["state"], found["runtime"]["stopped_by"]) == ("stopped", "bob")


@pytest.mark.parametrize("taken", [None, 2], ids=["nothing", "a part"])
async def test_a_stop_is_marked_even_without_disk_space_for_the_name(
    call: Call, taken: int | None, monkeypatch: pytest.MonkeyPatch
):
    write = os.write

    def full(fd: int, text: bytes) -> int:
        if taken is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, text[:taken])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        paths.write_stop_marker(call.home, "bob", "10:31")

    assert os.path.getsize(paths.get_stop_marker_path(call.home)) == 0
    assert (await board.show_status(call))["runtime"]["stopped_by"] == "somebody"
    assert re.fullmatch(r"\d\d:\d\d", (paths.read_stop_marker(call.home) or ("", ""))[1])


async def test_without_a_runtime_tasks_show_how_long_they_wait(call: Call):
    await submit_task(call)
    assert [line.why_short for line in (await read_board_again(call)).next] == [
        "nothing starts: no runtime is running"
    ]

    paths.write_stop_marker(call.home, "bob", "10:31")

    assert [line.why_short for line in (await read_board_again(call)).next] == [
        "nothing starts: no runtime since 10:31"
    ]


async def test_without_a_runtime_pools_show_the_last_measurement_and_its_time(
    call: Call, db: Database
):
    assert (await read_board_again(call)).measured_at is None
    for minute, cpu in (("10:30", 3.0), ("10:31", 1.5)):
        await db.write(
            _insert_samples,
            f"2026-11-25T{minute}:00.000000Z",
            f"2026-11-25T{minute}:02.000000Z",
            cpu,
        )

    found = await read_board_again(call)

    assert [(pool.measured_cpu, pool.measured_memory) for pool in found.pools] == [(1.5, 100.0)]
    assert found.measured_at == timestamps.to_unix("2026-11-25T10:31:02.000000Z")


async def test_with_a_runtime_no_old_measurement_is_shown(runtime_call: Call, db: Database):
    await db.write(
        _insert_samples, "2026-11-25T10:31:00.000000Z", "2026-11-25T10:31:02.000000Z", 1.5
    )

    found = await read_board_again(runtime_call)

    assert (found.measured_at, found.pools[0].measured_cpu) == (None, 0.0)


def _insert_samples(c: Connection, minute: str, at: str, cpu: float) -> None:
    for kind in ("queue", "pool"):
        row = {
            "kind": kind,
            "name": "default",
            "minute": minute,
            "measured_cpu": cpu,
            "measured_memory": 100.0,
        }
        c.execute(insert(schema.samples), row | {"created_at": minute, "updated_at": at})


async def test_the_holder_of_the_write_lock_is_shown_with_the_time(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    assert (await read_board_again(runtime_call)).lock is None
    monkeypatch.setattr(
        runtime_call.db, "find_lock_holder", lambda: LockHolder(4.0, "sqlite3, pid 4711")
    )

    found = await read_board_again(runtime_call)

    assert (
        found.lock is not None
        and found.lock.by == "sqlite3, pid 4711"
        and found.at - found.lock.since == pytest.approx(4.0)
    )


@pytest.mark.parametrize(("verb", "thing", "told"), [
    ("stop", "runtime", "stopped the runtime"), ("db backup", "backup 20261127T104540Z-full",
    "took backup 20261127T104540Z-full"),
    ("db cleanup", "database", "cleaned up the database"),
    ("template retire", "template a", "retired template a"),
    ("db repair", "database", "repaired the database"),
    ("template restore", "template a", "restored template a"),
])  # fmt: skip
async def test_an_operation_is_described_in_a_sentence(
    call: Call, verb: str, thing: str, told: str
):
    await call.db.write(
        operations.record, operations.Actor("ann", "deck", "pts/2 4120 81734"), verb, thing
    )

    news = (await read_board_again(call)).news

    assert news is not None and (f"{news.by} {news.text}", news.origin) == (
        f"ann {told}",
        "pts/2 4120 81734",
    )


async def test_fire_times_within_a_day_come_after_the_waiting_tasks(call: Call):
    for name, every in (("soon", "1h"), ("later", "5h"), ("in-two-days", "2d")):
        await verbs.create(call, name=name, every=every, argv=["true"], queue="default")
    await verbs.create(call, name="paused", every="10m", argv=["true"])
    await verbs.pause(call, name="paused")

    found = (await read_board_again(call)).coming

    assert [(line.name, line.words, line.queue) for line in found] == [
        ("soon", "every 1h", "default"),
        ("later", "every 5h", "default"),
    ]
    assert found[0].fires_at - timestamps.utcnow().timestamp() <= 3600


async def test_a_coming_fire_time_names_another_zone(call: Call, utc: None):
    for zone in ("Asia/Tokyo", "UTC"):
        await verbs.create(call, name=zone[:3], cron="0 * * * *", timezone=zone, argv=["true"])

    words = [line.words for line in (await read_board_again(call)).coming]

    hourly = "at the start of every hour"
    assert words == [f"{hourly} (Asia/Tokyo)", hourly]


async def test_coming_fire_times_are_found_by_their_index(call: Call):
    plan = await execute_sql(
        call,
        "EXPLAIN QUERY PLAN SELECT * FROM schedules WHERE due_at IS NOT NULL"
        " AND next_fire IS NOT NULL ORDER BY due_at LIMIT 5",
    )

    assert "idx_schedules_due" in str(plan) and "TEMP B-TREE" not in str(plan)
