"""A database against what the keeper and the disk know, and what of it can be mended."""

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
from app.core.ids import uuid7
from app.errors import Conflict
from app.home import setup
from app.offline import backup, maintenance, read_only, restore
from app.service.context import Call
from app.service.database import integrity
from app.service.database import journal as database_journal
from app.service.registry import answer
from db.backup.create import Rules, take
from db.engine import write_engine
from db.errors import BehindDatabase, DamagedDatabase, ReadOnlyDisk
from db.maintenance import integrity as maintenance_integrity
from db.maintenance import migrate
from db.queries import transitions
from tests.db.builders import Made, submit
from tests.db.maintenance.upgrades import add_later_revision, old
from tests.runtime_process import until

EARLY = "01000000-0000-7000-8000-000000000000"
"""A run from long before all that a database of now knows of."""


def journal(home: Path, *records: dict[str, object]) -> None:
    """What a keeper has written."""
    folder = home / "run" / "journal2"
    folder.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(record)}\n" for record in records)
    (folder / "1.log").write_bytes(text.encode() + b'{"i": "torn' + bytes(100))


def log(home: Path, runid: str) -> Path:
    path = Path(paths.log_path(home, runid))
    path.parent.mkdir(exist_ok=True)
    path.write_text("said\n")
    return path


@pytest.fixture
def running(database: Path) -> str:
    """The run of a task that runs, as its row says."""
    engine = write_engine(database)
    with engine.begin() as c:
        made = Made(c)
        runid = made.run(made.task())
    engine.dispose()
    return runid


def test_runs_that_only_the_keeper_or_only_a_row_knows_are_told(home: Path, running: str):
    strange = uuid7()
    journal(home, {"i": strange, "at": 1.0})

    assert integrity.examine(home, live=False) == [
        f"the keeper has run {strange}, which no row knows",
        f"run {running} is said to go on, and the keeper does not know it: it ends as lost",
    ]
    assert len(integrity.examine(home, live=True)) == 1

    end = {"e": running, "code": 0, "signal": None, "at": 2.0, "seconds": 1.0, "cpu": 0.0, "rss": 0}
    journal(home, {"i": running, "at": 1.0}, end, {"f": [running]})
    assert integrity.examine(home, live=False) == [
        f"run {running} is said to go on, and the keeper does not know it: its end is recorded anew by the next start"
    ]


@pytest.mark.parametrize("odd", ['{"e": ["x"]}', '{"f": [["x"]]}', '{"i": ["x"]}', '{"i": 1}', "[" * 100_000, "[1]", "{}"])
def test_a_record_of_an_odd_shape_is_passed_over_as_one_that_is_torn(home: Path, running: str, odd: str):
    journal(home, {"i": running, "at": 1.0})
    (home / "run" / "journal2" / "2.log").write_text(f"{odd}\n")

    assert integrity.examine(home, live=False) == [] and [trace.runid for trace in database_journal.traces(home)] == [running]


def test_an_end_of_odd_values_is_an_end(home: Path):
    strange = uuid7()
    journal(home, {"i": strange}, {"e": strange, "at": "noon", "code": ["x"]})

    (trace,) = database_journal.traces(home)
    assert trace.ended and (trace.end, trace.code, trace.status) == (None, None, "failed")


def test_logs_of_no_run_are_told_and_left_to_the_cleanup(home: Path, running: str):
    journal(home, {"i": running, "at": 1.0})
    path = log(home, EARLY)
    log(home, running)

    assert integrity.examine(home, live=False) == ["1 log of a run that no row knows (5B)"]
    done = maintenance.repair_home(str(home))

    assert done == {"ok": True, "done": ["1 log of runs that no row knows will be removed by the cleanup"], "problems": []}
    assert path.exists() and integrity.examine(home, live=False) == []


def test_a_run_after_all_that_the_database_knows_of_was_lost_with_its_log_and_no_other_was(home: Path, running: str):
    path, later = paths.database(home), uuid7()

    assert maintenance_integrity.missing_last(path, [running, EARLY, "odd", "ffffffff-ffff-7fff-8fff-ffffffffffff"]) == []
    assert maintenance_integrity.missing_last(path, [later]) == [f"what was written last is missing: run {later} began after all that it knows of"]
    with closing(sqlite3.connect(path)) as c:
        c.execute("INSERT INTO discarded_logs (runid, created_at, updated_at) VALUES (?, '', '')", (later,))
        c.commit()
    assert maintenance_integrity.missing_last(path, [later]) == []


