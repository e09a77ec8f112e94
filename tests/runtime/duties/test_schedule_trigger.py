"""Submission of scheduled tasks by a real runtime, over its death, and the trigger's one job."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_ADDED, EVENT_JOB_REMOVED
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from app.errors import Storage
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.schedule_trigger import JOB, ScheduleTrigger
from app.service.context import Call
from app.service.schedules import firing, verbs
from db import timestamps
from db.engine import Database
from tests.runtime_process import RuntimeProcess, wait_until
from tests.service.calls import execute_sql, wait_for_change

CONTEXT = {"cwd": "/", "umask": 0o022, "env": {"PATH": os.environ["PATH"]}}


def create(runtime: RuntimeProcess, name: str, **values: Any) -> None:
    given = {"argv": ["true"], "timezone": "UTC", **values}
    runtime.call("schedule.create", name=name, **CONTEXT, **given)


def list_fires(runtime: RuntimeProcess, name: str) -> list[dict[str, Any]]:
    return runtime.call("schedule.show", name=name)["fires"]


def test_a_runtime_runs_a_schedule(runtime: RuntimeProcess):
    create(runtime, "s", every="1s", argv=["sh", "-c", "echo at $TASKDECK_FIRE_TIME"])

    fires = wait_until(
        lambda: [one for one in list_fires(runtime, "s") if one["status"] == "succeeded"],
        "a task that succeeded",
    )

    log = runtime.call("log", id=str(fires[-1]["number"]))
    at = datetime.fromisoformat(fires[-1]["fire_time"])
    assert f"at {at.isoformat()}" in str(log)


def test_a_killed_runtime_handles_each_fire_time_once(runtime: RuntimeProcess):
    create(runtime, "s", every="1s", missed="run-all", overlap="queue")
    for _ in range(2):
        known = len(list_fires(runtime, "s"))
        wait_until(lambda: len(list_fires(runtime, "s")) > known, "a fire time")  # noqa: B023
        runtime.kill()
        runtime.start()
    wait_until(lambda: len(list_fires(runtime, "s")) >= 5, "five fire times")
    runtime.call("schedule.pause", name="s")

    fires = [one for one in list_fires(runtime, "s") if one["outcome"] == "submitted"]
    times = [datetime.fromisoformat(one["fire_time"]) for one in fires]
    assert all(a - b == timedelta(seconds=1) for a, b in zip(times, times[1:], strict=False))
    numbers = {one["number"] for one in fires}
    rows = runtime.call("ls", limit=100)["tasks"]
    assert {row["number"] for row in rows} == numbers and len(numbers) == len(fires)


def test_a_boot_schedule_does_not_fire_again_with_the_runtime(runtime: RuntimeProcess):
    create(runtime, "s", at_boot=True)
    runtime.kill()
    runtime.start()
    create(runtime, "later", every="1s")
    wait_until(lambda: list_fires(runtime, "later"), "a fire time")

    assert list_fires(runtime, "s") == []


class JumpingDatetime(datetime):
    """The clock of APScheduler, `ahead` of that of the machine."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # pyright: ignore[reportIncompatibleMethodOverride]
        return datetime.now(tz) + cls.ahead


@contextlib.asynccontextmanager
async def open_trigger(db: Database) -> AsyncIterator[tuple[ScheduleTrigger, AsyncIOScheduler]]:
    """Yield a trigger that is running, with its scheduler."""
    scheduler = AsyncIOScheduler(job_defaults={"misfire_grace_time": None}, timezone=UTC)
    scheduler.start()
    trigger = ScheduleTrigger(db, scheduler, Dispatcher(db, db.path.parent))
    running = asyncio.create_task(trigger.run())
    try:
        yield trigger, scheduler
    finally:
        running.cancel()
        scheduler.shutdown(wait=False)


async def wait_for_job(scheduler: AsyncIOScheduler, is_wanted: Callable[[Any], bool]) -> Any:
    """Return the trigger's job, or None, once it is as wanted."""
    changed = asyncio.Event()
    scheduler.add_listener(lambda _: changed.set(), EVENT_JOB_ADDED | EVENT_JOB_REMOVED)
    async with asyncio.timeout(60):
        while not is_wanted(job := scheduler.get_job(JOB)):
            changed.clear()
            await changed.wait()
    return job


