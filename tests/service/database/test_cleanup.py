"""`db cleanup`: the preview equals the removal, and logs go with their runs even after a crash."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app import paths
from app.core.maintenance_settings import (
    DAY,
    BackupSettings,
    MaintenanceSettings,
    RetentionRule,
    RetentionSettings,
)
from app.core.text.sanitize import MASK
from app.errors import Conflict, Storage, Usage
from app.service import operations as log
from app.service import runtime_admin
from app.service.context import Call
from app.service.database import backups, cleanup, cleanup_full_disk
from app.service.database.cleanup import CleanupFigures, CleanupReport
from db import engine, timestamps
from db.engine import Database, open_database
from db.errors import DiskFull
from db.queries.history import operations, rollups
from db.queries.home import retention
from db.queries.home.retention import ExpiryRule
from tests.service.calls import execute_sql
from tests.service.history_workload import insert_day, insert_days

MakeCall = Callable[[RetentionSettings], Call]


@pytest.fixture
def call_with_retention(
    runtime_call: Call, fake_runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> MakeCall:
    """Return a function that makes a call while a runtime with these rules is up."""

    def upkept(rules: RetentionSettings) -> Call:
        monkeypatch.setattr(type(fake_runtime), "maintenance", MaintenanceSettings(retention=rules))
        return runtime_call

    return upkept


async def insert_work(db: Database, many: int, tasks: int) -> None:
    """Insert days of work until about now, all counted by the history."""
    await db.write(insert_days, timestamps.utcnow() + timedelta(minutes=1), many, tasks)
    await db.write(rollups.set_counted_until, int(time.time() // 60) + 1)


def write_log(home: Path, runid: str, days: float = 0) -> Path:
    """Write a log file, last modified `days` days ago."""
    path = Path(paths.get_log_path(home, runid))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 200)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


async def test_a_dry_run_changes_nothing_and_previews_the_removal(
    db: Database, call_with_retention: MakeCall
):
    call = call_with_retention(
        RetentionSettings(
            all=RetentionRule(keep=6 * DAY),
            queues={"default": RetentionRule(keep=8 * DAY, runs=500, logs=0.05)},
        )
    )
    await insert_work(db, 12, 100)
    before = await execute_sql(
        call,
        "SELECT count(*), (SELECT count(*) FROM instances), (SELECT count(*) FROM events) FROM"
        " tasks",
    )

    told = await cleanup.cleanup(call, dry_run=True)
    assert (
        await execute_sql(
            call,
            "SELECT count(*), (SELECT count(*) FROM instances), (SELECT count(*) FROM events) FROM"
            " tasks",
        )
        == before
    )
    done = await cleanup.cleanup(call)
    again = await cleanup.cleanup(call, dry_run=True)

    figures = ("rules", "runs", "tasks", "logs", "rows", "others")
    assert {name: done[name] for name in figures} == {name: told[name] for name in figures}
    assert {(rule["rule"], rule["why"]) for rule in done["rules"]} == {
        ("queue default", why) for why in ("age", "runs", "logs")
    }
    assert (done["runs"], done["tasks"]) == (1200 - 262, 1200 - 262)
    assert (again["runs"], again["tasks"], again["rules"]) == (0, 0, [])
    assert (
        told["next"]["words"].startswith("938 runs and 938 tasks, ")
        and again["next"]["words"] == "nothing"
    )
    assert done["size"]["after"] < done["size"]["before"] == told["size"]["after"]


async def test_the_answer_names_rule_and_reason(db: Database, call_with_retention: MakeCall):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=5 * DAY)))
    await insert_work(db, 7, 50)
    await execute_sql(call, "UPDATE tasks SET deleted_at = ended_at WHERE number > 340")

    told = await cleanup.cleanup(call, dry_run=True)

    assert [
        (rule["rule"], rule["because"], rule["runs"], rule["tasks"]) for rule in told["rules"]
    ] == [("all", "older than 5d", 100, 100), ("removed", "deleted by a user", 10, 10)]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (CleanupReport(), "nothing"), (CleanupReport(others={"events": 1}),
        "1 row of other records"),
        (CleanupReport({(ExpiryRule("all"), "age"): CleanupFigures(0, 1, 500, 30)},
        {"events": 14, "alerts": 2}), "1 task, 530B; 16 rows of other records"),
        (CleanupReport({(ExpiryRule("all"), "age"): CleanupFigures(1, 2, 0, 0)}),
        "1 run and 2 tasks, 0B"),
    ],
)  # fmt: skip
def test_the_next_cleanup_is_described(report: CleanupReport, words: str):
    assert cleanup._describe_next(report)["words"] == words


async def test_the_number_of_kept_last_successes_is_correct(
    db: Database, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 3, 20)
    await execute_sql(call, "UPDATE tasks SET name = 'old-' || (number % 3) WHERE number < 40")
    await execute_sql(call, "UPDATE tasks SET pinned = 1 WHERE number = 2")

    told = await cleanup.cleanup(call, dry_run=True)
    done = await cleanup.cleanup(call)

    old = (
        "SELECT count(*) FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time < ?"
        " AND t.pinned = 0"
    )
    ((stay,),) = await execute_sql(
        call, old, timestamps.format_time(timestamps.utcnow() - timedelta(days=1))
    )
    assert told["kept"] == done["kept"] == stay == 3


async def test_kept_last_successes_are_counted_among_old_runs(
    db: Database, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=0.001)))
    await insert_work(db, 1, 20)
    await execute_sql(call, "UPDATE tasks SET name = 'n' || (number % 7), template = NULL")
    await execute_sql(call, "UPDATE tasks SET status = 'succeeded'")
    await execute_sql(call, "UPDATE instances SET status = 'succeeded'")

    told = await cleanup.cleanup(call, dry_run=True)

    assert (told["kept"], told["runs"]) == (7, 13)


async def test_under_a_doubtful_clock_a_cleanup_needs_confirmation(
    db: Database, runtime_call: Call, fake_runtime: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        type(fake_runtime),
        "maintenance",
        MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(keep=DAY))),
    )
    fake_runtime.clock_doubt, fake_runtime.clock_ahead = (
        "the clock was 58d ahead of the last stored time, and may be wrong.",
        58 * DAY,
    )
    await insert_work(db, 3, 20)

    with pytest.raises(Conflict) as refused:
        await cleanup.cleanup(runtime_call)
    assert (
        str(refused.value)
        == f"{fake_runtime.clock_doubt} Nothing was removed. If the clock is right: taskdeck db"
        " cleanup --yes"
    )
    told = await cleanup.cleanup(runtime_call, dry_run=True)
    assert (await cleanup.cleanup(runtime_call, sure=True))["runs"] == told["runs"] > 0


@pytest.mark.parametrize(
    ("keep", "ahead", "asked"),
    [
        (RetentionSettings(), 20 * DAY, False),
        (RetentionSettings(), 30 * DAY, True),
        (RetentionSettings(queues={"default": RetentionRule(keep=20 * DAY)}), 20 * DAY, True),
        (RetentionSettings(templates={"nightly": RetentionRule(keep=20 * DAY)}), 20 * DAY, True),
        (RetentionSettings(all=RetentionRule(runs=9), operations=20 * DAY), 20 * DAY, True),
        (RetentionSettings(all=RetentionRule(runs=9)), 20 * DAY, False),
    ],
)
async def test_a_doubtful_clock_matters_only_if_everything_would_go(
    runtime_call: Call,
    fake_runtime: Any,
    keep: RetentionSettings,
    ahead: float,
    asked: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(type(fake_runtime), "maintenance", MaintenanceSettings(retention=keep))
    fake_runtime.clock_doubt, fake_runtime.clock_ahead = (
        "the clock was ahead of the last stored time, and may be wrong.",
        ahead,
    )

    with pytest.raises(Conflict) if asked else nullcontext():
        await cleanup.cleanup(runtime_call)


async def test_a_manual_backup_under_a_doubtful_clock_prunes_nothing(
    runtime_call: Call, fake_runtime: Any, monkeypatch: pytest.MonkeyPatch
):
    first = await backups.backup(runtime_call, full=True)
    years_on = timestamps.utcnow() + timedelta(days=3650)
    monkeypatch.setattr(timestamps, "utcnow", lambda: years_on)
    fake_runtime.clock_doubt = (
        "the clock was 3650d ahead of the last stored time, and may be wrong."
    )

    for _ in range(3):
        await backups.backup(runtime_call, full=True)
    assert Path(first["path"]).exists()
    fake_runtime.clock_doubt = ""
    await backups.backup(runtime_call, full=True)
    assert not Path(first["path"]).exists()


async def test_while_the_settings_are_wrong_nothing_is_removed(
    db: Database, runtime_call: Call, fake_runtime: Any, monkeypatch: pytest.MonkeyPatch
):
    why = '/x/config.toml, line 3: there is no setting "bakup".'
    monkeypatch.setattr(
        type(fake_runtime),
        "maintenance",
        MaintenanceSettings(
            retention=RetentionSettings(all=RetentionRule(keep=DAY))
        ).suspend_removal(why),
    )
    await insert_work(db, 3, 20)

    told = await cleanup.cleanup(runtime_call, dry_run=True)
    with pytest.raises(Usage) as refused:
        await cleanup.cleanup(runtime_call)

    assert (told["paused"], told["runs"], told["rules"], told["next"]["words"]) == (
        why,
        0,
        [],
        "nothing while config.toml is wrong",
    )
    assert (
        str(refused.value)
        == f"{why} Nothing was removed. Correct the file; nothing is removed until then."
    )
    assert await execute_sql(runtime_call, "SELECT count(*) FROM instances") == [(60,)]


async def test_a_suspiciously_short_retention_time_is_reported(call_with_retention: MakeCall):
    call = call_with_retention(
        RetentionSettings(RetentionRule(keep=60.0), templates={"a": RetentionRule(keep=90.0)})
    )

    found = await cleanup.cleanup(call, dry_run=True)

    assert found["unknown"][-2:] == [
        "[retention] keeps only 1 minute (m is minutes, d is days)",
        "[retention.template.a] keeps only 1.5 minutes (m is minutes, d is days)",
    ]


async def test_rules_for_unknown_names_are_reported(call_with_retention: MakeCall):
    call = call_with_retention(
        RetentionSettings(
            queues={"default": RetentionRule(keep=DAY), "nosuch": RetentionRule(keep=DAY)},
            templates={"\x1b[2J": RetentionRule(runs=1)},
        )
    )

    queue, template = (await cleanup.cleanup(call, dry_run=True))["unknown"]

    assert queue == "[retention.queue.nosuch]: there is no queue nosuch"
    assert template.isprintable() and template.startswith("[retention.template.")


def test_ledger_entries_are_kept_as_long_as_backups(home: Path):
    now, none = timestamps.utcnow(), cleanup.find_oldest(home, BackupSettings())
    assert (
        cleanup.build_rules(
            MaintenanceSettings(backup=BackupSettings(keep=None)), now, none
        ).outcomes_before
        == ""
    )
    for enabled in (True, False):  # manual backups are kept as long
        assert cleanup.build_rules(
            MaintenanceSettings(backup=BackupSettings(keep=DAY, enabled=enabled)), now, none
        ).outcomes_before == timestamps.format_time(now - timedelta(days=1))


async def test_the_ledger_reaches_back_to_the_oldest_possible_backup(call: Call, tmp_path: Path):
    first = await backups.take_one_backup(call, BackupSettings())
    await backups.take_one_backup(call, BackupSettings(folder=f"{tmp_path}/far"))
    aside = call.db.path.with_name(f"{call.db.path.name}.before-restore-2020-01-02T000000.000000")

    assert (
        cleanup.find_oldest(call.home, BackupSettings())
        == cleanup.find_oldest(call.home, BackupSettings(folder=f"{tmp_path}/far"))
        == first.at
    )
    aside.touch()
    assert cleanup.find_oldest(call.home, BackupSettings()) == "2020-01-02T00:00:00.000000Z"
    (tmp_path / "far").rename(tmp_path / "away")
    assert cleanup.find_oldest(call.home, BackupSettings(folder=f"{tmp_path}/far")) == ""
    (call.home / "backups").rename(tmp_path / "moved")
    (call.home / "backups").symlink_to(tmp_path / "nowhere")
    assert cleanup.find_oldest(call.home, BackupSettings()) == ""


async def test_tasks_in_an_existing_backup_stay_in_the_ledger(db: Database, call: Call):
    """Keep the last two full backups, and manual ones while scheduled backups are off."""
    short = MaintenanceSettings(
        backup=BackupSettings(keep=0.001, enabled=False),
        retention=RetentionSettings(all=RetentionRule(keep=0.001)),
    )
    await insert_work(db, 1, 20)
    await execute_sql(call, "UPDATE tasks SET name = 'same', template = NULL")
    await backups.take_one_backup(call, short.backup)

    for _ in range(2):
        await cleanup.clean(db, call.home, short)

    ((gone, known),) = await execute_sql(
        call, "SELECT 20 - count(*), (SELECT count(*) FROM forgotten) FROM tasks"
    )
    assert gone == known > 10


async def test_logs_are_removed_with_their_runs(
    db: Database, home: Path, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    runs = await execute_sql(call, "SELECT runid FROM instances ORDER BY end_time")
    logs = [write_log(home, row[0]) for row in runs]

    await cleanup.cleanup(call)

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert await db.read(retention.list_discarded) == []


async def test_logs_left_by_a_crash_go_with_the_next_cleanup(
    db: Database, home: Path, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    runs = [
        row[0] for row in await execute_sql(call, "SELECT runid FROM instances ORDER BY end_time")
    ]
    logs = [write_log(home, runid) for runid in runs]

    await db.write(retention.remove_runs, runs[:10])
    assert all(path.exists() for path in logs)
    await cleanup.delete_leftover_logs(db, home)

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert await db.read(retention.list_discarded) == []


KILLED_SCRIPT = """
import asyncio, os, signal, sys
from pathlib import Path
from app import paths
from app.core.maintenance_settings import (
    DAY, MaintenanceSettings, RetentionRule, RetentionSettings,
)
from app.service.database import cleanup
from db.engine import open_database