def test_an_empty_log_is_of_a_run_unless_the_journal_tells_of_a_start_that_failed(home: Path, running: str):
    later = uuid7()
    path = log(home, later)
    missing = [f"what was written last is missing: run {later} began after all that it knows of"]
    assert integrity.lacking(home) == missing

    path.write_text("")
    assert integrity.lacking(home) == missing, "it wrote nothing, and its keeper has left"
    journal(home, {"i": later, "at": 1.0}, {"v": later})
    assert integrity.lacking(home) == [] and "missing" not in str(integrity.examine(home, live=False)), "its start was taken back"
    journal(home, {"r": later})
    assert integrity.lacking(home) == [], "it was refused"
    path.write_text("it began\n")
    assert integrity.lacking(home) == missing
    path.write_text("")
    journal(home, {"i": later, "at": 1.0})
    assert integrity.lacking(home) == missing


def test_nothing_is_mended_where_what_was_written_last_is_missing(home: Path, running: str):
    log(home, uuid7())
    with closing(sqlite3.connect(paths.database(home))) as c:
        c.execute("UPDATE queues SET current_load = 3")
        c.commit()

    done = maintenance.repair_home(str(home))

    assert done["done"] == [] and done["problems"][0].startswith("what was written last is missing")
    assert integrity.lacking(home), "the next start is refused still"
    assert maintenance.advice(str(home)).endswith("There is no good backup of it. Take one of what is in it, and bring that up to date: "
                                              "taskdeck db backup && taskdeck db restore")  # fmt: skip


def test_a_database_that_may_not_be_written_keeps_a_runtime_from_starting(home: Path, database: Path, monkeypatch: pytest.MonkeyPatch):
    allowed = os.access  # root may write all
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and allowed(path, mode))
    with pytest.raises(ReadOnlyDisk, match=f"{database} is read-only"):
        setup.prepare_apart(home)

    monkeypatch.undo()
    setup.prepare_apart(home)


def test_an_upgrade_of_what_lacks_its_end_is_refused_as_a_start_is_and_has_the_same_way_out(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = Path(shutil.copy(old(tmp_path), paths.database(home)))
    add_later_revision(tmp_path, monkeypatch)
    log(home, uuid7())

    with pytest.raises(BehindDatabase, match="began after all that it knows of"):
        setup.prepare_apart(home)
    with pytest.raises(DamagedDatabase, match="There is no good backup of it. Take one of what is in it"):
        maintenance.migrate_home(str(home))
    assert migrate.version_of(path) != migrate.HEAD and not (home / "backups").exists()

    backup.backup(str(home), {}, lambda said: None)
    assert restore.restore_home(str(home), None, None, lambda told: True)["restored"]
    setup.prepare_apart(home)
    assert migrate.version_of(path) == migrate.HEAD


@pytest.mark.parametrize(
    "more", ["", "CREATE TABLE later (id INTEGER)", "ALTER TABLE tasks ADD COLUMN later TEXT", "DROP INDEX idx_tasks_type"]
)
def test_a_lost_version_is_written_anew_only_where_all_else_is_of_this_one(home: Path, running: str, more: str):
    path = paths.database(home)
    with closing(sqlite3.connect(path)) as c:
        c.executescript(f"DELETE FROM alembic_version; {more}")
    with pytest.raises(DamagedDatabase, match="There is no good backup of it. .*taskdeck db check --repair$"):
        maintenance.check_home(str(home))

    if more:
        with pytest.raises(DamagedDatabase, match="0 rows of alembic_version, where there is one, and not all .*Move the database away"):
            maintenance.repair_home(str(home))
        return
    done = maintenance.repair_home(str(home))["done"]

    assert done[0].startswith("the version of the database, which was lost, set to 0001") and migrate.version_of(path) == migrate.HEAD
    assert read_only.read(str(home), "operations", {"verb": "db repair"})


def test_a_number_that_only_a_backup_knows_of_does_not_come_again(home: Path, database: Path):
    submit(database, "first")
    submit(database, "second")
    take(database, home / "backups", Rules())
    with closing(sqlite3.connect(database)) as c:
        c.executescript("DELETE FROM events; DELETE FROM tasks; DELETE FROM counters WHERE name = 'task-number'")

    assert "the last number given is said to be 0, a backup or a job knows of #2" in integrity.examine(home, live=False)
    assert "the next task will be #3" in maintenance.repair_home(str(home))["done"] and integrity.examine(home, live=False) == []


def test_a_number_that_only_a_job_knows_of_does_not_come_again(home: Path, database: Path):
    job = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "1"})
    try:
        runid = uuid7()
        journal(home, {"i": runid, "at": 1.0}, {"p": runid, "pid": job.pid, "ticks": database_journal._began_at(job.pid)})
        until(lambda: integrity.highest(home) == 7)
    finally:
        job.kill()
        job.wait()