async def test_one_job_waits_for_the_next_of_all_schedules(db: Database, call: Call):
    given: dict[str, Any] = {"timezone": "UTC", "argv": ["true"]}
    async with open_trigger(db) as (_, scheduler):
        await verbs.create(call, name="far", at="2999-01-01", **given)
        job = await wait_for_job(scheduler, lambda job: job is not None)
        assert job.next_run_time == datetime(2999, 1, 1, tzinfo=UTC)

        await verbs.create(call, name="near", at="2998-01-01", **given)
        await wait_for_job(scheduler, lambda job: job.next_run_time.year == 2998)
        assert len(scheduler.get_jobs()) == 1

        for name in ("far", "near"):
            await verbs.rm(call, name=name)
        await wait_for_job(scheduler, lambda job: job is None)


async def test_a_clock_set_back_moves_the_job(db: Database, call: Call):
    await verbs.create(call, name="s", every="1h", timezone="UTC", argv=["true"])
    now = datetime.now(UTC)
    async with open_trigger(db) as (trigger, scheduler):
        await wait_for_job(scheduler, lambda job: job is not None)
        far = "2998-01-01T00:00:00.000000Z"
        await execute_sql(
            call, "UPDATE schedules SET next_fire = ?, due_at = ?, updated_at = ?", far, far, far
        )
        await wait_for_job(scheduler, lambda job: job.next_run_time.year == 2998)

        trigger.notice_set_back()

        job = await wait_for_job(scheduler, lambda job: job.next_run_time.year < 2998)
        assert job.next_run_time < now + timedelta(hours=2)


async def test_a_clock_that_jumps_forward_fires_with_the_next_duty(
    db: Database, call: Call, monkeypatch: pytest.MonkeyPatch
):
    await verbs.create(call, name="s", every="10m", timezone="UTC", argv=["true"])
    real, ahead = timestamps.utcnow, timedelta(0)
    monkeypatch.setattr(timestamps, "utcnow", lambda: real() + ahead)
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", JumpingDatetime)
    monkeypatch.setattr(JumpingDatetime, "ahead", timedelta(0))
    async with open_trigger(db) as (_, scheduler):
        job = await wait_for_job(scheduler, lambda job: job is not None)
        assert job.next_run_time > real() + timedelta(minutes=9)

        ahead = JumpingDatetime.ahead = timedelta(hours=1)
        scheduler.wakeup()  # as each duty of the runtime does
        await wait_for_change(db, lambda: execute_sql(call, "SELECT 1 FROM tasks"))

        fired = await execute_sql(call, "SELECT outcome, count(*) FROM fires GROUP BY outcome")
        assert sorted(fired) == [("missed", 5), ("submitted", 1)]
        job = await wait_for_job(scheduler, lambda job: job is not None)
        assert timedelta(0) < job.next_run_time - (real() + ahead) <= timedelta(minutes=10)


@pytest.mark.parametrize("problem", [Storage("disk full"), ValueError("odd row")])
async def test_a_failed_pass_is_repeated(
    db: Database, call: Call, monkeypatch: pytest.MonkeyPatch, problem: Exception
):
    await verbs.create(call, name="s", every="1s", timezone="UTC", argv=["true"])
    real, fails = firing.fire_due, [problem]

    async def fail_once(*args: Any) -> str | None:
        if fails:
            raise fails.pop()
        return await real(*args)

    monkeypatch.setattr(firing, "fire_due", fail_once)
    monkeypatch.setattr(
        "app.runtime.duties.schedule_trigger.RETRY_DELAY", timedelta(milliseconds=1)
    )
    async with open_trigger(db):
        await wait_for_change(db, lambda: execute_sql(call, "SELECT 1 FROM fires"))

    assert fails == []


async def test_an_unreadable_row_is_paused_and_the_others_fire(
    db: Database, call: Call, monkeypatch: pytest.MonkeyPatch
):
    given: dict[str, Any] = {"timezone": "UTC", "argv": ["true"], "every": "1s"}
    await verbs.create(call, name="damaged", **given)
    await verbs.create(call, name="s", **given)
    await execute_sql(call, "UPDATE schedules SET task = '{' WHERE name = 'damaged'")
    monkeypatch.setattr(
        "app.runtime.duties.schedule_trigger.RETRY_DELAY", timedelta(milliseconds=1)
    )

    async with open_trigger(db):
        fired = "SELECT 1 FROM fires WHERE schedule = 's'"
        await wait_for_change(db, lambda: execute_sql(call, fired))

    state = "SELECT status, refusal FROM schedules WHERE name = 'damaged'"
    ((status, refusal),) = await execute_sql(call, state)
    assert status == "paused" and refusal.startswith("Its definition cannot be read")
