"""Database checks against keeper journals and log files, and the repairs they allow."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from app import paths
from app.core.ids import make_uuid7
from app.errors import Conflict, Refused
from app.home import setup
from app.offline import backup, maintenance, read_only, restore
from app.service.context import Call
from app.service.database import integrity, journal
from app.service.registry import call_verb
from db.backup.create import BackupRules, take_backup
from db.engine import create_write_engine
from db.errors import BehindDatabase, DamagedDatabase, ReadOnlyDisk
from db.maintenance import integrity as maintenance_integrity
from db.maintenance import migrate
from db.queries.tasks import transitions
from tests.db.builders import TaskBuilder, submit_task_to
from tests.db.maintenance.upgrades import add_later_revision, make_old_database
from tests.runtime_process import wait_until
from tests.service.calls import execute_sql, submit_task

EARLY_RUNID = "01000000-0000-7000-8000-000000000000"
"""A run id older than everything in a current database."""


def write_journal(home: Path, *records: dict[str, object]) -> None:
    """Write keeper records, followed by a torn one."""
    folder = home / "run" / "journal2"
    folder.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(record)}\n" for record in records)
    (folder / "1.log").write_bytes(text.encode() + b'{"i": "torn' + bytes(100))


def write_log(home: Path, runid: str) -> Path:
    path = Path(paths.get_log_path(home, runid))
    path.parent.mkdir(exist_ok=True)
    path.write_text("said\n")
    return path


@pytest.fixture
def running_runid(database_path: Path) -> str:
    """Return the run id of a running task."""
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        runid = made.start_run(made.submit_task())
    engine.dispose()
    return runid


def test_runs_known_only_to_the_keeper_or_the_database_are_reported(home: Path, running_runid: str):
    strange = make_uuid7()
    write_journal(home, {"i": strange, "at": 1.0})

    assert integrity.find_problems(home, live=False) == [
        f"the keeper has run {strange}, which has no row",
        f"run {running_runid} is recorded as running, but the keeper does not know it: the next"
        " start marks it as lost",
    ]
    assert len(integrity.find_problems(home, live=True)) == 1

    end = {
        "e": running_runid,
        "code": 0,
        "signal": None,
        "at": 2.0,
        "seconds": 1.0,
        "cpu": 0.0,
        "rss": 0,
    }
    write_journal(home, {"i": running_runid, "at": 1.0}, end, {"f": [running_runid]})
    assert integrity.find_problems(home, live=False) == [
        f"run {running_runid} is recorded as running, but the keeper does not know it: the next"
        " start records its end again"
    ]


@pytest.mark.parametrize(
    "odd",
    ['{"e": ["x"]}', '{"f": [["x"]]}', '{"i": ["x"]}', '{"i": 1}', "[" * 100_000, "[1]", "{}"],
)
def test_a_malformed_journal_record_is_skipped_like_a_torn_one(
    home: Path, running_runid: str, odd: str
):
    write_journal(home, {"i": running_runid, "at": 1.0})
    (home / "run" / "journal2" / "2.log").write_text(f"{odd}\n")

    assert integrity.find_problems(home, live=False) == [] and [
        trace.runid for trace in journal.list_runs(home)
    ] == [running_runid]


def test_an_end_with_malformed_values_counts_as_an_end(home: Path):
    strange = make_uuid7()
    write_journal(home, {"i": strange}, {"e": strange, "at": "noon", "code": ["x"]})

    (trace,) = journal.list_runs(home)
    assert trace.ended and (trace.end, trace.code, trace.status) == (None, None, "failed")


def test_logs_without_a_run_are_reported_and_left_to_cleanup(home: Path, running_runid: str):
    write_journal(home, {"i": running_runid, "at": 1.0})
    path = write_log(home, EARLY_RUNID)
    write_log(home, running_runid)

    assert integrity.find_problems(home, live=False) == ["1 log of a run without a row (5B)"]
    done = maintenance.repair_home(str(home))

    assert done == {
        "ok": True,
        "done": ["1 log of runs without a row will be removed by the cleanup"],
        "problems": [],
    }
    assert path.exists() and integrity.find_problems(home, live=False) == []


def test_only_a_run_newer_than_the_database_indicates_lost_writes(home: Path, running_runid: str):
    path, later = paths.get_database_path(home), make_uuid7()

    assert (
        maintenance_integrity.find_missing_runs(
            path, [running_runid, EARLY_RUNID, "odd", "ffffffff-ffff-7fff-8fff-ffffffffffff"]
        )
        == []
    )
    assert maintenance_integrity.find_missing_runs(path, [later]) == [
        f"the latest writes are missing: run {later} began after its last entry"
    ]
    with closing(sqlite3.connect(path)) as c:
        c.execute(
            "INSERT INTO discarded_logs (runid, created_at, updated_at) VALUES (?, '', '')",
            (later,),
        )
        c.commit()
    assert maintenance_integrity.find_missing_runs(path, [later]) == []


def test_an_empty_log_indicates_a_run_unless_its_start_failed(home: Path, running_runid: str):
    later = make_uuid7()
    path = write_log(home, later)
    missing = [f"the latest writes are missing: run {later} began after its last entry"]
    assert integrity.find_lost_writes(home) == missing

    path.write_text("")
    assert integrity.find_lost_writes(home) == missing, "it wrote nothing, and its keeper has left"
    write_journal(home, {"i": later, "at": 1.0}, {"v": later})
    assert integrity.find_lost_writes(home) == [] and "missing" not in str(
        integrity.find_problems(home, live=False)
    ), "its start was taken back"
    write_journal(home, {"r": later})
    assert integrity.find_lost_writes(home) == [], "it was refused"
    path.write_text("it began\n")
    assert integrity.find_lost_writes(home) == missing
    path.write_text("")
    write_journal(home, {"i": later, "at": 1.0})
    assert integrity.find_lost_writes(home) == missing


def test_nothing_is_repaired_while_the_latest_writes_are_missing(home: Path, running_runid: str):
    write_log(home, make_uuid7())
    with closing(sqlite3.connect(paths.get_database_path(home))) as c:
        c.execute("UPDATE queues SET current_load = 3")
        c.commit()

    done = maintenance.repair_home(str(home))

    assert done["done"] == [] and done["problems"][0].startswith("the latest writes are missing")
    assert integrity.find_lost_writes(home), "the next start is refused still"
    assert maintenance.make_advice(str(home)).endswith(
        "There is no good backup of it. Back up its contents, then restore them:"
        " taskdeck db backup && taskdeck db restore"
    )


def test_an_unwritable_database_prevents_a_runtime_start(
    home: Path, database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    allowed = os.access  # root may write everything
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and allowed(path, mode))
    with pytest.raises(ReadOnlyDisk, match=f"{database_path} is read-only"):
        setup.prepare_in_subprocess(home)

    monkeypatch.undo()
    setup.prepare_in_subprocess(home)


def test_an_upgrade_is_refused_while_the_latest_writes_are_missing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = Path(shutil.copy(make_old_database(tmp_path), paths.get_database_path(home)))
    add_later_revision(tmp_path, monkeypatch)
    write_log(home, make_uuid7())

    with pytest.raises(BehindDatabase, match="began after its last entry"):
        setup.prepare_in_subprocess(home)
    with pytest.raises(
        DamagedDatabase, match="There is no good backup of it. Back up its contents"
    ):
        maintenance.migrate_home(str(home))
    assert migrate.read_version(path) != migrate.HEAD and not (home / "backups").exists()

    backup.take_backup(str(home), {}, lambda said: None)
    assert restore.restore_home(str(home), None, None, lambda told: True)["restored"]
    setup.prepare_in_subprocess(home)
    assert migrate.read_version(path) == migrate.HEAD


@pytest.mark.parametrize(
    "more",
    [
        "",
        "CREATE TABLE later (id INTEGER)",
        "ALTER TABLE tasks ADD COLUMN later TEXT",
        "DROP INDEX idx_tasks_type",
    ],
)
def test_a_lost_version_is_restored_only_for_the_current_schema(
    home: Path, running_runid: str, more: str
):
    path = paths.get_database_path(home)
    with closing(sqlite3.connect(path)) as c:
        c.executescript(f"DELETE FROM alembic_version; {more}")
    with pytest.raises(
        DamagedDatabase, match="There is no good backup of it. .*taskdeck db check --repair$"
    ):
        maintenance.check_home(str(home))

    if more:
        with pytest.raises(
            DamagedDatabase,
            match=(
                "0 rows of alembic_version instead of one, and its schema differs .*Move the"
                " database away"
            ),
        ):
            maintenance.repair_home(str(home))
        return
    done = maintenance.repair_home(str(home))["done"]

    assert (
        done[0].startswith(f"the lost version of the database set to {migrate.HEAD}")
        and migrate.read_version(path) == migrate.HEAD
    )
    assert read_only.read(str(home), "operations", {"verb": "db repair"})


def test_a_home_that_lost_its_uuid_keeps_its_backups(home: Path, database_path: Path):
    take_backup(database_path, home / "backups", BackupRules())
    with closing(sqlite3.connect(database_path)) as c:
        (uuid,) = c.execute("SELECT uuid FROM home").fetchone()
        c.executescript("DELETE FROM home")

    assert integrity.find_problems(home, live=False) == ["the home has no UUID"]
    assert maintenance.repair_home(str(home))["done"] == [
        "the UUID of the home set to that of its last backup"
    ]
    with closing(sqlite3.connect(database_path)) as c:
        assert c.execute("SELECT uuid FROM home").fetchall() == [(uuid,)]
    assert integrity.find_problems(home, live=False) == []


def test_a_number_known_only_to_a_backup_is_not_reused(home: Path, database_path: Path):
    submit_task_to(database_path, "first")
    submit_task_to(database_path, "second")
    take_backup(database_path, home / "backups", BackupRules())
    with closing(sqlite3.connect(database_path)) as c:
        c.executescript(
            "DELETE FROM events; DELETE FROM tasks; DELETE FROM counters WHERE name = 'task-number'"
        )

    assert "the task number counter says 0, a backup or job has #2" in integrity.find_problems(
        home, live=False
    )
    assert (
        "the next task will be #3" in maintenance.repair_home(str(home))["done"]
        and integrity.find_problems(home, live=False) == []
    )


@pytest.mark.process
def test_a_number_known_only_to_a_job_is_not_reused(home: Path, database_path: Path):
    job = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "1"})
    try:
        runid = make_uuid7()
        write_journal(
            home,
            {"i": runid, "at": 1.0},
            {"p": runid, "pid": job.pid, "ticks": journal._read_start_ticks(job.pid)},
        )
        wait_until(lambda: integrity.find_highest_number(home) == 7)
    finally:
        job.kill()
        job.wait()


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "attempt"), [("7", "9" * 40), ("7", "-3"), (f"{2**63}", "1"), ("0", "1"), ("7", "x")]
)
def test_an_impossible_task_number_or_attempt_of_a_job_is_ignored(
    home: Path, number: str, attempt: str
):
    job = subprocess.Popen(
        ["sleep", "300"], env={"TASKDECK_TASK": number, "TASKDECK_ATTEMPT": attempt}
    )
    try:
        runid = make_uuid7()
        wait_until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        write_journal(
            home,
            {"i": runid, "at": 5.0},
            {"p": runid, "pid": job.pid, "ticks": journal._read_start_ticks(job.pid)},
        )
        (trace,) = journal.list_runs(home)
    finally:
        job.kill()
        job.wait()

    assert (trace.number, trace.attempt, trace.is_alive) == (None, 1, True)


@pytest.mark.process
def test_a_living_job_shows_its_command_and_directory(
    home: Path, database_path: Path, tmp_path: Path
):
    job = subprocess.Popen(
        ["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "2"}, cwd=tmp_path
    )
    try:
        runid = make_uuid7()
        wait_until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        write_journal(
            home,
            {"i": runid, "at": 5.0},
            {"p": runid, "pid": job.pid, "ticks": journal._read_start_ticks(job.pid)},
        )
        (trace,) = journal.list_runs(home)
        submit_task_to(paths.get_database_path(home), "first")
        (said,) = [line for line in integrity.find_problems(home, live=False) if runid in line]
    finally:
        job.kill()
        job.wait()

    assert said.endswith(
        "which has no row: it is running, and becomes a task at the next start (taskdeck serve"
        " --detach)"
    )
    assert (trace.number, trace.attempt, trace.begin, trace.is_alive, trace.is_active) == (
        7,
        2,
        5.0,
        True,
        True,
    )
    assert (trace.name, trace.argv, trace.cwd) == ("sleep 300", ("sleep", "300"), str(tmp_path))
    (gone,) = journal.list_runs(home)
    assert not gone.is_active and gone.number is None


async def test_a_repair_is_an_operation_and_needs_a_runtime(call: Call):
    await call.db.write(transitions.submit, [], [], "ann")
    with pytest.raises(Conflict, match="no runtime is running"):
        await call_verb(call, "db.repair", {})

    assert await call.db.write(integrity.apply_repairs, [], "ann") == []
    await call.db.write(lambda c: c.exec_driver_sql("UPDATE queues SET current_load = 3"))
    assert await call.db.write(integrity.apply_repairs, [], "ann") == [
        "the figures of default recounted"
    ]
    said = await call_verb(call, "operations", {})
    assert "db repair" in json.dumps(said) and await call_verb(call, "db.check", {}) == {
        "ok": True,
        "problems": [],
    }


def test_the_journal_tells_how_runs_ended_and_which_are_unreported(home: Path):
    ended, forgotten, refused = make_uuid7(), make_uuid7(), make_uuid7()
    of_an_early_clock = "00000000-0000-7000-8000-000000000000"
    begun = [{"i": runid, "at": 1.0} for runid in (ended, forgotten, refused)]
    ends = [
        {"e": ended, "code": 0, "at": 5.0},
        {"e": forgotten, "code": 1, "at": 6.0},
        {"r": refused},
        {"f": [forgotten]},
    ]
    write_journal(home, *begun, *ends)
    lonely = make_uuid7()
    write_log(home, lonely)
    write_log(home, of_an_early_clock)

    found = {trace.runid: trace for trace in journal.list_runs(home)}

    assert found.keys() == {
        ended,
        forgotten,
        lonely,
        of_an_early_clock,
    } and journal.list_known_runs(home) == {ended}
    assert (
        found[ended].status,
        found[ended].is_reported,
        found[forgotten].status,
        found[forgotten].is_reported,
    ) == ("succeeded", True, "failed", False)
    assert found[lonely].number is None and not found[lonely].ended


def test_the_journal_tells_which_runs_allow_a_retry(home: Path):
    well, failed, stopped, late, lost, alive = (make_uuid7() for _ in range(6))
    begun = [{"i": runid, "at": 1.0} for runid in (well, failed, stopped, late, lost, alive)]
    stops = [{"s": stopped, "reason": "cancel"}, {"s": late, "reason": "timeout"}]
    ends = [
        {"e": well, "code": 0},
        {"e": failed, "code": 1},
        {"e": stopped, "code": 143},
        {"e": late, "code": 143},
    ]
    write_journal(
        home,
        *begun,
        *stops,
        *ends,
        {"e": lost, "lost": True},
        {"e": alive, "lost": True, "again": False},
    )

    found = {trace.runid: trace for trace in journal.list_runs(home)}

    assert {runid for runid, trace in found.items() if trace.can_be_retried} == {failed, late, lost}
    assert (found[stopped].status, found[late].status) == ("cancelled", "timed_out")


@pytest.mark.process
def test_a_zombie_job_does_not_count_as_living(home: Path):
    with subprocess.Popen(["true"]) as job:
        stat = Path(f"/proc/{job.pid}/stat")
        words = wait_until(
            lambda: (told := stat.read_text().rpartition(")")[2].split())[0] == "Z" and told
        )
        write_journal(
            home,
            {"i": (runid := make_uuid7()), "at": 1.0},
            {"p": runid, "pid": job.pid, "ticks": int(words[19])},
        )

        (trace,) = journal.list_runs(home)

    assert not trace.is_alive and not trace.is_active


async def test_a_large_database_is_repaired_without_a_runtime_only(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    await runtime_call.db.write(transitions.submit, [], [], "ann")
    await submit_task(runtime_call)
    monkeypatch.setattr(integrity, "MAX_REPAIRED", 0)
    assert await call_verb(runtime_call, "db.repair", {}) == {
        "ok": True,
        "done": [],
        "problems": [],
    }
    await execute_sql(runtime_call, "UPDATE queues SET current_load = 3")

    with pytest.raises(Refused, match="a repair of more than 0 tasks would hold up the runtime"):
        await call_verb(runtime_call, "db.repair", {})

    monkeypatch.setattr(integrity, "MAX_REPAIRED", 1)
    repaired = await call_verb(runtime_call, "db.repair", {})
    assert repaired["ok"] and repaired["done"] == ["the figures of default recounted"]