async def main(home):
    async with open_database(paths.get_database_path(home), writable=True) as db:
        rules = RetentionSettings(all=RetentionRule(keep=DAY))
        await cleanup.clean(db, home, MaintenanceSettings(retention=rules))

remove, left = cleanup._delete_logs, [int(sys.argv[2])]

def unlinked(home, runids):
    if runids:
        remove(home, runids[: left[0]])
        os.kill(os.getpid(), signal.SIGKILL)
    return []

cleanup._delete_logs = unlinked
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.process
@pytest.mark.parametrize("removed", [0, 3])
async def test_a_process_killed_while_removing_logs_leaks_none(
    home: Path, database_path: Path, removed: int
):
    async with open_database(database_path, writable=True) as db:
        await insert_work(db, 2, 10)
        runs = await db.read(
            lambda c: (
                c.exec_driver_sql("SELECT runid FROM instances ORDER BY end_time").scalars().all()
            )
        )
    logs = [write_log(home, runid) for runid in runs]

    done = subprocess.run(
        [sys.executable, "-P", "-c", KILLED_SCRIPT, os.fspath(home), str(removed)],
        check=False,
        timeout=60,
    )
    assert (done.returncode, sum(path.exists() for path in logs)) == (-signal.SIGKILL, 20 - removed)
    async with open_database(database_path, writable=True) as db:
        await cleanup.clean(
            db, home, MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(keep=DAY)))
        )
        assert await db.read(retention.list_discarded) == []

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10


