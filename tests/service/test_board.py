"""The one snapshot that the deck shows, and `status`."""

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
from app.core.board import Board, HostFacts
from app.service import alerts, board
from app.service.context import Call
from app.service.definitions import queues, slas
from app.service.tasks import actions
from db import schema, timestamps
from db.engine import Database
from db.lock_monitor import Held
from db.queries import operations, reads
from tests.service.calls import execute, submitted


async def seen(call: Call) -> Board:
    return Board.from_dict(json.loads(json.dumps(await board.board(call))))


async def test_a_home_that_was_never_used_says_so(call: Call):
    found = await seen(call)

    assert (found.ever, found.running, found.next, found.ended, found.alerts, found.waiting_total) == (
        False,
        (),
        (),
        (),
        (),
        0,
    )
    assert [(line.name, line.capacity, line.word) for line in found.queues] == [
        ("default", found.queues[0].capacity, "open")
    ]
    assert found.runtime.state == "none"


async def test_of_a_home_in_which_nothing_happens_only_what_the_runtime_measures_is_asked_again(live: Call, up, monkeypatch):
    await submitted(live, name="held", hold=True)
    for name in ("_TODAY", "_UNSEEN"):  # what was counted for the test before may still be remembered
        monkeypatch.setattr(board, name, board._Counted(["failed"]))
    began, read = timestamps.utcnow(), []
    monkeypatch.setattr(Database, "read", partialmethod(_counting, Database.read, read))
    monkeypatch.setattr(timestamps, "utcnow", lambda: began)
    first = await seen(live)

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=9))
    monkeypatch.setattr(up, "host", lambda: HostFacts(name="here", load=1.5))
    again = await seen(live)
    assert len(read) == 1
    assert again == first._replace(at=first.at + 9, host=HostFacts(name="here", load=1.5))

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=11))
    assert (await seen(live)).next == first.next
    assert len(read) == 2
    await submitted(live, name="held too", hold=True)
    assert {line.name for line in (await seen(live)).next} == {"held", "held too"}
    up.halted = "disk full"
    assert (await seen(live)).database == "disk full"
    await board.board(live, seen=began.timestamp())
    assert len(read) == 5


@pytest.mark.parametrize("queue", ["active", "paused"])
async def test_a_time_that_is_counted_down_does_not_stand_still(live: Call, monkeypatch, queue: str):
    await submitted(live, name="again")
    await execute(live, f"UPDATE queues SET status = '{queue}'")
    now = timestamps.utcnow()
    due = timestamps.stamp(now + timedelta(seconds=50))
    await execute(live, f"UPDATE tasks SET status = 'retrying', retry_at = '{due}' WHERE number = 1")
    waits = []
    for passed in (0, 4):
        monkeypatch.setattr(timestamps, "utcnow", lambda passed=passed: now + timedelta(seconds=passed))
        waits.append((await seen(live)).next[0].why)
    assert [re.search(r"may start in ~\d+s", why)[0] for why in waits] == ["may start in ~50s", "may start in ~46s"]


async def test_how_late_something_is_and_that_a_silence_is_over_does_not_stand_still(live: Call, monkeypatch):
    await slas.create(live, name="soon", preset="starts-within", value="30s")
    began, told = timestamps.utcnow(), []
    monkeypatch.setattr(timestamps, "utcnow", lambda: began)
    await submitted(live, hold=True)
    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(seconds=40))
    await live.db.write(slas.evaluate, timestamps.utcnow())
    await alerts.silence(live, until="3s", sla="soon")
    for passed in (41, 45):
        monkeypatch.setattr(timestamps, "utcnow", lambda passed=passed: began + timedelta(seconds=passed))
        told += [(line.short, line.status) for line in (await seen(live)).alerts]
    assert told == [("41s > 30s", "silenced"), ("45s > 30s", "firing")]


async def test_what_was_counted_before_something_failed_is_counted_again_though_nothing_else_happens(live: Call, worker, monkeypatch):
    passed, count = [0.0], reads.ended_since

    def long(*args: Any, **more: Any) -> Any:
        passed[0] += 1.0
        return count(*args, **more)

    monkeypatch.setattr(reads, "ended_since", long)
    monkeypatch.setattr(board, "monotonic", lambda: passed[0])
    for name in ("_TODAY", "_UNSEEN"):
        monkeypatch.setattr(board, name, board._Counted(["failed"]))
    await submitted(live)
    assert (await seen(live)).failed == 0
    await worker.run(1, 1)
    assert (await seen(live)).failed == 0
    passed[0] += 60.0
    assert (await seen(live)).failed == 1