@pytest.mark.parametrize(("number", "attempt"), [("7", "9" * 40), ("7", "-3"), (f"{2**63}", "1"), ("0", "1"), ("7", "x")])
def test_what_a_job_cannot_have_been_given_as_its_number_or_attempt_is_passed_over(home: Path, number: str, attempt: str):
    job = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": number, "TASKDECK_ATTEMPT": attempt})
    try:
        runid = uuid7()
        until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        journal(home, {"i": runid, "at": 5.0}, {"p": runid, "pid": job.pid, "ticks": database_journal._began_at(job.pid)})
        (trace,) = database_journal.traces(home)
    finally:
        job.kill()
        job.wait()

    assert (trace.number, trace.attempt, trace.lives) == (None, 1, True)


def test_a_job_that_lives_shows_what_it_runs_and_where(home: Path, database: Path, tmp_path: Path):
    job = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "2"}, cwd=tmp_path)
    try:
        runid = uuid7()
        until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        journal(home, {"i": runid, "at": 5.0}, {"p": runid, "pid": job.pid, "ticks": database_journal._began_at(job.pid)})
        (trace,) = database_journal.traces(home)
        submit(paths.database(home), "first")
        (said,) = [line for line in integrity.examine(home, live=False) if runid in line]
    finally:
        job.kill()
        job.wait()

    assert said.endswith("which no row knows: it goes on, and becomes a task with the next start (taskdeck serve --detach)")
    assert (trace.number, trace.attempt, trace.begin, trace.lives, trace.goes_on) == (7, 2, 5.0, True, True)
    assert (trace.name, trace.argv, trace.cwd) == ("sleep 300", ("sleep", "300"), str(tmp_path))
    (gone,) = database_journal.traces(home)
    assert not gone.goes_on and gone.number is None


async def test_mending_is_an_operation_and_needs_a_runtime(call: Call):
    await call.db.write(transitions.submit, [], [], "ann")
    with pytest.raises(Conflict, match="no runtime is up"):
        await answer(call, "db.repair", {})

    assert await call.db.write(integrity.mend, [], "ann") == []
    await call.db.write(lambda c: c.exec_driver_sql("UPDATE queues SET current_load = 3"))
    assert await call.db.write(integrity.mend, [], "ann") == ["the figures of default counted anew"]
    said = await answer(call, "operations", {})
    assert "db repair" in json.dumps(said) and await answer(call, "db.check", {}) == {"ok": True, "problems": []}


def test_the_journal_tells_how_a_run_ended_and_what_the_keeper_still_tells(home: Path):
    ended, forgotten, refused = uuid7(), uuid7(), uuid7()
    of_an_early_clock = "00000000-0000-7000-8000-000000000000"
    begun = [{"i": runid, "at": 1.0} for runid in (ended, forgotten, refused)]
    ends = [{"e": ended, "code": 0, "at": 5.0}, {"e": forgotten, "code": 1, "at": 6.0}, {"r": refused}, {"f": [forgotten]}]
    journal(home, *begun, *ends)
    lonely = uuid7()
    log(home, lonely)
    log(home, of_an_early_clock)

    found = {trace.runid: trace for trace in database_journal.traces(home)}

    assert found.keys() == {ended, forgotten, lonely, of_an_early_clock} and database_journal.known_to_keeper(home) == {ended}
    assert (found[ended].status, found[ended].told, found[forgotten].status, found[forgotten].told) == ("succeeded", True, "failed", False)
    assert found[lonely].number is None and not found[lonely].ended


def test_the_journal_tells_which_runs_leave_their_task_further_attempts_and_which_were_stopped(home: Path):
    well, failed, stopped, late, lost, alive = (uuid7() for _ in range(6))
    begun = [{"i": runid, "at": 1.0} for runid in (well, failed, stopped, late, lost, alive)]
    stops = [{"s": stopped, "reason": "cancel"}, {"s": late, "reason": "timeout"}]
    ends = [{"e": well, "code": 0}, {"e": failed, "code": 1}, {"e": stopped, "code": 143}, {"e": late, "code": 143}]
    journal(home, *begun, *stops, *ends, {"e": lost, "lost": True}, {"e": alive, "lost": True, "again": False})

    found = {trace.runid: trace for trace in database_journal.traces(home)}

    assert {runid for runid, trace in found.items() if trace.leaves_attempts} == {failed, late, lost}
    assert (found[stopped].status, found[late].status) == ("cancelled", "timed_out")


def test_a_job_that_is_over_and_that_nobody_waits_for_does_not_live(home: Path):
    with subprocess.Popen(["true"]) as job:
        stat = Path(f"/proc/{job.pid}/stat")
        words = until(lambda: (told := stat.read_text().rpartition(")")[2].split())[0] == "Z" and told)
        journal(home, {"i": (runid := uuid7()), "at": 1.0}, {"p": runid, "pid": job.pid, "ticks": int(words[19])})

        (trace,) = database_journal.traces(home)

    assert not trace.lives and not trace.goes_on
