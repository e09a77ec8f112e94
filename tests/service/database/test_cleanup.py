"""`db cleanup`: what would go is what goes, by the rules of the settings; logs go with their runs, also over a crash."""

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
from app.core.maintenance_settings import DAY, Backup, Retention, Rule, Upkeep
from app.core.text.sanitize import MASK
from app.errors import Conflict, Storage, Usage
from app.service import operations as log
from app.service import runtime_admin
from app.service.context import Call
from app.service.database import backups, cleanup, cleanup_full_disk
from app.service.database.cleanup import Figures, Report
from db import engine, timestamps
from db.engine import Database, open_database
from db.errors import DiskFull
from db.queries import operations, retention, rollups
from db.queries.retention import Scope
from tests.service.calls import execute
from tests.service.history_workload import day, days

Upkept = Callable[[Retention], Call]


@pytest.fixture
def upkept(live: Call, up: Any, monkeypatch: pytest.MonkeyPatch) -> Upkept:
    """A caller while a runtime with these rules is up."""

    def upkept(rules: Retention) -> Call:
        monkeypatch.setattr(type(up), "upkeep", Upkeep(retention=rules))
        return live

    return upkept


async def work(db: Database, many: int, tasks: int) -> None:
    """So many days of work until about now, all counted by the history."""
    await db.write(days, timestamps.utcnow() + timedelta(minutes=1), many, tasks)
    await db.write(rollups.count_until, int(time.time() // 60) + 1)


def log_of(home: Path, runid: str, days: float = 0) -> Path:
    """A log file, last written so long ago."""
    path = Path(paths.log_path(home, runid))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 200)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


async def test_a_dry_run_changes_nothing_and_tells_what_the_real_one_removes(db: Database, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=6 * DAY), queues={"default": Rule(keep=8 * DAY, runs=500, logs=0.05)}))
    await work(db, 12, 100)
    before = await execute(call, "SELECT count(*), (SELECT count(*) FROM instances), (SELECT count(*) FROM events) FROM tasks")

    told = await cleanup.cleanup(call, dry_run=True)
    assert await execute(call, "SELECT count(*), (SELECT count(*) FROM instances), (SELECT count(*) FROM events) FROM tasks") == before
    done = await cleanup.cleanup(call)
    again = await cleanup.cleanup(call, dry_run=True)

    figures = ("rules", "runs", "tasks", "logs", "rows", "others")
    assert {name: done[name] for name in figures} == {name: told[name] for name in figures}
    assert {(rule["rule"], rule["why"]) for rule in done["rules"]} == {("queue default", why) for why in ("age", "runs", "logs")}
    assert (done["runs"], done["tasks"]) == (1200 - 262, 1200 - 262)
    assert (again["runs"], again["tasks"], again["rules"]) == (0, 0, [])
    assert told["next"]["words"].startswith("938 runs and 938 tasks, ") and again["next"]["words"] == "nothing"
    assert done["size"]["after"] < done["size"]["before"] == told["size"]["after"]


async def test_it_says_by_which_rule_and_why(db: Database, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=5 * DAY)))
    await work(db, 7, 50)
    await execute(call, "UPDATE tasks SET deleted_at = ended_at WHERE number > 340")

    told = await cleanup.cleanup(call, dry_run=True)

    assert [(rule["rule"], rule["because"], rule["runs"], rule["tasks"]) for rule in told["rules"]] == [
        ("all", "older than 5d", 100, 100),
        ("removed by hand", "removed by hand", 10, 10),
    ]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(), "nothing"), (Report(others={"events": 1}), "1 row of what was noted"),
        (Report({(Scope("all"), "age"): Figures(0, 1, 500, 30)}, {"events": 14, "alerts": 2}), "1 task, 530B; 16 rows of what was noted"),
        (Report({(Scope("all"), "age"): Figures(1, 2, 0, 0)}), "1 run and 2 tasks, 0B"),
    ],
)  # fmt: skip
def test_what_goes_next_is_said_in_words(report: Report, words: str):
    assert cleanup._next(report)["words"] == words


