"""What the clock does: a duty that fails is written down and tried again; a full disk pauses the starting and nothing else."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from app import paths
from app.health import disk
from app.runtime.config_watcher import Settings
from app.runtime.dispatcher import GRACE, Dispatcher
from app.runtime.periodic import Duties, Duty, Every, follow_clock, mind_clock
from app.runtime.usage import Usage, disk_trouble
from app.service import alerts
from app.service import operations as log
from app.service.context import Call
from app.service.database import integrity
from app.service.tasks import views
from db import timestamps
from db.engine import Database
from db.errors import DiskFull, ReadOnlyDisk
from tests.runtime.conftest import Told, ended, started
from tests.runtime_process import Living, alive, until
from tests.service.calls import execute, submitted


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """The duties over a dispatcher."""
    return Duties(db, dispatcher, Usage(home))


async def run_one(call: Call, dispatcher: Dispatcher, told: Told) -> str:
    """Start a task's run; its id."""
    await submitted(call)
    await dispatcher.round()
    dispatcher.hear(started(told.spawned[-1], pid=1 << 30))
    await dispatcher.round()
    return told.spawned[-1]


def test_the_duties_of_the_design_are_there_at_its_pace(duties: Duties):
    pace = {duty.name: duty.every for duty in duties.table()}

    promised = {"dispatch": 1, "timeouts": 1, "cleanup": 600, "slas": 5, "usage": 2, "samples": 60, "reconcile": 30}
    assert pace.keys() >= promised.keys()
    assert all(pace[name] <= every for name, every in promised.items())


def test_a_clock_that_is_set_far_ahead_has_no_duty_go_through_what_was_missed(monkeypatch: pytest.MonkeyPatch):
    begin = datetime(2026, 11, 25, 10, tzinfo=UTC)
    asked: list[datetime] = []
    every = Every(seconds=2, start_date=begin, timezone=UTC)
    usual = IntervalTrigger.get_next_fire_time
    monkeypatch.setattr(IntervalTrigger, "get_next_fire_time", lambda self, *of: asked.append(of[1]) or usual(self, *of))

    assert every.get_next_fire_time(None, begin - timedelta(seconds=1)) == begin
    assert every.get_next_fire_time(begin, begin) == begin + timedelta(seconds=2)
    late = begin + timedelta(days=20 * 365, seconds=3)
    assert every.get_next_fire_time(begin, late) == late + timedelta(seconds=1) and len(asked) == 3


async def test_a_clock_that_is_set_back_has_no_duty_wait_until_it_is_there_again(duties: Duties, monkeypatch: pytest.MonkeyPatch):
    fired = asyncio.Event()

    async def fire() -> None:
        fired.set()

    monkeypatch.setattr(duties, "table", lambda: (Duty("one", 1, fire),))
    scheduler = duties.scheduler()
    scheduler.start()
    (job,) = scheduler.get_jobs()
    before = job.next_run_time
    follow_clock(scheduler)
    assert job.next_run_time == before
    job.modify(next_run_time=before + timedelta(days=58))
    minding = asyncio.create_task(mind_clock(scheduler))
    try:
        await asyncio.wait_for(fired.wait(), 20)
    finally:
        minding.cancel()
        scheduler.shutdown(wait=False)


