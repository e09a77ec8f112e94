"""Periodic jobs: failures are logged and retried, and a full disk halts only the starting."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from app import paths
from app.health import disk
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.dispatch.dispatcher import GRACE, Dispatcher
from app.runtime.duties import periodic
from app.runtime.duties.periodic import (
    Duties,
    Duty,
    SkippingIntervalTrigger,
    reschedule_jobs,
    watch_clock,
)
from app.runtime.duties.usage import UsageSampler, find_disk_trouble
from app.service import alerts
from app.service import operations as log
from app.service.context import Call
from app.service.database import integrity
from app.service.tasks.inspection import views
from db import timestamps
from db.engine import Database
from db.errors import DiskFull, ReadOnlyDisk
from db.queries.rules import alerts as db_alerts
from db.queries.rules import deliveries
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import RuntimeProcess, is_alive, wait_until
from tests.service.calls import execute_sql, submit_task


async def start_one_run(call: Call, dispatcher: Dispatcher, told: FakeKeeper) -> str:
    """Start a run and return its run id."""
    await submit_task(call)
    await dispatcher.run_round()
    dispatcher.handle_event(make_started_event(told.spawned_runs[-1], pid=1 << 30))
    await dispatcher.run_round()
    return told.spawned_runs[-1]


def test_the_documented_jobs_run_at_their_intervals(duties: Duties):
    pace = {duty.name: duty.every for duty in duties.list_duties()}

    promised = {
        "dispatch": 1,
        "timeouts": 1,
        "cleanup": 600,
        "slas": 5,
        "usage": 2,
        "samples": 60,
        "reconcile": 30,
    }
    assert pace.keys() >= promised.keys()
    assert all(pace[name] <= every for name, every in promised.items())


def test_a_clock_far_ahead_does_not_run_missed_times(monkeypatch: pytest.MonkeyPatch):
    begin = datetime(2026, 11, 25, 10, tzinfo=UTC)
    asked: list[datetime] = []
    every = SkippingIntervalTrigger(seconds=2, start_date=begin, timezone=UTC)
    usual = IntervalTrigger.get_next_fire_time
    monkeypatch.setattr(
        IntervalTrigger,
        "get_next_fire_time",
        lambda self, *of: asked.append(of[1]) or usual(self, *of),
    )

    assert every.get_next_fire_time(None, begin - timedelta(seconds=1)) == begin
    assert every.get_next_fire_time(begin, begin) == begin + timedelta(seconds=2)
    late = begin + timedelta(days=20 * 365, seconds=3)
    assert every.get_next_fire_time(begin, late) == late + timedelta(seconds=1) and len(asked) == 3


async def test_one_timer_wakes_all_duties_that_are_due(duties: Duties):
    scheduler = duties.make_scheduler()
    scheduler.start(paused=True)

    due = {job.next_run_time for job in scheduler.get_jobs()}

    assert {(moment - min(due)).total_seconds() % 1 for moment in due} == {0}
    scheduler.shutdown(wait=False)


async def test_an_idle_runtime_does_not_read_for_submissions(
    duties: Duties, db: Database, monkeypatch: pytest.MonkeyPatch
):
    await duties.finish_submissions()
    monkeypatch.setattr(db, "read", None)

    await duties.finish_submissions()


async def test_a_clock_set_back_does_not_stall_a_job(
    duties: Duties, monkeypatch: pytest.MonkeyPatch
):
    fired = asyncio.Event()

    async def fire() -> None:
        fired.set()

    monkeypatch.setattr(duties, "list_duties", lambda: (Duty("one", 1, fire),))
    scheduler = duties.make_scheduler()
    scheduler.start()
    (job,) = scheduler.get_jobs()
    before = job.next_run_time
    reschedule_jobs(scheduler)
    assert job.next_run_time == before
    job.modify(next_run_time=before + timedelta(days=58))
    minding = asyncio.create_task(watch_clock(scheduler))
    try:
        await asyncio.wait_for(fired.wait(), 20)
    finally:
        minding.cancel()
        scheduler.shutdown(wait=False)


async def test_a_clock_set_back_is_told_to_others(monkeypatch: pytest.MonkeyPatch):
    told, now = asyncio.Event(), timestamps.utcnow()
    hours = count()
    monkeypatch.setattr(timestamps, "utcnow", lambda: now - timedelta(hours=next(hours)))
    monkeypatch.setattr(periodic, "CLOCK_CHECK_INTERVAL", 0)
    watching = asyncio.create_task(watch_clock(AsyncIOScheduler(timezone=UTC), told.set))
    try:
        await asyncio.wait_for(told.wait(), 20)
    finally:
        watching.cancel()


async def test_a_failing_job_is_logged_and_fired_again(
    duties: Duties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    failed, worked = asyncio.Queue[int](), asyncio.Queue[int]()

    async def fail() -> None:
        failed.put_nowait(1)
        raise ZeroDivisionError("a fault")

    async def work() -> None:
        worked.put_nowait(1)

    monkeypatch.setattr(
        duties, "list_duties", lambda: (Duty("bad", 1, fail), Duty("good", 1, work))
    )
    scheduler = duties.make_scheduler()
    scheduler.start()
    try:
        async with asyncio.timeout(20):
            for _ in range(2):
                await failed.get()
                await worked.get()
    finally:
        scheduler.shutdown(wait=False)

    written = [record for record in caplog.records if record.message == "duty bad failed"]
    assert (
        len(written) >= 2
        and written[0].exc_info is not None
        and written[0].levelno == logging.ERROR
    )


async def test_a_failing_job_is_an_alert_until_it_works(call: Call, duties: Duties, db: Database):
    broken = True

    async def work() -> None:
        if broken:
            raise RuntimeError("no luck")

    duty = Duty("cleanup", 1, work)
    await duties._run_duty(duty)
    (alert,) = await alerts.ls(call)
    assert (alert["sla"], alert["status"], alert["severity"]) == (
        "duty-cleanup",
        "firing",
        "critical",
    )
    assert "cleanup failed (RuntimeError)" in alert["text"]

    broken = False
    await duties._run_duty(duty)

    assert await alerts.ls(call) == []
    assert [row["status"] for row in await alerts.ls(call, all=True)] == ["resolved"]


async def test_halted_starting_is_an_alert(call: Call, duties: Duties, dispatcher: Dispatcher):
    dispatcher.halted = "disk nearly full since 10:31"
    await duties._store_alerts()
    (alert,) = await alerts.ls(call)
    assert (alert["sla"], alert["text"]) == ("nothing-starts", "disk nearly full since 10:31")

    dispatcher.halted = None
    await duties._store_alerts()

    assert await alerts.ls(call) == []


async def test_alerts_of_taskdeck_itself_go_to_the_channel_for_problems(
    call: Call, duties: Duties, dispatcher: Dispatcher, tmp_path: Path
):
    path = tmp_path / "config.toml"
    channel = '[channels.ops]\nurl = "json://127.0.0.1/"\n[notifications]\nproblems = "ops"\n'
    path.write_text(channel)
    duties.settings = ConfigWatcher(os.fspath(path))
    for dispatcher.halted in ("disk nearly full", "disk nearly full since 10:31", None):
        await duties._store_alerts()

    rows = await call.db.read(deliveries.list_latest, 9)

    assert [(row.event, row.target) for row in rows] == [("resolved", "ops"), ("firing", "ops")]


async def test_alerts_of_an_earlier_runtime_stay_until_all_duties_have_run(
    call: Call, duties: Duties
):
    earlier = {"schedule-s": "nothing was submitted", "config": "a mistake"}
    await call.db.write(db_alerts.set_system_alerts, earlier)

    await duties._store_alerts()
    assert [row["sla"] for row in await alerts.ls(call)] == ["schedule-s"]
    duties._not_run.clear()
    await duties._store_alerts()

    assert await alerts.ls(call) == []


async def test_a_nearly_full_disk_halts_starting_until_there_is_space(
    call: Call,
    duties: Duties,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
):
    runid = await start_one_run(call, dispatcher, fake_keeper)
    monkeypatch.setattr(disk, "MIN_FREE_SHARE", 2.0)
    await duties.measure()
    await submit_task(call)
    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()

    assert dispatcher.halted is not None and re.fullmatch(
        r"disk nearly full \(.*\) since \d\d:\d\d", dispatcher.halted
    )
    assert [(await views.show(call, id=number))["status"] for number in (1, 2)] == [
        "succeeded",
        "queued",
    ]

    monkeypatch.undo()
    await duties.measure()
    await dispatcher.run_round()
    assert (dispatcher.halted, (await views.show(call, id=2))["status"]) == (None, "running")


GIB = 2**30


@pytest.mark.parametrize(
    ("total", "free", "figures"),
    [
        (800 * GIB, 50 * GIB, None),
        (800 * GIB, 30 * GIB, "30.0G of 800G free, 40.0G needed to start anything"),
        (8 * GIB, 501 * 2**20, None),
        (8 * GIB, 499 * 2**20, "499M of 8.0G free, 500M needed to start anything"),
        (8 * 2**20, int(7.5 * 2**20), None),
        (8 * 2**20, 2**19, "512K of 8.0M free, 819K needed to start anything"),
    ],
)
def test_the_required_free_space_depends_on_the_disk_size(
    home: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, figures: str | None
):
    space = SimpleNamespace(
        f_flag=0, f_bavail=free, f_frsize=1, f_blocks=total, f_files=10, f_favail=9
    )
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert find_disk_trouble(home, touch=True) == (
        figures and f"disk nearly full ({home}: {figures})"
    )
    assert (disk.get_min_free(total) > free) is (figures is not None)


def test_a_disk_without_a_byte_is_full(home: Path, monkeypatch: pytest.MonkeyPatch):
    space = SimpleNamespace(f_flag=0, f_bavail=0, f_frsize=1, f_blocks=GIB)
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert (
        find_disk_trouble(home, touch=False)
        == f"disk full ({home}: 0B of 1.0G free, 102M needed to start anything)"
    )


def test_changed_figures_do_not_repeat_the_log_line(
    duties: Duties, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
):
    duties._set_halt("disk nearly full (/x since y: 3.0M of 8.0G free)")
    dispatcher.halted = f"{(dispatcher.halted or '').rpartition(' ')[0]} 10:31"
    duties._set_halt("disk nearly full (/x since y: 2.0M of 8.0G free)")
    assert dispatcher.halted == "disk nearly full (/x since y: 2.0M of 8.0G free) since 10:31"
    assert caplog.text.count("nothing starts: ") == 1

    duties._set_halt("disk full (/x since y: 0B of 8.0G free)")

    assert (
        dispatcher.halted == "disk full (/x since y: 0B of 8.0G free) since 10:31"
        and caplog.text.count("nothing starts: ") == 2
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.EROFS, "disk read-only ({})"),
        (errno.ENOSPC, "disk full ({})"),
        (errno.EIO, "disk trouble ({}: input/output error)"),
    ],
)
def test_an_error_on_writing_a_file_is_a_disk_trouble(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: int, said: str
):
    def refuse(path: Path) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 0)
    monkeypatch.setattr(disk, "MIN_FREE_SHARE", 0.0)
    monkeypatch.setattr(os, "utime", refuse)

    assert (find_disk_trouble(home, touch=True), find_disk_trouble(home, touch=False)) == (
        said.format(home),
        None,
    )


@pytest.mark.parametrize("cause", ["start", "halt", "drain"])
async def test_forecasts_made_before_a_standstill_are_dropped(
    call: Call, duties: Duties, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, cause: str
):
    await submit_task(call)
    await execute_sql(
        call,
        "INSERT INTO start_forecasts SELECT number, 'default', 1, 2, created_at, created_at"
        " FROM tasks",
    )
    if cause == "start":
        await duties.prepare()
    elif cause == "halt":
        monkeypatch.setattr(disk, "MIN_FREE_SHARE", 0.0)
        dispatcher.halted = "disk full since 10:00"
        await duties.measure()
        assert dispatcher.halted is None
    else:
        dispatcher.draining = True
        await duties.record_forecasts()

    assert await execute_sql(call, "SELECT * FROM start_forecasts") == []


async def test_a_database_write_error_halts_starting_until_a_write_succeeds(
    duties: Duties,
    dispatcher: Dispatcher,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    async def refuse(*_: object) -> None:
        raise ReadOnlyDisk("the database cannot be written.")

    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 0)
    monkeypatch.setattr(disk, "MIN_FREE_SHARE", 0.0)
    monkeypatch.setattr(db, "write", refuse)
    measure, reconcile = (
        duty for duty in duties.list_duties() if duty.name in ("usage", "reconcile")
    )
    await duties._run_duty(reconcile)
    halted = dispatcher.halted
    assert halted is not None and halted.startswith("disk read-only since ")

    await duties._run_duty(measure)
    await duties._run_duty(measure)
    assert dispatcher.halted == halted and caplog.text.count("the database cannot be written.") == 1

    monkeypatch.undo()
    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 0)
    monkeypatch.setattr(disk, "MIN_FREE_SHARE", 0.0)
    await duties._run_duty(measure)
    assert dispatcher.halted is None and "tasks start again" in caplog.text


async def test_a_slow_job_is_an_alert_until_it_is_on_time_again(
    call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch
):
    duty = Duty("slas", 1, duties.evaluate_slas)
    duties._check_time(duty, 7.2)
    duties._check_time(duty, 0.1)
    await duties._store_alerts()
    (alert,) = await alerts.ls(call)
    assert alert["sla"] == "late-slas"
    assert alert["text"].startswith("the periodic job slas took 7 s, at load ")

    later = time.monotonic() + 61
    monkeypatch.setattr("app.runtime.duties.periodic.time.monotonic", lambda: later)
    duties._check_time(duty, 0.1)
    await duties._store_alerts()

    assert await alerts.ls(call) == []


async def test_a_run_over_its_log_limit_is_stopped(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):
    await submit_task(call, log_limit="1M")
    await dispatcher.run_round()
    (runid,) = fake_keeper.spawned_runs
    dispatcher.handle_event(make_started_event(runid, pid=1 << 30))
    await dispatcher.run_round()
    log = Path(paths.get_log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (1 << 20))
    await duties.measure()
    assert (await views.show(call, id=1))["instances"][0]["status"] == "running"

    log.write_bytes(b"x" * ((1 << 20) + 1))
    await duties.measure()
    await dispatcher.run_round()

    assert [order[:2] for order in fake_keeper.get_orders("stop")] == [(runid, "log limit")]


async def test_wrong_loads_are_repaired_and_reported(
    call: Call, duties: Duties, caplog: pytest.LogCaptureFixture
):
    await duties.reconcile()
    assert "reconcile" not in [row["verb"] for row in await log.ls(call)]
    await execute_sql(call, "UPDATE queues SET current_load = 5")

    await duties.reconcile()

    assert (await execute_sql(call, "SELECT current_load FROM queues"))[0][0] == 0
    assert "loads were wrong and have been repaired: default" in caplog.text
    assert [(row["verb"], row["by"]) for row in await log.ls(call, limit=1)] == [
        ("reconcile", "taskdeck")
    ]


async def test_a_home_without_a_queue_is_an_alert_until_it_has_one(
    call: Call, duties: Duties, db: Database
):
    await execute_sql(call, "DELETE FROM queues")

    await duties.prepare()
    (alert,) = await alerts.ls(call)
    assert (
        alert["text"]
        == "there is no queue at all, so no task can be submitted; to have one made: taskdeck db"
        " check --repair"
    )

    await db.write(integrity.apply_repairs, [], "ann")
    await duties.reconcile()
    await duties._store_alerts()
    assert await alerts.ls(call) == []


async def test_each_minute_adds_one_row_per_queue_and_pool(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    runid = await start_one_run(call, dispatcher, fake_keeper)
    dispatcher.handle_event(make_ended_event(runid, 1))
    await dispatcher.run_round()
    await submit_task(call)

    await duties.store_sample()
    await duties.store_sample()

    rows = await execute_sql(call, "SELECT kind, name FROM samples")
    assert {tuple(row) for row in rows} == {("queue", "default"), ("pool", "default")}


async def test_a_sample_holds_what_runs_hold_of_named_resources(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await start_one_run(call, dispatcher, fake_keeper)
    await execute_sql(call, "UPDATE instances SET resources = ?", '{"gpu": 3}')

    await duties.store_sample()

    rows = await execute_sql(call, "SELECT kind, resources FROM samples ORDER BY kind")
    assert [tuple(row) for row in rows] == [("pool", '{"gpu": 3}'), ("queue", None)]


async def test_starts_and_ends_of_a_minute_are_in_its_row(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    runid = await start_one_run(call, dispatcher, fake_keeper)
    dispatcher.handle_event(make_ended_event(runid, 1))
    await dispatcher.run_round()

    await duties.store_sample()

    (figures,) = await execute_sql(
        call, "SELECT started, ended, failed, running, waiting FROM samples WHERE kind = 'queue'"
    )
    assert tuple(figures) == (1, 1, 1, 0, 0)


async def test_cleanup_removes_logs_with_their_runs(
    call: Call, duties: Duties, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):
    for _ in range(2):
        dispatcher.handle_event(
            make_ended_event(await start_one_run(call, dispatcher, fake_keeper))
        )
        await dispatcher.run_round()
    old, young = [Path(paths.get_log_path(home, runid)) for runid in fake_keeper.spawned_runs]
    for path in (old, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    then = timestamps.from_unix(time.time() - 31 * 86400)
    await execute_sql(
        call, "UPDATE instances SET end_time = ? WHERE runid = ?", then, fake_keeper.spawned_runs[0]
    )
    await execute_sql(call, "UPDATE tasks SET ended_at = ? WHERE number = 1", then)

    await duties.run_cleanup()

    assert (old.exists(), young.exists()) == (False, True)
    assert [row["number"] for row in (await views.ls(call))["tasks"]] == [2]


async def add_old_failure(call: Call) -> None:
    """Add a task that failed 31 days ago."""
    await submit_task(call)
    then = timestamps.from_unix(time.time() - 31 * 86400)
    await execute_sql(call, "UPDATE tasks SET status = 'failed', ended_at = ?", then)


async def test_cleanup_pauses_with_an_alert_while_the_rules_are_doubtful(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    path.write_text('[retention]\nkeep = "20d"\n[bakup]\nkeep = "9d"\n')
    duties = Duties(db, dispatcher, UsageSampler(home), ConfigWatcher(str(path)))
    cleanup = next(duty for duty in duties.list_duties() if duty.name == "cleanup")
    await add_old_failure(call)

    await duties._run_duty(cleanup)
    (alert,) = await alerts.ls(call)
    assert (
        alert["sla"] == "config"
        and "config.toml, line 3" in alert["text"]
        and "Nothing is removed until it is fixed." in alert["text"]
    )
    assert len((await views.ls(call))["tasks"]) == 1

    path.write_text('[retention]\nkeep = "20d"\n')
    await duties._run_duty(cleanup)
    assert await alerts.ls(call) == [] and (await views.ls(call))["tasks"] == []


async def test_rules_for_unknown_names_are_an_alert_until_corrected(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    path.write_text(
        '[retention.queue.default]\nkeep = "9d"\n[retention.queue.nosuch]\nkeep ='
        ' "9d"\n[retention.template.none]\nruns = 3\n'
    )
    duties = Duties(db, dispatcher, UsageSampler(home), ConfigWatcher(str(path)))
    (rules,) = [duty for duty in duties.list_duties() if duty.name == "rules"]

    await duties._run_duty(rules)
    (alert,) = await alerts.ls(call)
    assert (
        alert["sla"] == "rules"
        and "[retention.queue.nosuch]: there is no queue nosuch" in alert["text"]
    )
    assert (
        "[retention.template.none]: there is no template none" in alert["text"]
        and "default" not in alert["text"]
    )

    path.write_text('[retention.queue.default]\nkeep = "9d"\n')
    await duties._run_duty(rules)
    assert await alerts.ls(call) == []


async def test_the_tick_lag_is_measured(duties: Duties, dispatcher: Dispatcher):
    await duties.wake_dispatcher()

    assert dispatcher.tick_lag is not None and dispatcher.tick_lag < 60


def test_a_timeout_ends_the_whole_job_and_grace_limits_ignored_term(runtime: RuntimeProcess):
    number = runtime.submit("sh", "-c", "sleep 300 & exec sleep 301", timeout=0.2, grace=0.2)
    pids = [run["pid"] for run in runtime.wait_for_status(number, "timed_out")["instances"]]

    assert runtime.wait_for_end(number)[0]["code"] == 124
    wait_until(lambda: not any(map(is_alive, pids)), "the job is gone")

    number = runtime.submit("sh", "-c", "trap '' TERM; sleep 300 & wait; sleep 300")
    job = runtime.wait_for_status(number, "running")["instances"][0]["pid"]

    runtime.call("cancel", ids=[number], grace=0.2)

    assert runtime.wait_for_end(number)[0]["code"] == 125
    assert not is_alive(job)


async def test_the_run_that_filled_the_disk_is_stopped_on_start(
    call: Call,
    duties: Duties,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    home: Path,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
):
    await submit_task(call, log_limit="1M")
    await dispatcher.run_round()
    (runid,) = fake_keeper.spawned_runs
    dispatcher.handle_event(make_started_event(runid, pid=1 << 30))
    await dispatcher.run_round()
    log = Path(paths.get_log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * ((1 << 20) + 1))

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write", full)
    await duties.prepare()

    assert fake_keeper.get_orders("stop") == [(runid, "log limit", GRACE)]
    assert (dispatcher.halted or "").startswith("disk full since ")


async def test_a_settings_error_that_touches_no_data_is_a_warning(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    duties = Duties(db, dispatcher, UsageSampler(home), ConfigWatcher(str(path)))
    cleanup = next(duty for duty in duties.list_duties() if duty.name == "cleanup")

    async def told(text: str) -> list[str]:
        path.write_text(text)
        await duties._run_duty(cleanup)
        return [alert["severity"] for alert in await alerts.ls(call)]

    assert await told('theme = "drak"\n') == ["warning"]
    assert await told('theme = "drak"\n[backup]\nkeep = "many"\n') == ["critical"]
    assert await told('theme = "drak"\n') == ["warning"]