async def test_it_says_how_many_last_successes_stay_and_that_is_what_stays(db: Database, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 3, 20)
    await execute(call, "UPDATE tasks SET name = 'old-' || (number % 3) WHERE number < 40")
    await execute(call, "UPDATE tasks SET pinned = 1 WHERE number = 2")

    told = await cleanup.cleanup(call, dry_run=True)
    done = await cleanup.cleanup(call)

    old = "SELECT count(*) FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time < ? AND t.pinned = 0"
    ((stay,),) = await execute(call, old, timestamps.stamp(timestamps.utcnow() - timedelta(days=1)))
    assert told["kept"] == done["kept"] == stay == 3


async def test_of_what_is_old_the_last_successes_are_counted(db: Database, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=0.001)))
    await work(db, 1, 20)
    await execute(call, "UPDATE tasks SET name = 'n' || (number % 7), template = NULL")
    await execute(call, "UPDATE tasks SET status = 'succeeded'")
    await execute(call, "UPDATE instances SET status = 'succeeded'")

    told = await cleanup.cleanup(call, dry_run=True)

    assert (told["kept"], told["runs"]) == (7, 13)


async def test_while_the_clock_may_be_wrong_a_person_removes_nothing_without_saying_that_it_is_right(
    db: Database, live: Call, up: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(up), "upkeep", Upkeep(retention=Retention(all=Rule(keep=DAY))))
    up.clock_doubt, up.clock_ahead = "the clock was 58d ahead of what was stored last, and may be wrong.", 58 * DAY
    await work(db, 3, 20)

    with pytest.raises(Conflict) as refused:
        await cleanup.cleanup(live)
    assert str(refused.value) == f"{up.clock_doubt} Nothing was removed. If it is right: taskdeck db cleanup --yes"
    told = await cleanup.cleanup(live, dry_run=True)
    assert (await cleanup.cleanup(live, sure=True))["runs"] == told["runs"] > 0


@pytest.mark.parametrize(
    ("keep", "ahead", "asked"),
    [
        (Retention(), 20 * DAY, False),
        (Retention(), 30 * DAY, True),
        (Retention(queues={"default": Rule(keep=20 * DAY)}), 20 * DAY, True),
        (Retention(templates={"nightly": Rule(keep=20 * DAY)}), 20 * DAY, True),
        (Retention(all=Rule(runs=9), operations=20 * DAY), 20 * DAY, True),
        (Retention(all=Rule(runs=9)), 20 * DAY, False),
    ],
)
async def test_a_clock_by_which_not_all_would_go_keeps_no_person_from_removing_what_is_old(
    live: Call, up: Any, keep: Retention, ahead: float, asked: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(up), "upkeep", Upkeep(retention=keep))
    up.clock_doubt, up.clock_ahead = "the clock was ahead of what was stored last, and may be wrong.", ahead

    with pytest.raises(Conflict) if asked else nullcontext():
        await cleanup.cleanup(live)


async def test_a_backup_that_a_person_takes_while_the_clock_may_be_wrong_prunes_none(
    live: Call, up: Any, monkeypatch: pytest.MonkeyPatch
):
    first = await backups.backup(live, full=True)
    years_on = timestamps.utcnow() + timedelta(days=3650)
    monkeypatch.setattr(timestamps, "utcnow", lambda: years_on)
    up.clock_doubt = "the clock was 3650d ahead of what was stored last, and may be wrong."

    for _ in range(3):
        await backups.backup(live, full=True)
    assert Path(first["path"]).exists()
    up.clock_doubt = ""
    await backups.backup(live, full=True)
    assert not Path(first["path"]).exists()