async def test_a_duty_that_fails_is_written_down_and_fired_again_with_the_others(
    duties: Duties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    failed, worked = asyncio.Queue[int](), asyncio.Queue[int]()

    async def fail() -> None:
        failed.put_nowait(1)
        raise ZeroDivisionError("a fault")

    async def work() -> None:
        worked.put_nowait(1)

    monkeypatch.setattr(duties, "table", lambda: (Duty("bad", 1, fail), Duty("good", 1, work)))
    scheduler = duties.scheduler()
    scheduler.start()
    try:
        async with asyncio.timeout(20):
            for _ in range(2):
                await failed.get()
                await worked.get()
    finally:
        scheduler.shutdown(wait=False)

    written = [record for record in caplog.records if record.message == "duty bad failed"]
    assert len(written) >= 2 and written[0].exc_info is not None and written[0].levelno == logging.ERROR


async def test_a_duty_that_fails_is_an_alert_until_it_works_again(call: Call, duties: Duties, db: Database):
    broken = True

    async def work() -> None:
        if broken:
            raise RuntimeError("no luck")

    duty = Duty("cleanup", 1, work)
    await duties._guarded(duty)
    (alert,) = await alerts.ls(call)
    assert (alert["sla"], alert["status"], alert["severity"]) == ("duty-cleanup", "firing", "critical")
    assert "cleanup failed (RuntimeError)" in alert["text"]

    broken = False
    await duties._guarded(duty)

    assert await alerts.ls(call) == []
    assert [row["status"] for row in await alerts.ls(call, all=True)] == ["resolved"]


async def test_a_halt_of_the_starting_is_an_alert(call: Call, duties: Duties, dispatcher: Dispatcher):
    dispatcher.halted = "disk nearly full since 10:31"
    await duties._tell()
    (alert,) = await alerts.ls(call)
    assert (alert["sla"], alert["text"]) == ("nothing-starts", "disk nearly full since 10:31")

    dispatcher.halted = None
    await duties._tell()

    assert await alerts.ls(call) == []


async def test_a_disk_that_is_nearly_full_halts_the_starting_and_says_so_until_there_is_room(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, monkeypatch: pytest.MonkeyPatch
):
    runid = await run_one(call, dispatcher, told)
    monkeypatch.setattr(disk, "LEAST_SHARE", 2.0)
    await duties.measure()
    await submitted(call)
    dispatcher.hear(ended(runid))
    await dispatcher.round()

    assert dispatcher.halted is not None and re.fullmatch(r"disk nearly full \(.*\) since \d\d:\d\d", dispatcher.halted)
    assert [(await views.show(call, id=number))["status"] for number in (1, 2)] == ["succeeded", "queued"]

    monkeypatch.undo()
    await duties.measure()
    await dispatcher.round()
    assert (dispatcher.halted, (await views.show(call, id=2))["status"]) == (None, "running")


GB = 2**30


@pytest.mark.parametrize(
    ("total", "free", "figures"),
    [
        (800 * GB, 50 * GB, None),
        (800 * GB, 30 * GB, "30.0G of 800G free, 40.0G needed to start anything"),
        (8 * GB, 501 * 2**20, None),
        (8 * GB, 499 * 2**20, "499M of 8.0G free, 500M needed to start anything"),
        (8 * 2**20, int(7.5 * 2**20), None),
        (8 * 2**20, 2**19, "512K of 8.0M free, 819K needed to start anything"),
    ],
)
def test_how_much_must_be_free_is_a_matter_of_the_disk_and_the_reason_has_place_and_figures(
    home: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, figures: str | None
):
    space = SimpleNamespace(f_flag=0, f_bavail=free, f_frsize=1, f_blocks=total, f_files=10, f_favail=9)
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert disk_trouble(home, touch=True) == (figures and f"disk nearly full ({home}: {figures})")
    assert (disk.least_free(total) > free) is (figures is not None)


def test_a_disk_without_a_byte_is_full(home: Path, monkeypatch: pytest.MonkeyPatch):
    space = SimpleNamespace(f_flag=0, f_bavail=0, f_frsize=1, f_blocks=GB)
    monkeypatch.setattr(os, "statvfs", lambda path: space)

    assert disk_trouble(home, touch=False) == f"disk full ({home}: 0B of 1.0G free, 102M needed to start anything)"


def test_figures_that_change_are_no_other_trouble_and_no_other_line_of_the_log(
    duties: Duties, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
):
    duties._halt("disk nearly full (/x since y: 3.0M of 8.0G free)")
    dispatcher.halted = f"{(dispatcher.halted or '').rpartition(' ')[0]} 10:31"
    duties._halt("disk nearly full (/x since y: 2.0M of 8.0G free)")
    assert dispatcher.halted == "disk nearly full (/x since y: 2.0M of 8.0G free) since 10:31"
    assert caplog.text.count("nothing starts: ") == 1

    duties._halt("disk full (/x since y: 0B of 8.0G free)")

    assert dispatcher.halted == "disk full (/x since y: 0B of 8.0G free) since 10:31" and caplog.text.count("nothing starts: ") == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [(errno.EROFS, "disk read-only ({})"), (errno.ENOSPC, "disk full ({})"), (errno.EIO, "disk trouble ({}: input/output error)")],
)
def test_what_a_disk_refuses_is_a_reason_though_it_says_that_it_can_be_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: int, said: str
):
    def refuse(path: Path) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(disk, "LEAST_FREE", 0)
    monkeypatch.setattr(disk, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(os, "utime", refuse)

    assert (disk_trouble(home, touch=True), disk_trouble(home, touch=False)) == (said.format(home), None)


async def test_a_database_that_refuses_a_row_halts_the_starting_until_one_can_be_written(
    duties: Duties, dispatcher: Dispatcher, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def refuse(*_: object) -> None:
        raise ReadOnlyDisk("the database cannot be written.")

    monkeypatch.setattr(disk, "LEAST_FREE", 0)
    monkeypatch.setattr(disk, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(db, "write", refuse)
    measure, reconcile = (duty for duty in duties.table() if duty.name in ("usage", "reconcile"))
    await duties._guarded(reconcile)
    halted = dispatcher.halted
    assert halted is not None and halted.startswith("disk read-only since ")

    await duties._guarded(measure)
    await duties._guarded(measure)
    assert dispatcher.halted == halted and caplog.text.count("the database cannot be written.") == 1

    monkeypatch.undo()
    monkeypatch.setattr(disk, "LEAST_FREE", 0)
    monkeypatch.setattr(disk, "LEAST_SHARE", 0.0)
    await duties._guarded(measure)
    assert dispatcher.halted is None and "starting goes on" in caplog.text


async def test_a_duty_that_takes_long_is_an_alert_until_it_has_been_in_time_for_a_while(
    call: Call, duties: Duties, monkeypatch: pytest.MonkeyPatch
):
    duty = Duty("slas", 1, duties.slas)
    duties._time(duty, 7.2)
    duties._time(duty, 0.1)
    await duties._tell()
    (alert,) = await alerts.ls(call)
    assert (alert["sla"], alert["text"]) == ("late-slas", "the duty slas took 7 s; to see why: taskdeck doctor")

    later = time.monotonic() + 61
    monkeypatch.setattr("app.runtime.periodic.time.monotonic", lambda: later)
    duties._time(duty, 0.1)
    await duties._tell()

    assert await alerts.ls(call) == []


async def test_a_run_that_writes_too_much_is_stopped(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, home: Path
):
    await submitted(call, log_limit="1M")
    await dispatcher.round()
    (runid,) = told.spawned
    dispatcher.hear(started(runid, pid=1 << 30))
    await dispatcher.round()
    log = Path(paths.log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (1 << 20))
    await duties.measure()
    assert (await views.show(call, id=1))["instances"][0]["status"] == "running"

    log.write_bytes(b"x" * ((1 << 20) + 1))
    await duties.measure()
    await dispatcher.round()

    assert [order[:2] for order in told.of("stop")] == [(runid, "log limit")]


async def test_wrong_loads_are_mended_and_told(call: Call, duties: Duties, caplog: pytest.LogCaptureFixture):
    await duties.reconcile()
    assert "reconcile" not in [row["verb"] for row in await log.ls(call)]
    await execute(call, "UPDATE queues SET current_load = 5")

    await duties.reconcile()

    assert (await execute(call, "SELECT current_load FROM queues"))[0][0] == 0
    assert "loads were wrong and are mended: default" in caplog.text
    assert [(row["verb"], row["by"]) for row in await log.ls(call, limit=1)] == [("reconcile", "taskdeck")]


async def test_a_home_without_a_queue_is_an_alert_from_the_start_until_it_has_one(call: Call, duties: Duties, db: Database):
    await execute(call, "DELETE FROM queues")

    await duties.begin()
    (alert,) = await alerts.ls(call)
    assert alert["text"] == "there is no queue at all, so no task can be submitted; to have one made: taskdeck db check --repair"

    await db.write(integrity.mend, [], "ann")
    await duties.reconcile()
    await duties._tell()
    assert await alerts.ls(call) == []


async def test_each_minute_is_one_row_of_each_queue_and_pool(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told
):
    runid = await run_one(call, dispatcher, told)
    dispatcher.hear(ended(runid, 1))
    await dispatcher.round()
    await submitted(call)

    await duties.sample()
    await duties.sample()

    rows = await execute(call, "SELECT kind, name FROM samples")
    assert {tuple(row) for row in rows} == {("queue", "default"), ("pool", "default")}


async def test_a_minutes_starts_and_ends_are_in_its_row(call: Call, duties: Duties, dispatcher: Dispatcher, told: Told):
    runid = await run_one(call, dispatcher, told)
    dispatcher.hear(ended(runid, 1))
    await dispatcher.round()

    await duties.sample()

    ((figures),) = await execute(
        call, "SELECT started, ended, failed, running, waiting FROM samples WHERE kind = 'queue'"
    )
    assert tuple(figures) == (1, 1, 1, 0, 0)


async def test_cleanup_takes_the_logs_with_the_runs(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, home: Path
):
    for _ in range(2):
        dispatcher.hear(ended(await run_one(call, dispatcher, told)))
        await dispatcher.round()
    old, young = [Path(paths.log_path(home, runid)) for runid in told.spawned]
    for path in (old, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    then = timestamps.from_unix(time.time() - 31 * 86400)
    await execute(call, "UPDATE instances SET end_time = ? WHERE runid = ?", then, told.spawned[0])
    await execute(call, "UPDATE tasks SET ended_at = ? WHERE number = 1", then)

    await duties.cleanup()

    assert (old.exists(), young.exists()) == (False, True)
    assert [row["number"] for row in (await views.ls(call))["tasks"]] == [2]


async def old_work(call: Call) -> None:
    """A task that failed 31 days ago."""
    await submitted(call)
    then = timestamps.from_unix(time.time() - 31 * 86400)
    await execute(call, "UPDATE tasks SET status = 'failed', ended_at = ?", then)


async def test_cleanup_pauses_while_the_rules_may_be_meant_otherwise_and_an_alert_says_so(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    path.write_text('[retention]\nkeep = "20d"\n[bakup]\nkeep = "9d"\n')
    duties = Duties(db, dispatcher, Usage(home), Settings(str(path)))
    cleanup = next(duty for duty in duties.table() if duty.name == "cleanup")
    await old_work(call)

    await duties._guarded(cleanup)
    (alert,) = await alerts.ls(call)
    assert alert["sla"] == "config" and "config.toml, line 3" in alert["text"] and "Nothing is removed until it is mended." in alert["text"]
    assert len((await views.ls(call))["tasks"]) == 1

    path.write_text('[retention]\nkeep = "20d"\n')
    await duties._guarded(cleanup)
    assert await alerts.ls(call) == [] and (await views.ls(call))["tasks"] == []


async def test_rules_for_what_is_not_there_are_an_alert_until_they_are_mended(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    path.write_text('[retention.queue.default]\nkeep = "9d"\n[retention.queue.nosuch]\nkeep = "9d"\n[retention.template.none]\nruns = 3\n')
    duties = Duties(db, dispatcher, Usage(home), Settings(str(path)))
    (rules,) = [duty for duty in duties.table() if duty.name == "rules"]

    await duties._guarded(rules)
    (alert,) = await alerts.ls(call)
    assert alert["sla"] == "rules" and "[retention.queue.nosuch]: there is no queue nosuch" in alert["text"]
    assert "[retention.template.none]: there is no template none" in alert["text"] and "default" not in alert["text"]

    path.write_text('[retention.queue.default]\nkeep = "9d"\n')
    await duties._guarded(rules)
    assert await alerts.ls(call) == []


async def test_the_lag_of_the_tick_is_measured(duties: Duties, dispatcher: Dispatcher):
    await duties.dispatch()

    assert dispatcher.tick_lag is not None and dispatcher.tick_lag < 60


def test_a_timeout_ends_the_whole_job_and_one_that_is_cancelled_while_it_ignores_term_is_killed_after_its_grace(runtime: Living):
    number = runtime.submit("sh", "-c", "sleep 300 & exec sleep 301", timeout=0.2, grace=0.2)
    pids = [run["pid"] for run in runtime.reach(number, "timed_out")["instances"]]

    assert runtime.ended(number)[0]["code"] == 124
    until(lambda: not any(map(alive, pids)), "the job is gone")

    number = runtime.submit("sh", "-c", "trap '' TERM; sleep 300 & wait; sleep 300")
    job = runtime.reach(number, "running")["instances"][0]["pid"]

    runtime.call("cancel", ids=[number], grace=0.2)

    assert runtime.ended(number)[0]["code"] == 125
    assert not alive(job)


async def test_the_run_that_filled_the_disk_is_stopped_and_keeps_no_runtime_from_coming_up(
    call: Call, duties: Duties, dispatcher: Dispatcher, told: Told, home: Path, db: Database, monkeypatch: pytest.MonkeyPatch
):
    await submitted(call, log_limit="1M")
    await dispatcher.round()
    (runid,) = told.spawned
    dispatcher.hear(started(runid, pid=1 << 30))
    await dispatcher.round()
    log = Path(paths.log_path(home, runid))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * ((1 << 20) + 1))

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write", full)
    await duties.begin()

    assert told.of("stop") == [(runid, "log limit", GRACE)]
    assert (dispatcher.halted or "").startswith("disk full since ")


async def test_what_is_wrong_in_the_settings_and_touches_no_data_is_a_warning(
    call: Call, db: Database, dispatcher: Dispatcher, home: Path, tmp_path: Path
):
    path = tmp_path / "config.toml"
    duties = Duties(db, dispatcher, Usage(home), Settings(str(path)))
    cleanup = next(duty for duty in duties.table() if duty.name == "cleanup")

    async def told(text: str) -> list[str]:
        path.write_text(text)
        await duties._guarded(cleanup)
        return [alert["severity"] for alert in await alerts.ls(call)]

    assert await told('theme = "drak"\n') == ["warning"]
    assert await told('theme = "drak"\n[backup]\nkeep = "many"\n') == ["critical"]
    assert await told('theme = "drak"\n') == ["warning"]