def fill_disk_while(monkeypatch: pytest.MonkeyPatch, while_there: Path) -> None:
    """Make removals fail with a full disk while the file exists."""
    done = retention.remove_runs

    def refused(c: Connection, *of: Any) -> Any:
        if while_there.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return done(c, *of)

    monkeypatch.setattr(retention, "remove_runs", refused)
    monkeypatch.setattr(
        engine, "test_write", lambda c: None if not while_there.exists() else refused(c)
    )
    monkeypatch.setattr(cleanup_full_disk, "ENOUGH_BYTES", 1)


async def write_all_logs(call: Call) -> list[Path]:
    """Write the logs of all runs and return them in the order of their ends."""
    return [
        write_log(call.home, row[0])
        for row in await execute_sql(call, "SELECT runid FROM instances ORDER BY end_time")
    ]


async def test_on_a_full_disk_a_few_logs_make_room_to_delete_rows(
    db: Database, call_with_retention: MakeCall, monkeypatch: pytest.MonkeyPatch
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    logs = await write_all_logs(call)
    fill_disk_while(monkeypatch, logs[5])

    done = await cleanup.cleanup(call)

    assert (done["runs"], done["tasks"], done["freed"]["logs"]) == (10, 10, 6)
    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert (await log.ls(call, limit=1))[0]["after"]["runs"] == 10


async def test_on_a_full_disk_runs_the_history_cannot_count_lose_only_logs(
    db: Database, call_with_retention: MakeCall, monkeypatch: pytest.MonkeyPatch
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(runs=5)))
    await db.write(insert_days, timestamps.utcnow() + timedelta(minutes=1), 1, 20)
    await execute_sql(call, "UPDATE tasks SET name = 'same'")
    logs = await write_all_logs(call)
    fill_disk_while(monkeypatch, logs[2])

    told = await cleanup.cleanup(call, dry_run=True)
    done = await cleanup.cleanup(call)

    assert told["runs"] == done["runs"] == 0
    assert told["waiting"] == done["waiting"] == {"runs": 15, "logs": 3000}
    assert [path.exists() for path in logs] == [False] * 3 + [True] * 17
    await db.write(rollups.set_counted_until, int(time.time() // 60) + 2)
    assert (await cleanup.cleanup(call))["runs"] == 15


async def test_on_a_full_disk_pinned_or_retried_tasks_keep_their_logs(
    db: Database, call_with_retention: MakeCall, monkeypatch: pytest.MonkeyPatch
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    logs = await write_all_logs(call)
    fill_disk_while(monkeypatch, logs[3])
    found = retention.list_expired

    def just_before(c: Connection, part: Any, *more: Any) -> Any:
        old = found(c, part, *more)
        with closing(sqlite3.connect(db.path)) as other, other:
            other.execute("UPDATE tasks SET pinned = 1 WHERE number = 1")
            other.execute("UPDATE tasks SET status = 'queued' WHERE number = 2")
        return old

    monkeypatch.setattr(retention, "list_expired", just_before)

    assert (await cleanup.cleanup(call))["runs"] == 8
    assert [path.exists() for path in logs] == [True] * 2 + [False] * 8 + [True] * 10


async def test_a_disk_that_stays_full_is_reported_with_what_was_removed(
    db: Database, call_with_retention: MakeCall, monkeypatch: pytest.MonkeyPatch
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    logs = await write_all_logs(call)
    fill_disk_while(monkeypatch, logs[-1])

    with pytest.raises(DiskFull) as first:
        await cleanup.cleanup(call)
    with pytest.raises(DiskFull) as again:
        await cleanup.cleanup(call)

    assert (
        "Removed: 10 logs of expired runs. Removing more needs free space." in first.value.message
    )
    assert "Nothing was removed: removing needs some free space." in again.value.message
    assert again.value.hint == "Free space in another way, then try again."
    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10


async def test_a_log_that_cannot_be_removed_is_retried(
    db: Database, home: Path, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 10)
    ((runid,),) = await execute_sql(call, "SELECT runid FROM instances ORDER BY end_time LIMIT 1")
    path = Path(paths.get_log_path(home, runid))
    path.mkdir(parents=True)

    await cleanup.cleanup(call)
    assert await db.read(retention.list_discarded) == [runid]

    path.rmdir()
    await cleanup.cleanup(call)
    assert await db.read(retention.list_discarded) == []


async def test_a_sweep_removes_only_old_logs_without_a_run(db: Database, home: Path):
    await insert_work(db, 1, 1)
    known = "00000000-0001-7000-8000-000000000001"
    stray, fresh = f"{known[:-4]}aa01", f"{known[:-4]}bb01"
    stays = [write_log(home, known, 30), write_log(home, fresh, 1)]
    other = stays[0].with_name("notes01.txt")
    other.write_text("mine")
    os.utime(other, (0, 0))
    write_log(home, stray, 30)

    found = [await cleanup.sweep(db, home, folder) for folder in cleanup.FOLDERS]

    assert (sum(found), found[1]) == (1, 1)
    assert all(path.exists() for path in (*stays, other))
    assert not Path(paths.get_log_path(home, stray)).exists()


async def test_a_manual_removal_is_logged_and_cannot_be_undone(
    db: Database, call_with_retention: MakeCall
):
    call = call_with_retention(RetentionSettings(all=RetentionRule(keep=DAY)))
    await insert_work(db, 2, 200)
    await cleanup.cleanup(call)

    row = (await log.ls(call, limit=1))[0]

    assert (row["by"], row["verb"], row["object"], row["after"]["runs"]) == (
        "ann",
        "db cleanup",
        "database",
        200,
    )
    assert not row["undoable"] and row["reason"]


async def test_removals_by_the_runtime_are_logged_once_a_day(
    call: Call, db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    upkeep = MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(keep=DAY)))
    for hours in (0, 24, 30, 36, 48, 72):
        monkeypatch.setattr(
            timestamps, "utcnow", lambda hours=hours: begin + timedelta(hours=hours)
        )
        if hours % 24 == 0 and hours < 72:
            await db.write(insert_day, begin + timedelta(hours=hours), hours // 24, 40)
        await cleanup.clean(db, home, upkeep)

    rows = await log.ls(call, by="taskdeck", verb="db")

    assert sum(row["after"]["runs"] for row in rows) > 0
    assert len({row["at"][:10] for row in rows}) == len(rows)


async def test_removals_under_a_fast_clock_are_logged_once_it_is_right(
    call: Call, db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    await db.write(insert_day, begin, 0, 40)
    for now in (begin + timedelta(days=58), begin + timedelta(hours=1)):
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now)
        assert await log.ls(call, by="taskdeck", verb="db") == []
        await cleanup.clean(
            db, home, MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(keep=DAY)))
        )

    (row,) = await log.ls(call, by="taskdeck", verb="db")
    assert row["after"]["runs"] > 0


async def test_a_stop_of_the_runtime_is_in_the_operation_log(runtime_call: Call, fake_runtime: Any):
    await runtime_admin.stop(runtime_call, drain=True)

    row = (await log.ls(runtime_call, limit=1))[0]

    assert (row["by"], row["verb"], row["object"], row["after"], row["undoable"]) == (
        "ann",
        "stop",
        "runtime",
        {"drain": True},
        False,
    )
    assert fake_runtime.stops == [(True, "ann")]


async def test_a_refused_stop_is_not_in_the_operation_log(runtime_call: Call, fake_runtime: Any):
    fake_runtime.stop_error = Storage("no mark can be left")

    with pytest.raises(Storage):
        await runtime_admin.stop(runtime_call)

    assert (await log.ls(runtime_call, verb="stop"), fake_runtime.stops) == ([], [])


async def test_a_stop_without_space_for_its_mark_is_done_and_noted(
    runtime_call: Call, fake_runtime: Any, caller_notes: list[str]
):
    fake_runtime.stop_error = DiskFull("no mark is left")

    await runtime_admin.stop(runtime_call)

    assert [drain for drain, _ in fake_runtime.stops] == [False]
    assert caller_notes == ["no mark is left: the next command that needs a runtime starts one."]


async def test_a_secret_parameter_is_masked_in_the_log_but_undone_exactly(call: Call):
    parameters = {
        "properties": {"api_token": {"default": "hunter2"}},
        "token": "hunter2",
        "plain": "seen",
    }
    await call.db.write(
        operations.record,
        call.by,
        "template set",
        "template x",
        {"parameters": parameters},
        {"list": [{"password": 1}]},
    )

    row = (await log.ls(call, limit=1))[0]

    assert (
        row["before"]["parameters"]["token"] == MASK
        and row["before"]["parameters"]["plain"] == "seen"
    )
    assert row["after"] == {"list": [{"password": MASK}]}
    assert (await call.db.read(operations.list_by_id, [row["id"]]))[0].before == {
        "parameters": parameters
    }


async def test_a_cleanup_with_nothing_old_writes_nothing(db: Database, home: Path):
    woken: list[int] = []
    await insert_work(db, 1, 10)
    (before,) = await db.read(lambda c: c.exec_driver_sql("PRAGMA data_version").all())
    db.after_commit(lambda: woken.append(1))

    report = await cleanup.clean(db, home, MaintenanceSettings())

    assert report.summarize() == {} and woken == []
    assert await db.read(lambda c: c.exec_driver_sql("PRAGMA data_version").all()) == [before]


async def test_a_month_of_work_leaves_a_file_of_stable_size(
    db: Database, home: Path, database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begin, sizes = datetime(2026, 1, 1, tzinfo=UTC), []
    upkeep = MaintenanceSettings(
        backup=BackupSettings(keep=5 * DAY),
        retention=RetentionSettings(all=RetentionRule(keep=5 * DAY)),
    )
    for number in range(30):
        monkeypatch.setattr(
            timestamps, "utcnow", lambda number=number: begin + timedelta(days=number + 1)
        )
        await db.write(insert_day, begin + timedelta(days=number), number, 300)
        await db.write(rollups.set_counted_until, int(timestamps.utcnow().timestamp() // 60))
        await cleanup.clean(db, home, upkeep)
        sizes.append(await db.read(retention.get_size))

    assert sizes[29] < 1.2 * sizes[9]
    assert (
        await db.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one())
        < 5 * 300 + 100
    )