async def test_while_it_is_not_known_what_may_go_nothing_does(db: Database, live: Call, up: Any, monkeypatch: pytest.MonkeyPatch):
    why = '/x/config.toml, line 3: there is no setting "bakup".'
    monkeypatch.setattr(type(up), "upkeep", Upkeep(retention=Retention(all=Rule(keep=DAY))).keeping_all(why))
    await work(db, 3, 20)

    told = await cleanup.cleanup(live, dry_run=True)
    with pytest.raises(Usage) as refused:
        await cleanup.cleanup(live)

    assert (told["paused"], told["runs"], told["rules"], told["next"]["words"]) == (why, 0, [], "nothing while config.toml is wrong")
    assert str(refused.value) == f"{why} Nothing was removed. Mend it; nothing is removed while it is wrong."
    assert await execute(live, "SELECT count(*) FROM instances") == [(60,)]


async def test_a_time_to_keep_that_may_have_been_meant_to_be_longer_is_told(upkept: Upkept):
    call = upkept(Retention(Rule(keep=60.0), templates={"a": Rule(keep=90.0)}))

    found = await cleanup.cleanup(call, dry_run=True)

    assert found["unknown"][-2:] == [
        "[retention] keeps only 1 minute (m is minutes, d is days)",
        "[retention.template.a] keeps only 1.5 minutes (m is minutes, d is days)",
    ]


async def test_rules_for_what_is_not_there_are_named(upkept: Upkept):
    call = upkept(Retention(queues={"default": Rule(keep=DAY), "nosuch": Rule(keep=DAY)}, templates={"\x1b[2J": Rule(runs=1)}))

    queue, template = (await cleanup.cleanup(call, dry_run=True))["unknown"]

    assert queue == "[retention.queue.nosuch]: there is no queue nosuch"
    assert template.isprintable() and template.startswith("[retention.template.")


def test_what_the_ledger_holds_is_kept_as_long_as_backups_are(home: Path):
    now, none = timestamps.utcnow(), cleanup.oldest(home, Backup())
    assert cleanup.rules(Upkeep(backup=Backup(keep=None)), now, none).ledger == ""
    for enabled in (True, False):  # those that people take are kept as long
        assert cleanup.rules(Upkeep(backup=Backup(keep=DAY, enabled=enabled)), now, none).ledger == timestamps.stamp(now - timedelta(days=1))


async def test_it_is_kept_as_far_back_as_any_backup_lies_there_or_may(call: Call, tmp_path: Path):
    first = await backups.take_one(call, Backup())
    await backups.take_one(call, Backup(folder=f"{tmp_path}/far"))
    aside = call.db.path.with_name(f"{call.db.path.name}.before-restore-2020-01-02T000000.000000")

    assert cleanup.oldest(call.home, Backup()) == cleanup.oldest(call.home, Backup(folder=f"{tmp_path}/far")) == first.at
    aside.touch()
    assert cleanup.oldest(call.home, Backup()) == "2020-01-02T00:00:00.000000Z"
    (tmp_path / "far").rename(tmp_path / "away")
    assert cleanup.oldest(call.home, Backup(folder=f"{tmp_path}/far")) == ""
    (call.home / "backups").rename(tmp_path / "moved")
    (call.home / "backups").symlink_to(tmp_path / "nowhere")
    assert cleanup.oldest(call.home, Backup()) == ""


async def test_what_a_backup_still_holds_is_remembered_however_short_they_are_kept(db: Database, call: Call):
    """The last two full ones stay, and those that people take while none are taken by the clock."""
    short = Upkeep(backup=Backup(keep=0.001, enabled=False), retention=Retention(all=Rule(keep=0.001)))
    await work(db, 1, 20)
    await execute(call, "UPDATE tasks SET name = 'same', template = NULL")
    await backups.take_one(call, short.backup)

    for _ in range(2):
        await cleanup.clean(db, call.home, short)

    ((gone, known),) = await execute(call, "SELECT 20 - count(*), (SELECT count(*) FROM forgotten) FROM tasks")
    assert gone == known > 10