async def test_of_one_in_which_something_runs_all_is_asked_each_time(live: Call, worker, monkeypatch):
    await submitted(live)
    await worker.start(1)
    read: list[object] = []
    monkeypatch.setattr(Database, "read", partialmethod(_counting, Database.read, read))
    await seen(live)
    await seen(live)
    assert len(read) == 2


async def _counting(self: Database, usual: Any, read: list[object], fn: Any, *args: Any, **more: Any) -> Any:
    read.append(fn)
    return await usual(self, fn, *args, **more)


async def test_what_runs_waits_and_ended_is_there_with_why(live: Call, worker, home):
    await queues.queue_set(live, name="default", capacity=1)
    for name in ("good", "bad", "runs", "waits"):
        await submitted(live, name=name, timeout="10m")
    await worker.run(1, 0, run_seconds=3.0)
    await worker.run(2, 7, run_seconds=2.0, logs="boom\n")
    runid = await worker.start(3)
    log = Path(paths.log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\ntwo 10%\rtwo 20%")

    found = await seen(live)

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
        await worker.run((await submitted(call))["number"], code)
    hours = {1: 2, 2: 2, 3: 0, 4: 200}
    for number, hour in hours.items():
        await execute(
            call,
            "UPDATE tasks SET ended_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', ?) WHERE number = ?",
            f"-{hour} hours",
            number,
        )

    assert [line.number for line in (await seen(call)).ended] == [3, 2]


async def test_a_thousand_successes_hide_no_failure(call: Call, worker):
    await worker.run((await submitted(call))["number"], 1)
    await execute(call, "UPDATE tasks SET ended_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-2 hours')")
    for _ in range(3):
        await worker.run((await submitted(call))["number"], 0)

    assert {line.number for line in (await seen(call)).ended} == {1, 2, 3, 4}


async def test_what_was_removed_is_not_shown(call: Call, worker):
    await worker.run((await submitted(call))["number"], 1)
    await actions.rm(call, ids=[1])

    assert (await seen(call)).ended == ()


async def test_next_to_start_is_in_the_order_of_queue_and_task_priority(live: Call):
    await queues.queue_create(live, name="high", capacity=0, priority=10)
    await queues.queue_set(live, name="default", capacity=0)
    for queue, priority in (("default", 0), ("default", 5), ("high", 0)):
        await submitted(live, queue=queue, priority=priority)

    assert [line.number for line in (await seen(live)).next] == [3, 2, 1]


async def test_tasks_that_wait_for_other_things_come_after_those_that_wait_for_a_place(live: Call):
    await queues.queue_set(live, name="default", capacity=0)
    await submitted(live, hold=True)
    await submitted(live, at="2h")
    await submitted(live)

    assert [line.status for line in (await seen(live)).next] == ["queued", "scheduled", "held"]


async def test_what_has_a_time_is_next_by_it_and_what_stands_still_comes_last(live: Call):
    await queues.queue_create(live, name="shut", priority=10)
    await queues.queue_pause(live, name="shut")
    await submitted(live, queue="shut", name="stands still")
    await submitted(live, name="held", hold=True)
    for at in ("3h", "1h", "2h"):
        await submitted(live, at=at, name=f"in {at}")
    for number, delay in ((6, "+2"), (7, "+1")):
        await submitted(live, name=f"again in {delay}")
        due = f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '{delay} hours')"
        await execute(live, f"UPDATE tasks SET status = 'retrying', retry_at = {due} WHERE number = {number}")
    await submitted(live, name="never fits")
    await execute(live, "UPDATE tasks SET cpu = 100000.0 WHERE number = 8")
    await submitted(live, name="next")

    assert [line.name for line in (await seen(live)).next] == [
        "next", "again in +1", "again in +2", "in 1h", "in 2h", "in 3h", "stands still", "never fits", "held",
    ]  # fmt: skip


async def test_pools_show_what_is_reserved(live: Call, worker):
    await submitted(live, cpu=0.5, memory="64M")
    await worker.start(1)

    (pool,) = (await seen(live)).pools

    assert (pool.used_cpu, pool.used_memory) == (0.5, 64.0)


async def test_status_has_what_the_design_promises(live: Call, worker):
    await worker.run((await submitted(live))["number"], 1)
    await submitted(live)

    found = await board.status(live)

    assert found["runtime"].keys() >= {"state", "pid", "since", "tick_lag"}
    assert found["keeper"].keys() == {"pid", "guard_pid"}
    assert (found["counts"], found["today"]) == ({"failed": 1, "queued": 1}, {"ok": 0, "failed": 1})
    assert [(q["name"], q["waiting"], q["word"]) for q in found["queues"]] == [("default", 1, "open")]
    assert [p["name"] for p in found["pools"]] == ["default"]
    assert found["alerts"] == [] and found["home"] == str(live.home)
    json.dumps(found)


async def test_a_runtime_that_was_stopped_is_said_to_be_and_by_whom(call: Call):
    with open(paths.stopped_mark(call.home), "w") as file:
        file.write("bob\n10:31\n")

    found: dict[str, Any] = await board.status(call)

    assert (found["runtime"]["state"], found["runtime"]["stopped_by"]) == ("stopped", "bob")


@pytest.mark.parametrize("taken", [None, 2], ids=["nothing", "a part"])
async def test_where_the_disk_has_no_room_for_the_name_a_stop_is_marked_all_the_same(
    call: Call, taken: int | None, monkeypatch: pytest.MonkeyPatch
):
    write = os.write

    def full(fd: int, text: bytes) -> int:
        if taken is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, text[:taken])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        paths.mark_stopped(call.home, "bob", "10:31")

    assert os.path.getsize(paths.stopped_mark(call.home)) == 0
    assert (await board.status(call))["runtime"]["stopped_by"] == "somebody"
    assert re.fullmatch(r"\d\d:\d\d", (paths.stopped(call.home) or ("", ""))[1])


async def test_what_waits_is_told_since_when_there_is_no_runtime(call: Call):
    await submitted(call)
    assert [line.why_short for line in (await seen(call)).next] == ["nothing starts: no runtime is up"]

    paths.mark_stopped(call.home, "bob", "10:31")

    assert [line.why_short for line in (await seen(call)).next] == ["nothing starts: no runtime since 10:31"]


async def test_without_a_runtime_pools_have_what_was_measured_last_and_when(call: Call, db: Database):
    assert (await seen(call)).measured_at is None
    for minute, cpu in (("10:30", 3.0), ("10:31", 1.5)):
        await db.write(_sampled, f"2026-11-25T{minute}:00.000000Z", f"2026-11-25T{minute}:02.000000Z", cpu)

    found = await seen(call)

    assert [(pool.measured_cpu, pool.measured_memory) for pool in found.pools] == [(1.5, 100.0)]
    assert found.measured_at == timestamps.unix("2026-11-25T10:31:02.000000Z")


async def test_with_a_runtime_nothing_is_of_before(live: Call, db: Database):
    await db.write(_sampled, "2026-11-25T10:31:00.000000Z", "2026-11-25T10:31:02.000000Z", 1.5)

    found = await seen(live)

    assert (found.measured_at, found.pools[0].measured_cpu) == (None, 0.0)


def _sampled(c: Connection, minute: str, at: str, cpu: float) -> None:
    for kind in ("queue", "pool"):
        row = {"kind": kind, "name": "default", "minute": minute, "measured_cpu": cpu, "measured_memory": 100.0}
        c.execute(insert(schema.samples), row | {"created_at": minute, "updated_at": at})


async def test_who_keeps_the_runtime_from_the_database_is_on_the_board_and_since_when(live: Call, monkeypatch: pytest.MonkeyPatch):
    assert (await seen(live)).lock is None
    monkeypatch.setattr(live.db, "held", lambda: Held(4.0, "sqlite3, pid 4711"))

    found = await seen(live)

    assert found.lock is not None and found.lock.by == "sqlite3, pid 4711" and found.at - found.lock.since == pytest.approx(4.0)


@pytest.mark.parametrize(("verb", "thing", "told"), [
    ("stop", "runtime", "stopped the runtime"), ("db backup", "backup 20261127T104540Z-full", "took backup 20261127T104540Z-full"),
    ("db cleanup", "database", "cleaned up the database"), ("template retire", "template a", "retired template a"),
    ("db repair", "database", "repaired the database"), ("template restore", "template a", "took up again template a"),
])  # fmt: skip
async def test_what_somebody_did_is_a_sentence(call: Call, verb: str, thing: str, told: str):
    await call.db.write(operations.record, operations.By("ann", "deck", "pts/2 4120 81734"), verb, thing)

    news = (await seen(call)).news

    assert news is not None and (f"{news.by} {news.text}", news.origin) == (f"ann {told}", "pts/2 4120 81734")