async def test_logs_go_with_their_runs(db: Database, home: Path, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    runs = await execute(call, "SELECT runid FROM instances ORDER BY end_time")
    logs = [log_of(home, row[0]) for row in runs]

    await cleanup.cleanup(call)

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert await db.read(retention.discarded) == []


async def test_logs_that_a_crash_left_between_commit_and_removal_go_at_the_next_cleanup(db: Database, home: Path, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    runs = [row[0] for row in await execute(call, "SELECT runid FROM instances ORDER BY end_time")]
    logs = [log_of(home, runid) for runid in runs]

    await db.write(retention.remove, runs[:10])
    assert all(path.exists() for path in logs)
    await cleanup.settle(db, home)

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert await db.read(retention.discarded) == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from app import paths
from app.core.maintenance_settings import DAY, Retention, Rule, Upkeep
from app.service.database import cleanup
from db.engine import open_database

async def main(home):
    async with open_database(paths.database(home), writable=True) as db:
        await cleanup.clean(db, home, Upkeep(retention=Retention(all=Rule(keep=DAY))))

remove, left = cleanup._unlinked, [int(sys.argv[2])]

def unlinked(home, runids):
    if runids:
        remove(home, runids[: left[0]])
        os.kill(os.getpid(), signal.SIGKILL)
    return []

cleanup._unlinked = unlinked
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("removed", [0, 3])
async def test_a_process_that_is_killed_while_it_removes_logs_leaks_none(home: Path, database: Path, removed: int):
    async with open_database(database, writable=True) as db:
        await work(db, 2, 10)
        runs = await db.read(lambda c: c.exec_driver_sql("SELECT runid FROM instances ORDER BY end_time").scalars().all())
    logs = [log_of(home, runid) for runid in runs]

    done = subprocess.run([sys.executable, "-P", "-c", KILLED, os.fspath(home), str(removed)], check=False, timeout=60)
    assert (done.returncode, sum(path.exists() for path in logs)) == (-signal.SIGKILL, 20 - removed)
    async with open_database(database, writable=True) as db:
        await cleanup.clean(db, home, Upkeep(retention=Retention(all=Rule(keep=DAY))))
        assert await db.read(retention.discarded) == []

    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10


def full(monkeypatch: pytest.MonkeyPatch, while_there: Path) -> None:
    """Let the disk be full for all that is removed as long as that file is there."""
    done = retention.remove

    def refused(c: Connection, *of: Any) -> Any:
        if while_there.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return done(c, *of)

    monkeypatch.setattr(retention, "remove", refused)
    monkeypatch.setattr(engine, "try_out", lambda c: None if not while_there.exists() else refused(c))
    monkeypatch.setattr(cleanup_full_disk, "ENOUGH", 1)


async def logged(call: Call) -> list[Path]:
    """The logs of all runs, in the order of their ends."""
    return [log_of(call.home, row[0]) for row in await execute(call, "SELECT runid FROM instances ORDER BY end_time")]


async def test_on_a_full_disk_a_few_logs_of_what_goes_make_the_room_that_it_takes_to_remove_the_rows(
    db: Database, upkept: Upkept, monkeypatch: pytest.MonkeyPatch
):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    logs = await logged(call)
    full(monkeypatch, logs[5])

    done = await cleanup.cleanup(call)

    assert (done["runs"], done["tasks"], done["freed"]["logs"]) == (10, 10, 6)
    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10
    assert (await log.ls(call, limit=1))[0]["after"]["runs"] == 10


async def test_on_a_full_disk_what_the_history_cannot_count_loses_its_logs_and_its_rows_are_said_to_wait(
    db: Database, upkept: Upkept, monkeypatch: pytest.MonkeyPatch
):
    call = upkept(Retention(all=Rule(runs=5)))
    await db.write(days, timestamps.utcnow() + timedelta(minutes=1), 1, 20)
    await execute(call, "UPDATE tasks SET name = 'same'")
    logs = await logged(call)
    full(monkeypatch, logs[2])

    told = await cleanup.cleanup(call, dry_run=True)
    done = await cleanup.cleanup(call)

    assert told["runs"] == done["runs"] == 0
    assert told["waiting"] == done["waiting"] == {"runs": 15, "logs": 3000}
    assert [path.exists() for path in logs] == [False] * 3 + [True] * 17
    await db.write(rollups.count_until, int(time.time() // 60) + 2)
    assert (await cleanup.cleanup(call))["runs"] == 15


async def test_on_a_full_disk_what_is_pinned_or_tried_again_since_it_was_found_keeps_its_log(
    db: Database, upkept: Upkept, monkeypatch: pytest.MonkeyPatch
):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    logs = await logged(call)
    full(monkeypatch, logs[3])
    found = retention.page

    def just_before(c: Connection, part: Any, *more: Any) -> Any:
        old = found(c, part, *more)
        with closing(sqlite3.connect(db.path)) as other, other:
            other.execute("UPDATE tasks SET pinned = 1 WHERE number = 1")
            other.execute("UPDATE tasks SET status = 'queued' WHERE number = 2")
        return old

    monkeypatch.setattr(retention, "page", just_before)

    assert (await cleanup.cleanup(call))["runs"] == 8
    assert [path.exists() for path in logs] == [True] * 2 + [False] * 8 + [True] * 10


async def test_a_disk_that_stays_full_without_any_log_that_goes_is_told_with_what_went(
    db: Database, upkept: Upkept, monkeypatch: pytest.MonkeyPatch
):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    logs = await logged(call)
    full(monkeypatch, logs[-1])

    with pytest.raises(DiskFull) as first:
        await cleanup.cleanup(call)
    with pytest.raises(DiskFull) as again:
        await cleanup.cleanup(call)

    assert "Removed: 10 logs of runs that go. To remove more takes room." in first.value.message
    assert "Nothing was removed, which takes some room." in again.value.message
    assert again.value.hint == "Free space in another way, then try again."
    assert [path.exists() for path in logs] == [False] * 10 + [True] * 10


async def test_a_log_that_cannot_be_removed_is_tried_again(db: Database, home: Path, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 10)
    ((runid,),) = await execute(call, "SELECT runid FROM instances ORDER BY end_time LIMIT 1")
    path = Path(paths.log_path(home, runid))
    path.mkdir(parents=True)

    await cleanup.cleanup(call)
    assert await db.read(retention.discarded) == [runid]

    path.rmdir()
    await cleanup.cleanup(call)
    assert await db.read(retention.discarded) == []


async def test_a_sweep_removes_old_logs_without_a_run_and_nothing_else(db: Database, home: Path):
    await work(db, 1, 1)
    known = "00000000-0001-7000-8000-000000000001"
    stray, fresh = f"{known[:-4]}aa01", f"{known[:-4]}bb01"
    stays = [log_of(home, known, 30), log_of(home, fresh, 1)]
    other = stays[0].with_name("notes01.txt")
    other.write_text("mine")
    os.utime(other, (0, 0))
    log_of(home, stray, 30)

    found = [await cleanup.sweep(db, home, folder) for folder in cleanup.FOLDERS]

    assert (sum(found), found[1]) == (1, 1)
    assert all(path.exists() for path in (*stays, other))
    assert not Path(paths.log_path(home, stray)).exists()


async def test_what_a_person_removes_is_in_the_operation_log_and_cannot_be_undone(db: Database, upkept: Upkept):
    call = upkept(Retention(all=Rule(keep=DAY)))
    await work(db, 2, 200)
    await cleanup.cleanup(call)

    row = (await log.ls(call, limit=1))[0]

    assert (row["by"], row["verb"], row["object"], row["after"]["runs"]) == ("ann", "db cleanup", "database", 200)
    assert not row["undoable"] and row["reason"]


async def test_what_the_runtime_removes_is_in_the_operation_log_once_a_day(
    call: Call, db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    upkeep = Upkeep(retention=Retention(all=Rule(keep=DAY)))
    for hours in (0, 24, 30, 36, 48, 72):
        monkeypatch.setattr(timestamps, "utcnow", lambda hours=hours: begin + timedelta(hours=hours))
        if hours % 24 == 0 and hours < 72:
            await db.write(day, begin + timedelta(hours=hours), hours // 24, 40)
        await cleanup.clean(db, home, upkeep)

    rows = await log.ls(call, by="taskdeck", verb="db")

    assert sum(row["after"]["runs"] for row in rows) > 0
    assert len({row["at"][:10] for row in rows}) == len(rows)


async def test_what_was_removed_while_the_clock_was_ahead_is_in_the_operation_log_once_it_is_right(
    call: Call, db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    await db.write(day, begin, 0, 40)
    for now in (begin + timedelta(days=58), begin + timedelta(hours=1)):
        monkeypatch.setattr(timestamps, "utcnow", lambda now=now: now)
        assert await log.ls(call, by="taskdeck", verb="db") == []
        await cleanup.clean(db, home, Upkeep(retention=Retention(all=Rule(keep=DAY))))

    (row,) = await log.ls(call, by="taskdeck", verb="db")
    assert row["after"]["runs"] > 0


async def test_that_somebody_stopped_the_runtime_is_in_the_operation_log(live: Call, up: Any):
    await runtime_admin.stop(live, drain=True)

    row = (await log.ls(live, limit=1))[0]

    assert (row["by"], row["verb"], row["object"], row["after"], row["undoable"]) == ("ann", "stop", "runtime", {"drain": True}, False)
    assert up.stops == [(True, "ann")]


async def test_a_stop_that_is_refused_is_in_no_operation_log(live: Call, up: Any):
    up.refuses = Storage("no mark can be left")

    with pytest.raises(Storage):
        await runtime_admin.stop(live)

    assert (await log.ls(live, verb="stop"), up.stops) == ([], [])


async def test_a_stop_for_which_no_mark_can_be_left_on_a_full_disk_is_done_and_noted(live: Call, up: Any, notes: list[str]):
    up.refuses = DiskFull("no mark is left")

    await runtime_admin.stop(live)

    assert [drain for drain, _ in up.stops] == [False]
    assert notes == ["no mark is left: the next command that needs one starts it again."]


async def test_what_looks_secret_by_its_name_is_not_told_and_an_undo_has_it_all_the_same(call: Call):
    parameters = {"properties": {"api_token": {"default": "hunter2"}}, "token": "hunter2", "plain": "seen"}
    await call.db.write(operations.record, call.by, "template set", "template x", {"parameters": parameters}, {"list": [{"password": 1}]})

    row = (await log.ls(call, limit=1))[0]

    assert row["before"]["parameters"]["token"] == MASK and row["before"]["parameters"]["plain"] == "seen"
    assert row["after"] == {"list": [{"password": MASK}]}
    assert (await call.db.read(operations.by_ids, [row["id"]]))[0].before == {"parameters": parameters}


async def test_cleaning_what_has_nothing_old_writes_nothing(db: Database, home: Path):
    woken: list[int] = []
    await work(db, 1, 10)
    (before,) = await db.read(lambda c: c.exec_driver_sql("PRAGMA data_version").all())
    db.after_commit(lambda: woken.append(1))

    report = await cleanup.clean(db, home, Upkeep())

    assert report.summary() == {} and woken == []
    assert await db.read(lambda c: c.exec_driver_sql("PRAGMA data_version").all()) == [before]


async def test_a_month_of_work_leaves_a_file_that_does_not_grow(
    db: Database, home: Path, database: Path, monkeypatch: pytest.MonkeyPatch
):
    begin, sizes = datetime(2026, 1, 1, tzinfo=UTC), []
    upkeep = Upkeep(backup=Backup(keep=5 * DAY), retention=Retention(all=Rule(keep=5 * DAY)))
    for number in range(30):
        monkeypatch.setattr(timestamps, "utcnow", lambda number=number: begin + timedelta(days=number + 1))
        await db.write(day, begin + timedelta(days=number), number, 300)
        await db.write(rollups.count_until, int(timestamps.utcnow().timestamp() // 60))
        await cleanup.clean(db, home, upkeep)
        sizes.append(await db.read(retention.size))

    assert sizes[29] < 1.2 * sizes[9]
    assert await db.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one()) < 5 * 300 + 100
