"""Restore and reconcile: nothing runs twice, nothing is forgotten, no number is reused."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.ids import make_uuid7
from app.errors import Conflict
from app.home import database_presence, setup
from app.service import sla_evaluation
from app.service.tasks.changes import actions
from db import schema, timestamps
from db.engine import create_write_engine
from db.errors import BusyDatabase, DamagedDatabase, DiskFull, NewerDatabase, Storage
from db.maintenance import integrity, migrate
from db.queries import counters, definitions, reads
from db.queries.history import operations
from db.queries.home import replicas
from db.queries.tasks import environments, groups, pending_parents, task_numbers, transitions
from db.restore import previous_databases, reconcile, salvage, swap
from db.restore.merge import numbers
from db.restore.merge.result import ReconcileResult
from db.restore.reconcile import ObservedRun
from db.restore.swap import DamagedBackup
from tests.db.builders import TaskBuilder
from tests.long.backup import step_database


@contextmanager
def open_transaction(path: Path) -> Iterator[TaskBuilder]:
    engine = create_write_engine(path)
    try:
        with engine.begin() as c:
            yield TaskBuilder(c)
    finally:
        engine.dispose()


def run_query(path: Path, sql: str, *given: Any) -> list[tuple]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql, given).fetchall()


def read_statuses(path: Path) -> dict[int, str]:
    return dict(run_query(path, "SELECT number, status FROM tasks"))


class BackupImage:
    """A backup as a rebuild yields it: an SQLite copy of the database."""

    def __init__(self, database: Path) -> None:
        self.path, self.database = database.with_name("image"), database
        with (
            closing(sqlite3.connect(database)) as source,
            closing(sqlite3.connect(self.path)) as copy,
        ):
            source.backup(copy)

    def rebuild(self, target: Path) -> None:
        shutil.copy(self.path, target)

    def set_apart(self) -> BackupImage:
        """Rename the image, so that a later one does not replace it."""
        self.path = self.path.rename(self.path.with_name(f"image-{make_uuid7()}"))
        return self

    def restore_over(
        self,
        observed_runs: Sequence[ObservedRun] = (),
        highest: int = 0,
        idle: bool = False,
        behind: bool = False,
        latest: bool = True,
    ) -> ReconcileResult:
        """Restore the image over the database."""
        size = self.path.stat().st_size
        with swap.prepare_restore(
            self.rebuild,
            self.database,
            size,
            lambda: observed_runs,
            highest,
            "ann",
            "backup b",
            idle=idle,
            lacks=lambda path: behind,
            latest=latest,
        ) as ready:
            swap.swap_in(ready, self.database)
            return ready.carried


@pytest.fixture
def take_image(database_path: Path) -> Callable[[], BackupImage]:
    return lambda: BackupImage(database_path)


def overwrite_tables(path: Path, *tables: str) -> None:
    """Overwrite the root pages of these tables."""
    roots = run_query(
        path,
        f"SELECT rootpage FROM sqlite_master WHERE name IN ({', '.join('?' * len(tables))})",
        *tables,
    )
    with path.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * 4096)
            file.write(b"\xff" * 4096)


def test_work_that_ended_since_the_backup_is_restored_as_ended(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        ran, waits = made.submit_task(), made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(ran, code=3)

    carried = then.restore_over()

    assert (
        read_statuses(database_path) == {1: "failed", 2: "queued"}
        and carried.ended == [1]
        and carried.runs == 1
    )
    assert run_query(database_path, "SELECT task_id, number, status FROM forgotten") == [
        (ran, 1, "failed")
    ]
    assert [
        row[0]
        for row in run_query(
            database_path, "SELECT status FROM events WHERE task_id = ? ORDER BY id", ran
        )
    ][-1] == "failed"
    assert integrity.check_database(database_path) == [] and waits


def test_a_running_run_continues(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        task = made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        runid = made.start_run(task)

    carried = then.restore_over()

    assert carried.alive == 1 and read_statuses(database_path) == {1: "running"}
    assert run_query(database_path, "SELECT runid, status, pid FROM instances") == [
        (runid, "running", 4242)
    ]
    assert run_query(database_path, "SELECT current_load FROM queues") == [(1,)]


def test_tasks_submitted_since_are_kept_with_their_dependencies(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        parent = made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        child = made.submit_task(after=[parent], name="child")
        transitions.hold(made.c, [made.submit_task(name="held")], True, "ann")

    carried = then.restore_over()

    assert carried.tasks == [2, 3] and carried.lost == [] and carried.next == 4
    assert read_statuses(database_path) == {1: "queued", 2: "blocked", 3: "held"}
    assert run_query(database_path, "SELECT task_id, parent_id FROM dependencies") == [
        (child, parent)
    ]
    with open_transaction(database_path) as made:
        made.submit_task()
    assert max(read_statuses(database_path)) == 4


@pytest.mark.parametrize("whole", [True, False])
def test_new_tasks_keep_their_group_and_its_number_is_not_given_again(
    database_path: Path, take_image, whole: bool
):
    then = take_image()
    with open_transaction(database_path) as made:
        number = groups.create(made.c, "u1", "grid", "ann", None)
        made.submit_task(group_number=number, group_index=1, sweep='{"lr": "1"}')
        groups.create(made.c, "u2", "empty", "ann", None)
    if not whole:
        overwrite_tables(database_path, "slas")

    then.restore_over()

    found = "SELECT g.number, g.name, t.group_index, t.sweep FROM groups g JOIN tasks t"
    assert run_query(database_path, found) == [(1, "grid", 1, '{"lr": "1"}')]
    with open_transaction(database_path) as made:
        assert groups.create(made.c, "u3", "next", "ann", None) == 3


def test_a_group_number_of_the_backup_is_not_taken_by_another_group(
    database_path: Path, take_image
):
    with open_transaction(database_path) as made:
        groups.create(made.c, "u1", "of the backup", "ann", None)
    then = take_image()
    with open_transaction(database_path) as made:
        made.c.exec_driver_sql("UPDATE groups SET uuid = 'u2'")
        made.submit_task(group_number=1, group_index=1)

    then.restore_over()

    assert run_query(database_path, "SELECT group_number FROM tasks") == [(None,)]


def test_tasks_waiting_for_work_that_ended_since_may_start(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        parent = made.submit_task()
        made.submit_task(after=[parent])
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(parent)

    then.restore_over()

    assert read_statuses(database_path) == {1: "succeeded", 2: "queued"}


def test_requests_made_since_are_kept(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        cancelled, held, released, deleted = (
            made.submit_task(),
            made.submit_task(),
            made.submit_task(),
            made.submit_task(),
        )
        made.submit_task(after=[cancelled])
        transitions.hold(made.c, [released], True, "ann")
    then = take_image()
    with open_transaction(database_path) as made:
        transitions.cancel(made.c, [cancelled, deleted], "ann")
        transitions.hold(made.c, [held], True, "bob")
        transitions.hold(made.c, [released], False, "ann")
        made.c.exec_driver_sql(
            "UPDATE tasks SET deleted_at = updated_at WHERE uuid = ?", (deleted,)
        )

    carried = then.restore_over()

    assert read_statuses(database_path) == {
        1: "cancelled",
        2: "held",
        3: "queued",
        4: "cancelled",
        5: "cancelled",
    }
    assert run_query(database_path, "SELECT number, held_by FROM tasks WHERE hold") == [(2, "bob")]
    assert run_query(database_path, "SELECT number FROM tasks WHERE deleted_at IS NOT NULL") == [
        (4,)
    ]
    assert (
        carried.cancelled,
        carried.stay_held,
        carried.released,
        carried.deleted,
        carried.ended,
    ) == (2, 1, 1, 1, [4])
    assert run_query(
        database_path,
        "SELECT status, by FROM events WHERE task_id = ? ORDER BY id DESC LIMIT 1",
        held,
    ) == [("held", "bob")]
    assert integrity.check_database(database_path) == []


def test_a_retry_that_never_ran_is_dropped_and_reported(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        asked, ran = made.submit_task(), made.submit_task()
        made.complete_run(asked, code=1)
        made.complete_run(ran, code=1)
    then = take_image()
    with open_transaction(database_path) as made:
        transitions.retry(made.c, [asked, ran], "ann")
        operations.record_all(made.c, "ann", "retry", [("task #1", {}, {}), ("task #2", {}, {})])
        made.complete_run(ran)

    carried = then.restore_over()

    assert (
        read_statuses(database_path) == {1: "failed", 2: "succeeded"}
        and integrity.check_database(database_path) == []
    )
    assert carried.undone == {"retry": 1}


def test_a_cancel_since_is_kept_although_the_clock_went_back(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    with open_transaction(database_path) as made:
        cancelled = made.submit_task()
    then, now = take_image(), timestamps.utcnow()
    with monkeypatch.context() as patched, open_transaction(database_path) as made:
        patched.setattr(timestamps, "utcnow", lambda: now - timedelta(hours=1))
        transitions.cancel(made.c, [cancelled], "ann")

    assert then.restore_over().cancelled == 1 and read_statuses(database_path) == {1: "cancelled"}


def test_a_second_restore_keeps_later_changes_although_the_clock_went_back(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    ahead = timestamps.utcnow() + timedelta(hours=2)
    with monkeypatch.context() as patched, open_transaction(database_path) as made:
        patched.setattr(timestamps, "utcnow", lambda: ahead)
        made.submit_task(name="ran")
        cancelled = made.submit_task()
        operations.record(made.c, "ann", "submit", "2 tasks #1–#2")
    then, run = take_image(), ObservedRun(make_uuid7())
    database_path.unlink()
    then.restore_over([run])
    with open_transaction(database_path) as made:
        transitions.cancel(made.c, [cancelled], "ann")

    carried = then.restore_over([run])

    assert (
        read_statuses(database_path) == {1: "held", 2: "cancelled"}
        and carried.cancelled == 1
        and integrity.check_database(database_path) == []
    )


def test_a_hold_from_before_the_backup_survives_an_older_database(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        held = made.submit_task()
    older = take_image().set_apart()
    with open_transaction(database_path) as made:
        transitions.hold(made.c, [held], True, "ann")
        operations.record(made.c, "ann", "hold", "task #1")
    then = take_image()
    shutil.copy(older.path, database_path)

    assert then.restore_over().whole and read_statuses(database_path) == {1: "held"}


def test_a_run_with_a_discarded_log_counts_as_known_to_the_backup(database_path: Path, take_image):
    run = ObservedRun(make_uuid7())
    with open_transaction(database_path) as made:
        made.submit_task()
        integrity.discard_logs(made.c, [run.runid])
    then = take_image()
    database_path.write_bytes(b"\xff" * 8192)

    carried = then.restore_over([run], idle=True)

    assert (carried.unknown, carried.held, read_statuses(database_path)) == (0, 0, {1: "queued"})


def test_a_newer_backup_is_refused_and_leaves_no_file(
    tmp_path: Path, database_path: Path, take_image
):
    then = take_image()
    with closing(sqlite3.connect(then.path)) as file:
        file.executescript("UPDATE alembic_version SET version_num = '9999'")

    for restored in (
        then.restore_over,
        lambda: swap.build_image(then.rebuild, tmp_path / "then.db", 1),
    ):
        with pytest.raises(
            NewerDatabase,
            match=(
                "^the backup b? ?is newer than this program. Nothing was restored. Upgrade"
                " Taskdeck.$"
            ),
        ):
            restored()

    assert not list(tmp_path.iterdir())


def test_a_task_between_two_attempts_stays_there(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        task = made.submit_task(retries=2, retry_delay=3600.0)
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(task, code=1)

    then.restore_over()

    assert run_query(database_path, "SELECT status, failures, attempts FROM tasks") == [
        ("retrying", 1, 1)
    ]
    assert run_query(database_path, "SELECT count(*) FROM forgotten") == [(0,)]


def test_tasks_lost_in_one_restore_come_back_with_another(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    early = take_image()
    early.path = early.path.rename(early.path.with_name("early"))
    with open_transaction(database_path) as made:
        made.submit_task()
    late = take_image()
    database_path.write_bytes(b"\xff" * 8192)
    early.restore_over(highest=2)
    assert read_statuses(database_path) == {1: "held"}

    carried = late.restore_over()

    assert read_statuses(database_path) == {1: "held", 2: "held"} and carried.next > 3


def test_tasks_deleted_since_are_not_run_again(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        task = made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(task)
        for table, key in (("instances", "task_id"), ("events", "task_id"), ("tasks", "uuid")):
            made.c.exec_driver_sql(f"DELETE FROM {table} WHERE {key} = ?", (task,))
        made.c.exec_driver_sql(
            "INSERT INTO forgotten (runid, task_id, number, status, created_at, updated_at) VALUES"
            " (?, ?, 1, 'failed', '', '')",
            (make_uuid7(), task),
        )

    then.restore_over()

    assert read_statuses(database_path) == {1: "failed"}


def test_two_restores_with_a_run_between_end_no_task_that_never_ran(
    database_path: Path, take_image
):
    with open_transaction(database_path) as made:
        first = made.submit_task()
    early = take_image()
    early.path = early.path.rename(early.path.with_name("early"))
    with open_transaction(database_path) as made:
        made.submit_task()
        made.submit_task()
    late = take_image()
    database_path.write_bytes(b"\xff" * 8192)
    early.restore_over(highest=3)
    with open_transaction(database_path) as made:
        transitions.hold(made.c, [first], False, "ann")
        made.complete_run(first)

    carried = late.restore_over([ObservedRun(make_uuid7())])

    assert read_statuses(database_path) == {1: "succeeded", 2: "held", 3: "held"} and (
        carried.unknown,
        carried.held,
    ) == (1, 2)


def test_tasks_of_a_recreated_database_are_renumbered_and_none_ends(
    database_path: Path, take_image
):
    empty = take_image()
    empty.path = empty.path.rename(empty.path.with_name("empty"))
    with open_transaction(database_path) as made:
        made.complete_run(made.submit_task())
        made.submit_task(name="then")
    then = take_image()
    shutil.copy(empty.path, database_path)
    with open_transaction(database_path) as made:
        for _ in range(2):
            made.submit_task(name="since")
        made.complete_run(made.submit_task(name="since"))

    carried = then.restore_over()

    new = 3 + numbers.SAFETY_MARGIN + 1
    assert (
        carried.renumbered == [(1, new), (2, new + 1)]
        and carried.tasks == [3, new, new + 1]
        and carried.next == new + 2
    )
    assert read_statuses(database_path) == {
        1: "succeeded",
        2: "held",
        3: "succeeded",
        new: "queued",
        new + 1: "queued",
    }
    assert (
        run_query(database_path, "SELECT number FROM tasks WHERE name = 'then'") == [(2,)]
        and integrity.check_database(database_path) == []
    )


def test_a_full_disk_is_not_reported_as_damage(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then = take_image()

    def full(*_: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(reconcile, "_merge", full)
    monkeypatch.setattr(reconcile, "salvage", lambda *_: pytest.fail("taken for damage"))

    with pytest.raises(DiskFull):
        then.restore_over()


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_an_unreadable_file_is_not_reported_as_damage(
    database_path: Path, take_image, ending: str, monkeypatch: pytest.MonkeyPatch
):
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task()
    allowed, refused = os.access, f"{database_path}{ending}"  # root may read everything
    Path(refused).touch()
    monkeypatch.setattr(
        os, "access", lambda path, mode: os.fspath(path) != refused and allowed(path, mode)
    )

    with pytest.raises(Storage, match=f"permission denied: {refused}") as told:
        then.restore_over()

    assert f"mv {refused} {refused}.unread" in str(told.value)
    monkeypatch.undo()
    assert list(read_statuses(database_path)) == [1]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_non_file_named_like_the_database_is_never_opened(
    database_path: Path, take_image, make: Callable[[Path], None]
):
    then = take_image()
    database_path.unlink()
    make(database_path)

    for act in (
        then.restore_over,
        lambda: database_presence.check_database_present(database_path.parent),
    ):
        with pytest.raises(
            Storage, match=f"is not a file.*mv {database_path} {database_path}.away"
        ):
            act()


def test_a_database_locked_by_another_program_is_not_damage(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then, connect = take_image(), sqlite3.connect
    with open_transaction(database_path) as made:
        made.submit_task()
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **more: connect(*given, **more | {"timeout": 0})
    )
    with closing(connect(database_path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyDatabase):
            then.restore_over()
        holder.execute("ROLLBACK")

    assert list(read_statuses(database_path)) == [1]


def test_a_disk_filling_up_while_reading_damage_is_not_damage(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    with open_transaction(database_path) as made:
        for _ in range(50):
            made.submit_task()
    then, save = take_image(), salvage._save_table
    overwrite_tables(database_path, "operations")

    def save_where_little_room_is(
        c: sqlite3.Connection, to: sqlite3.Connection, *table: Any
    ) -> None:
        to.execute("PRAGMA max_page_count=16")
        save(c, to, *table)

    monkeypatch.setattr(salvage, "_save_table", save_where_little_room_is)
    with pytest.raises(DiskFull):
        then.restore_over()

    assert {path.name for path in database_path.parent.glob("taskdeck.db.restoring*")} == set()


def test_two_restores_within_a_second_keep_both_previous_databases(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()

    for _ in range(3):
        then.restore_over()

    assert (
        len(
            list(
                database_path.parent.glob(f"taskdeck.db{previous_databases.BEFORE_RESTORE_INFIX}*")
            )
        )
        == 3
    )


def forbid_hard_links(monkeypatch: pytest.MonkeyPatch, error: int = errno.EPERM) -> None:
    """Simulate a file system without hard links."""

    def link(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(swap.os, "link", link)


@pytest.mark.parametrize("error", [errno.EEXIST, errno.EPERM])
def test_a_previously_kept_database_is_never_overwritten(
    database_path: Path, take_image, error: int, monkeypatch: pytest.MonkeyPatch
):
    then, kept = (
        take_image(),
        database_path.with_name(
            f"{database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}2026-11-26T000000.000000"
        ),
    )
    kept.write_text("before")
    monkeypatch.setattr(swap, "_make_kept_path", lambda present: kept)
    forbid_hard_links(monkeypatch, error)

    with pytest.raises(OSError, match=os.strerror(error)):
        then.restore_over()

    assert kept.read_text() == "before" and integrity.check_database(database_path) == []
    kept.unlink()
    if error == errno.EPERM:
        then.restore_over()
        assert read_statuses(kept) == read_statuses(
            database_path
        ) == {} and not swap.has_unfinished_swap(database_path)


def test_user_files_beside_a_restored_database_stay(
    tmp_path: Path, database_path: Path, take_image
):
    then, target = take_image(), tmp_path / "then.db"
    others = [tmp_path / f"then.db.part{ending}" for ending in ("", *swap.SIDE_SUFFIXES)]
    for other in others:
        other.write_text("mine")

    swap.build_image(then.rebuild, target, 1)

    assert sorted(tmp_path.glob("then.db*")) == [target, *sorted(others)]
    assert swap.is_intact(target) and [other.read_text() for other in others] == ["mine"] * 4


def test_temporary_files_of_a_living_restore_are_not_removed(database_path: Path):
    at_work, ended = (
        database_path.with_name(f"{database_path.name}.restoring{pid}")
        for pid in (os.getppid(), 1 << 30)
    )
    for path in (at_work, ended):
        for ending in ("", "-wal", ".saved"):
            path.with_name(path.name + ending).write_bytes(b"x")

    swap.clean_up(database_path)

    assert sorted(path.name for path in database_path.parent.glob("*.restoring*")) == [
        at_work.name + end for end in ("", "-wal", ".saved")
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_changes_that_are_not_carried_over_are_reported(
    database_path: Path, take_image, whole: bool
):
    with open_transaction(database_path) as made:
        task, other = made.submit_task(), made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        definitions.create(
            made.c, schema.queues, "night", {"pool": "default", "capacity": 1}, "ann"
        )
        definitions.create(made.c, schema.queues, "used", {"pool": "default", "capacity": 1}, "ann")
        definitions.create(made.c, schema.slas, "soon", {"conditions": {}, "actions": {}}, "ann")
        definitions.update(made.c, schema.queues, "default", {"capacity": 7}, "ann")
        definitions.update(made.c, schema.queues, "used", {"capacity": 7}, "ann")
        made.c.exec_driver_sql("UPDATE tasks SET priority = 7 WHERE uuid = ?", (task,))
        operations.record(
            made.c, "ann", "set priority", "task #1", {"priority": 0}, {"priority": 7}
        )
        transitions.hold(made.c, [other], True, "ann")
        operations.record(made.c, "ann", "hold", "task #2", {"hold": False}, {"hold": True})
        made.submit_task(queue="used")
        operations.record(made.c, "ann", "submit", "task #3", after={"first": 3, "last": 3})
        operations.record(made.c, "ann", "db backup", "backup b", after={"bytes": 1})
    if not whole:
        overwrite_tables(database_path, "idx_tasks_status")

    carried = then.restore_over()

    assert carried.whole is whole and carried.dropped == {"queue": ["night"], "sla": ["soon"]}
    assert carried.undone == {"queue set": 1, "set priority": 1} | ({} if whole else {"hold": 1})
    assert carried.operations == 9


@pytest.mark.parametrize("whole", [True, False])
def test_a_replica_target_chosen_since_is_kept(database_path: Path, take_image, whole: bool):
    then = take_image()
    with open_transaction(database_path) as made:
        replicas.set_target(made.c, "/mnt/second", "host:/home", "ann")
        replicas.record_end(made.c, timestamps.now(), None)
    chosen = run_query(database_path, "SELECT * FROM replicas")
    if not whole:
        overwrite_tables(database_path, "idx_tasks_status")

    assert (
        then.restore_over().whole is whole
        and run_query(database_path, "SELECT * FROM replicas") == chosen
        and len(chosen) == 1
    )


def test_a_replica_removed_since_stays_removed(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        replicas.set_target(made.c, "/mnt/second", "host:/home", "ann")
    then = take_image()
    with open_transaction(database_path) as made:
        replicas.set_target(made.c, None, "host:/home", "ann")

    then.restore_over()

    assert run_query(database_path, "SELECT * FROM replicas") == []


def test_operations_that_changed_nothing_are_not_reported_as_lost(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    carried = take_image().restore_over()

    assert (carried.dropped, carried.undone, carried.operations) == ({}, {}, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_operation_ids_are_never_reused(database_path: Path, take_image, whole: bool):
    then = take_image()
    with open_transaction(database_path) as made:
        for _ in range(3):
            operations.record(made.c, "ann", "stop", "runtime", after={"drain": False})
    ((last,),) = run_query(database_path, "SELECT max(id) FROM operations")
    if not whole:
        overwrite_tables(database_path, "idx_tasks_status")

    then.restore_over()

    assert run_query(
        database_path, "SELECT id, verb, batch FROM operations ORDER BY id DESC LIMIT 1"
    ) == [(last + 1, "db restore", last + 1)]


def test_an_empty_file_does_not_prevent_a_restore(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    for ending in ("", "-wal", "-shm"):
        database_path.with_name(database_path.name + ending).unlink(missing_ok=True)
    database_path.touch()

    with swap.prepare_restore(then.rebuild, database_path, 1, lambda: [], 0, "ann", "b") as ready:
        assert (ready.before, ready.present) == (None, "empty")
    assert not then.restore_over().whole and read_statuses(database_path) == {1: "held"}


def test_a_database_without_our_tables_is_restored_over(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    database_path.unlink()
    with closing(sqlite3.connect(database_path)) as c:
        c.execute("CREATE TABLE tasks (mine TEXT)")

    assert not then.restore_over().whole and read_statuses(database_path) == {1: "held"}


def test_runs_of_unknown_tasks_are_judged_once(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
        freed = made.submit_task()
    first, run = take_image().set_apart(), ObservedRun(make_uuid7())
    database_path.write_bytes(b"\xff" * 8192)
    assert (first.restore_over([run]).held, read_statuses(database_path)) == (
        2,
        {1: "held", 2: "held"},
    )
    with open_transaction(database_path) as made:
        transitions.hold(made.c, [freed], False, "ann")
    later = take_image().set_apart()
    database_path.write_bytes(b"\xff" * 8192)

    carried = later.restore_over([run])

    assert (carried.unknown, carried.held) == (0, 1) and read_statuses(database_path) == {
        1: "held",
        2: "held",
    }, "it may have run since"
    database_path.write_bytes(b"\xff" * 8192)
    carried = later.restore_over([run, ObservedRun(make_uuid7())])
    assert (carried.unknown, carried.held) == (1, 1), "one more than the backup knows of"


def test_a_task_released_since_a_restore_is_not_held_by_it_again(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        freed = made.submit_task()
    then, run = take_image().set_apart(), ObservedRun(make_uuid7())
    database_path.write_bytes(b"\xff" * 8192)
    then.restore_over([run])
    with open_transaction(database_path) as made:
        transitions.hold(made.c, [freed], False, "ann")

    carried = then.restore_over([run])

    assert (carried.whole, carried.unknown, carried.held) == (True, 0, 0) and read_statuses(
        database_path
    ) == {1: "queued"}


def test_tasks_only_in_a_later_backup_are_held_for_earlier_unknown_runs(
    database_path: Path, take_image
):
    with open_transaction(database_path) as made:
        freed = made.submit_task()
    early = take_image().set_apart()
    with open_transaction(database_path) as made:
        made.submit_task()
    late, run = take_image().set_apart(), ObservedRun(make_uuid7())
    database_path.write_bytes(b"\xff" * 8192)
    early.restore_over([run], highest=2)
    with open_transaction(database_path) as made:
        transitions.hold(made.c, [freed], False, "ann")

    carried = late.restore_over([run])

    assert (carried.unknown, carried.held) == (1, 1) and read_statuses(database_path) == {
        1: "queued",
        2: "held",
    }


@pytest.mark.parametrize("idle", [True, False])
def test_no_number_is_skipped_when_none_can_have_been_assigned(
    database_path: Path, take_image, idle: bool
):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    database_path.unlink()

    assert then.restore_over(highest=3, idle=idle).next == (
        4 if idle else 4 + numbers.SAFETY_MARGIN
    )


@pytest.mark.parametrize("latest", [True, False])
def test_tasks_waiting_in_an_older_backup_are_held(database_path: Path, take_image, latest: bool):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    database_path.unlink()

    assert then.restore_over(highest=1, idle=True, latest=latest).next == 2
    assert read_statuses(database_path) == {1: "queued" if latest else "held"}


@pytest.mark.parametrize("readable", [True, False])
def test_numbers_skipped_by_an_earlier_restore_are_not_lost_tasks(
    database_path: Path, take_image, readable: bool
):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    database_path.unlink()
    first = then.restore_over(highest=3)
    with open_transaction(database_path) as made:
        made.submit_task()
    overwrite_tables(
        database_path, "tasks", "idx_tasks_status", *(() if readable else ("operations",))
    )

    second = then.restore_over(highest=3)

    assert (
        first.passed_over == [4, 3 + numbers.SAFETY_MARGIN]
        and first.lost == [2, 3]
        and not first.at_most
    )
    assert (
        second.lost == [2, 3, 4 + numbers.SAFETY_MARGIN]
        if readable
        else second.at_most and len(second.lost) == 3 + numbers.SAFETY_MARGIN
    )


def test_a_task_cancelled_with_a_lost_one_is_not_counted_as_held(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        ran = made.submit_task()
        made.start_run(ran)
        made.submit_task(after=[ran])
        made.submit_task()
    then = take_image()
    database_path.unlink()

    carried = then.restore_over([ObservedRun(make_uuid7())])

    assert (
        read_statuses(database_path) == {1: "lost", 2: "cancelled", 3: "held"} and carried.held == 1
    )


def test_previous_databases_expire_except_the_newest(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then, began = take_image(), timestamps.utcnow()
    for days in (0, 20, 40):
        monkeypatch.setattr(timestamps, "utcnow", lambda days=days: began + timedelta(days=days))
        then.restore_over()
    first, second, third = previous_databases.list_before_restores(database_path)
    Path(f"{first.path}-wal").write_bytes(b"a log")
    mine = database_path.with_name(
        f"{database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}mine"
    )
    mine.write_bytes(b"mine")
    log = database_path.with_name(
        f"{database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}2020-01-01T000000.000000-wal"
    )
    log.write_bytes(b"of a database that was missing")

    previous_databases.prune_previous(database_path, 30 * 86400)
    assert (
        previous_databases.list_before_restores(database_path) == [second, third]
        and not list(database_path.parent.glob(f"{first.path.name}*"))
        and not log.exists()
    )
    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(days=400))
    previous_databases.prune_previous(database_path, 30 * 86400)
    assert previous_databases.list_before_restores(database_path) == [third] and mine.exists()


def test_files_only_named_like_previous_databases_protect_nothing(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then, began = take_image(), timestamps.utcnow()
    for days in (0, 20):
        monkeypatch.setattr(timestamps, "utcnow", lambda days=days: began + timedelta(days=days))
        then.restore_over()
    _, newest = previous_databases.list_before_restores(database_path)
    named = f"{database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}"
    odd = [database_path.with_name(f"{named}{year}-01-01T000000.000000") for year in (2020, 2999)]
    copies = database_path.parent / "backups"
    odd += [copies / f"before-0001-{year}-01-01T000000.000000Z.db" for year in (2020, 2999)]
    for folder in odd:
        folder.mkdir(parents=True)
    empty = database_path.with_name(f"{named}2998-01-01T000000.000000")
    empty.touch()
    shutil.copy(database_path, copies / "before-0001-2021-01-01T000000.000000Z.db")

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(days=400))
    previous_databases.prune_previous(database_path, 30 * 86400)

    assert [one.path for one in previous_databases.list_before_restores(database_path)] == [
        newest.path,
        empty,
    ] and all(folder.is_dir() for folder in odd)
    assert [one.at[:4] for one in previous_databases.list_before_upgrades(database_path)] == [
        "2021"
    ]


def test_a_previous_database_can_be_restored(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.c.exec_driver_sql("UPDATE tasks SET priority = 7")
    then.restore_over()
    with open_transaction(database_path) as made:
        made.submit_task()
    (kept,) = previous_databases.list_before_restores(database_path)

    with swap.prepare_restore(
        kept.copy_to, database_path, kept.bytes, lambda: [], 0, "ann", "database k"
    ) as ready:
        swap.swap_in(ready, database_path)

    assert (
        run_query(database_path, "SELECT number, priority FROM tasks") == [(1, 7), (2, 0)]
        and integrity.check_database(database_path) == []
    )
    assert kept.path.exists() and not list(database_path.parent.glob(f"{kept.path.name}-*"))


def test_a_rebuild_into_a_file_leaves_nothing_beside_it(
    tmp_path: Path, database_path: Path, take_image
):
    with open_transaction(database_path) as made:
        made.submit_task()

    assert swap.build_image(take_image().rebuild, tmp_path / "then.db", 1).tasks == {"queued": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["then.db"]


def test_indexes_that_differ_from_the_rows_are_rebuilt(
    tmp_path: Path, database_path: Path, take_image
):
    step_database.change_behind_index(
        database_path, "idx_queues_priority", "UPDATE queues SET priority = 7"
    )
    assert integrity.find_damage(database_path)

    swap.build_image(take_image().rebuild, tmp_path / "then.db", 1)

    assert integrity.check_database(tmp_path / "then.db") == []


def test_numbers_continue_above_all_that_any_backup_knows(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()

    assert take_image().restore_over(highest=41).next == 42


def test_readable_rows_of_a_damaged_database_are_carried_over(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        first = made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(first)
        made.submit_task()
    overwrite_tables(database_path, "operations", "idx_tasks_status", "idx_instances_status")
    damaged = database_path.read_bytes()

    carried = then.restore_over()

    assert (
        not carried.whole
        and read_statuses(database_path) == {1: "succeeded", 2: "queued"}
        and carried.held == 0
    )
    (kept,) = (
        path
        for path in database_path.parent.glob("taskdeck.db.before-restore-*")
        if path.name[-4] != "-"
    )
    assert kept.read_bytes() == damaged and integrity.check_database(database_path) == []


def flip_bits(path: Path, found: bytes, at: int, bits: int = 0x80) -> None:
    """Flip bits of the byte at `at` after the last match of `found`."""
    data = bytearray(path.read_bytes())
    data[data.rindex(found) + at] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize(
    "found",
    [
        b"indexidx_tasks_ended",
        b"max_rss FLOAT",
        b"parameters JSON",
        b"CREATE INDEX idx_tasks_over",
        b"CREATE TRIGGER text_goes",
    ],
    ids=["name", "column", "needed column", "index", "trigger"],
)
@pytest.mark.parametrize("bits", [0x80, 1])
def test_a_flipped_bit_in_the_schema_costs_no_task(
    database_path: Path, take_image, found: bytes, bits: int
):
    with open_transaction(database_path) as made:
        first = made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.complete_run(first)
        made.submit_task()
    flip_bits(database_path, found, len(found) - 7, bits)

    then.restore_over()

    assert (
        read_statuses(database_path) == {1: "succeeded", 2: "queued"}
        and integrity.check_database(database_path) == []
    )


def test_invalid_text_in_a_descriptive_column_costs_no_task(database_path: Path, take_image):
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task(name="the spoilt one")
        made.start_run(made.submit_task())
        made.c.exec_driver_sql("UPDATE instances SET logs = 'a ruined line'")
    database_path.write_bytes(
        database_path.read_bytes().replace(b"spoilt", b"sp\xefilt").replace(b"ruined", b"ru\xe9ned")
    )

    carried = then.restore_over()

    assert (
        not carried.whole
        and carried.lost == []
        and read_statuses(database_path) == {1: "queued", 2: "running"}
        and integrity.check_database(database_path) == []
    )
    with closing(sqlite3.connect(database_path)) as c:
        found = c.execute("SELECT name, logs FROM tasks, instances WHERE number = 1").fetchall()
    assert found == [("the sp\ufffdilt one", "a ru\ufffdned line")]


def test_a_task_with_an_invalid_command_is_left_out_alone(database_path: Path, take_image):
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task()
        made.submit_task(launch={"argv": ["spoilt"]})
    flip_bits(database_path, b"spoilt", 2)

    carried = then.restore_over()

    assert (
        not carried.whole and read_statuses(database_path) == {1: "queued"} and carried.lost == [2]
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "UPDATE counters SET value = 'many' WHERE name = 'task-number'",
            "counter task-number is not a number",
        ),
        ("UPDATE tasks SET created_at = '2026-11-26Tp9:30:00.000000Z'", None),
    ],
)
def test_invalid_figures_and_times_do_not_prevent_a_restore(
    database_path: Path, take_image, change: str, found: str | None
):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    with closing(sqlite3.connect(database_path)) as file:
        file.execute(change)
        file.commit()

    assert found in integrity.check_database(database_path) or found is None
    then.restore_over()

    assert (
        read_statuses(database_path) == {1: "queued"}
        and integrity.check_database(database_path) == []
    )


def test_a_row_that_breaks_a_constraint_is_damage(database_path: Path, take_image):
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task(after=[made.submit_task()])
    flip_bits(database_path, b"success20", 4, 0x40)

    carried = then.restore_over()

    assert (
        not carried.whole
        and read_statuses(database_path) == {1: "queued", 2: "blocked"}
        and integrity.check_database(database_path) == []
    )


def test_a_backup_that_breaks_a_constraint_is_not_restored(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task(after=[made.submit_task()])
    then = take_image()
    flip_bits(then.path, b"success20", 4, 0x40)

    with pytest.raises(
        DamagedBackup,
        match=r"the backup b is damaged \(1 row breaks the rule of dependencies: kind IN",
    ):
        then.restore_over()


def test_without_a_readable_database_tasks_that_may_have_run_are_held(
    database_path: Path, take_image
):
    with open_transaction(database_path) as made:
        ran, goes_on, _ = made.submit_task(), made.submit_task(), made.submit_task()
    then = take_image()
    database_path.write_bytes(b"\xff" * 8192)
    alive, unknown = make_uuid7(), make_uuid7()

    carried = then.restore_over(
        [ObservedRun(alive, number=2, is_reported=True, attempt=1), ObservedRun(unknown)], highest=5
    )

    assert (carried.unknown, carried.held, carried.alive) == (1, 2, 1) and ran
    assert read_statuses(database_path) == {1: "held", 2: "running", 3: "held"}
    assert run_query(database_path, "SELECT runid, task_id, status FROM instances") == [
        (alive, goes_on, "starting")
    ]
    assert carried.lost == [4, 5] and carried.next == 5 + numbers.SAFETY_MARGIN + 1


def test_a_running_run_without_its_task_becomes_a_task(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task(hold=True)
    then, run = take_image(), make_uuid7()
    database_path.unlink()

    seen = ObservedRun(
        run,
        number=3,
        is_reported=True,
        attempt=2,
        is_alive=True,
        begin=1e9,
        name="sleep",
        argv=("sleep", "9"),
        cwd="/tmp",
    )
    carried = then.restore_over([seen])

    assert (carried.adopted, carried.alive, carried.lost, carried.unknown) == (
        [3],
        1,
        [2],
        0,
    ) and carried.next > 3
    stored = (
        "SELECT number, name, status, queue, cwd, attempts, created_at, json_extract(launch,"
        " '$.argv[1]') FROM tasks WHERE uuid = ?"
    )
    assert run_query(database_path, stored, run) == [
        (3, "sleep", "running", "default", "/tmp", 2, "2001-09-09T01:46:40.000000Z", "9")
    ]
    assert run_query(database_path, "SELECT runid, task_id, status FROM instances") == [
        (run, run, "starting")
    ]
    assert run_query(
        database_path, "SELECT status, runid, by FROM events WHERE task_id = ?", run
    ) == [("running", run, "restore")]
    assert (
        run_query(database_path, "SELECT current_load FROM queues") == [(1,)]
        and integrity.check_database(database_path) == []
    )
    with open_transaction(database_path) as made:
        made.record_start(run)
        assert made.record_end(run) == [run] and made.read_status(run) == "succeeded"
        (row,) = reads.list_by_uuid(made.c, [run])
    with pytest.raises(Conflict, match="its parameters and env cannot be read"):
        actions.refuse_unreadable(row)


@pytest.mark.parametrize("table", ["queues", "pools"])
def test_a_running_run_becomes_a_task_even_without_a_queue(
    database_path: Path, take_image, table: str
):
    with open_transaction(database_path) as made:
        for emptied in dict.fromkeys(("queues", table)):
            made.c.exec_driver_sql(f"DELETE FROM {emptied}")
    then = take_image()
    database_path.unlink()

    assert then.restore_over(
        [ObservedRun(make_uuid7(), number=3, is_reported=True, is_alive=True)]
    ).adopted == [3]

    assert (
        read_statuses(database_path) == {3: "running"}
        and integrity.check_database(database_path) == []
    )
    assert run_query(database_path, "SELECT name, status, pool, current_load FROM queues") == [
        ("default", "paused", "default", 1)
    ]


def test_a_running_run_without_a_task_number_gets_a_new_one(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then, run, other = take_image(), make_uuid7(), make_uuid7()
    database_path.unlink()

    carried = then.restore_over(
        [
            ObservedRun(run, is_reported=True, is_alive=True),
            ObservedRun(other, is_reported=True, is_alive=True),
        ],
        highest=4,
    )

    last = 4 + numbers.SAFETY_MARGIN
    assert (carried.adopted, carried.unknown, carried.held, carried.next) == (
        [last + 1, last + 2],
        2,
        1,
        last + 3,
    )
    assert (
        read_statuses(database_path) == {1: "held", last + 1: "running", last + 2: "running"}
        and integrity.check_database(database_path) == []
    )


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_running_run_joins_an_ended_task_only_as_a_later_attempt(
    database_path: Path, take_image, attempt: int
):
    with open_transaction(database_path) as made:
        made.complete_run(made.submit_task(), code=3)
    then, run = take_image(), make_uuid7()
    database_path.unlink()

    carried = then.restore_over(
        [ObservedRun(run, number=1, is_reported=True, attempt=attempt, is_alive=True)], highest=1
    )

    assert carried.alive == 1 and integrity.check_database(database_path) == []
    new = 1 + numbers.SAFETY_MARGIN + 1
    assert read_statuses(database_path) == (
        {1: "running"} if attempt == 2 else {1: "failed", new: "running"}
    )
    assert run_query(
        database_path,
        "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.runid = ?",
        run,
    ) == [(1 if attempt == 2 else new,)]


def test_a_task_made_for_a_run_returns_it_to_the_original_task(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task(hold=True)
    early, run = take_image().set_apart(), make_uuid7()
    with open_transaction(database_path) as made:
        own = made.submit_task()
    late, goes_on = (
        take_image().set_apart(),
        ObservedRun(run, number=2, is_reported=True, attempt=1, is_alive=True),
    )
    database_path.unlink()
    assert early.restore_over([goes_on]).adopted == [2]

    carried = late.restore_over([goes_on])

    assert (carried.adopted, carried.alive, carried.tasks) == ([], 1, []) and read_statuses(
        database_path
    ) == {1: "held", 2: "running"}
    assert (
        run_query(database_path, "SELECT runid, task_id FROM instances") == [(run, own)]
        and integrity.check_database(database_path) == []
    )


def test_an_active_run_that_nobody_knows_is_lost_and_not_retried(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        task = made.submit_task(retries=5)
        runid = made.start_run(task)
        other = made.start_run(made.submit_task(retries=5))
    then = take_image()
    database_path.write_bytes(b"\xff" * 8192)

    then.restore_over([ObservedRun(other, ended=True, end=1_764_000_000.0, code=0)])

    assert read_statuses(database_path) == {1: "lost", 2: "succeeded"} and runid
    assert run_query(database_path, "SELECT current_load FROM queues") == [(0,)]
    early = "SELECT count(*) FROM instances WHERE end_time < start_time"
    assert run_query(database_path, early) == [(0,)], "the run's end is before the start"
    ends = (
        "SELECT t.number, e.status, e.by FROM events e JOIN tasks t ON t.uuid = e.task_id WHERE"
        " e.by = 'restore' ORDER BY 1"
    )
    assert run_query(database_path, ends) == [(1, "lost", "restore"), (2, "succeeded", "restore")]


def test_a_task_whose_run_failed_since_is_held_between_attempts(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        parent = made.submit_task(retries=5)
        failed, last, stopped = (
            made.start_run(parent),
            made.start_run(made.submit_task(retries=0)),
            made.start_run(made.submit_task(retries=5)),
        )
        made.submit_task(after=[parent])
        transitions.stop(made.c, [stopped], "cancel", "ann")
    then, ended_at = take_image(), timestamps.now()
    database_path.unlink()

    carried = then.restore_over(
        [
            ObservedRun(
                run,
                ended=True,
                end=timestamps.to_unix(ended_at),
                code=3,
                stop="cancel" if run == stopped else None,
            )
            for run in (failed, last, stopped)
        ]
    )

    assert read_statuses(database_path) == {1: "held", 2: "failed", 3: "cancelled", 4: "held"} and (
        carried.ended,
        carried.held,
    ) == ([2, 3], 2)
    assert run_query(database_path, "SELECT failures, held_by FROM tasks WHERE number = 1") == [
        (1, "restore")
    ]
    assert run_query(
        database_path, "SELECT i.status, i.exit_code FROM instances i WHERE i.runid = ?", failed
    ) == [("failed", 3)]
    assert run_query(database_path, "SELECT DISTINCT end_time FROM instances") == [(ended_at,)]
    assert integrity.check_database(database_path) == []


@pytest.mark.parametrize(
    ("present", "by"), [("tells", "ann"), ("behind", "restore"), ("gone", "restore")]
)
def test_a_held_task_that_may_have_run_is_held_by_the_restore(
    database_path: Path, take_image, present: str, by: str
):
    with open_transaction(database_path) as made:
        made.submit_task()
        made.submit_task(hold=True, held_by="ann")
    then = take_image()
    with closing(sqlite3.connect(database_path)) as c, c:
        # The database is incomplete, but it shows that #2 waits.
        c.execute("UPDATE counters SET value = 1 WHERE name = 'task-number'")
    if present == "gone":
        database_path.unlink()

    carried = then.restore_over([ObservedRun(make_uuid7())], behind=present == "behind")

    assert run_query(database_path, "SELECT number, held_by FROM tasks ORDER BY 1") == [
        (1, "restore"),
        (2, by),
    ]
    assert carried.held == (2 if by == "restore" else 1)


def test_a_run_whose_end_both_databases_lack_is_not_retried(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        over, goes_on, later = (made.start_run(made.submit_task(retries=5)) for _ in range(3))
    then, now = take_image(), make_uuid7()

    ends = [
        ObservedRun(runid, ended=True, end=1_764_000_000.0, code=code)
        for runid, code in ((over, 0), (later, 3))
    ]
    seen = [
        *ends,
        ObservedRun(goes_on, is_reported=True, number=2, is_alive=True),
        ObservedRun(now, is_reported=True, number=3, attempt=2, is_alive=True),
    ]
    with closing(sqlite3.connect(database_path)) as c, c:
        # the database is incomplete
        c.execute("UPDATE counters SET value = 1 WHERE name = 'task-number'")
    then.restore_over(seen)

    assert (
        read_statuses(database_path) == {1: "succeeded", 2: "running", 3: "running"}
        and integrity.check_database(database_path) == []
    )
    active = (
        "SELECT t.number, i.runid FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE"
        " i.end_time IS NULL ORDER BY 1"
    )
    assert run_query(database_path, active) == [(2, goes_on), (3, now)]


@pytest.mark.parametrize("claimed", [True, False])
def test_a_running_run_takes_over_a_claimed_attempt_only(
    database_path: Path, take_image, claimed: bool
):
    with open_transaction(database_path) as made:
        (run,) = made.claim_tasks(made.submit_task())
        if not claimed:
            made.record_start(run)
    then, now = take_image(), make_uuid7()
    database_path.unlink()

    carried = then.restore_over(
        [
            ObservedRun(run, is_reported=True),
            ObservedRun(now, number=1, is_reported=True, is_alive=True),
        ],
        highest=1,
    )

    new = 1 + numbers.SAFETY_MARGIN + 1
    assert carried.alive == (1 if claimed else 2) and integrity.check_database(database_path) == []
    assert read_statuses(database_path) == {1: "running"} | ({} if claimed else {new: "running"})
    assert run_query(
        database_path,
        "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.runid = ?",
        now,
    ) == [(1 if claimed else new,)]


@pytest.mark.parametrize(
    ("preset", "fired", "status"),
    [("starts-within", 0, "resolved"), ("finishes-within", 1, "firing")],
)
def test_the_alert_of_a_task_lost_in_a_restore_follows_its_rule(
    database_path: Path, take_image, preset: str, fired: int, status: str
):
    with open_transaction(database_path) as made:
        made.claim_tasks(made.submit_task())
        definitions.create(made.c, schema.slas, "fast",
        {"conditions": {"preset": preset, "value": "1s"}, "actions": {},
                                                   "priority": 3, "enabled": True},
                                                   "ann")  # fmt: skip
        assert (
            sla_evaluation.evaluate(made.c, timestamps.utcnow() + timedelta(minutes=1)).fired == 1
        )
    then = take_image()
    database_path.unlink()

    then.restore_over()

    with open_transaction(database_path) as made:
        found = sla_evaluation.evaluate(made.c, timestamps.utcnow() + timedelta(minutes=2))
    assert (found.fired, found.resolved) == (fired, 1 - fired)
    assert run_query(database_path, "SELECT status FROM alerts") == [(status,)] and read_statuses(
        database_path
    ) == {1: "lost"}


def test_a_restore_is_an_operation_and_keeps_the_previous_database(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task()
    database_path.with_name("search.db").write_bytes(b"old")

    then.restore_over()

    left = sorted(path.name for path in database_path.parent.glob("*.db*"))
    assert (
        left[0] == "taskdeck.db"
        and left[1].startswith("taskdeck.db.before-restore-")
        and len(left) == 2
    )
    assert read_statuses(database_path.with_name(left[1])) == {1: "queued", 2: "queued"}
    assert run_query(
        database_path, "SELECT by, verb, object FROM operations ORDER BY id DESC LIMIT 1"
    ) == [("ann", "db restore", "backup b")]


def test_a_preview_changes_nothing(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task()
    before = {
        path.name: path.read_bytes() for path in database_path.parent.iterdir() if path.is_file()
    }

    with swap.prepare_restore(then.rebuild, database_path, 1, lambda: [], 0, "ann", "b") as ready:
        assert ready.before is not None and ready.before.newest == 2 and ready.carried.tasks == [2]

    assert {name: database_path.with_name(name).read_bytes() for name in before} == before
    assert not list(database_path.parent.glob("*restor*"))


def test_a_damaged_backup_is_not_restored(database_path: Path, take_image):
    then = take_image()
    overwrite_tables(then.path, "tasks")
    before = database_path.read_bytes()

    with pytest.raises(DamagedBackup, match="Nothing was restored"):
        then.restore_over()

    assert database_path.read_bytes() == before and not list(database_path.parent.glob("*restor*"))


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_swap_leaves_the_previous_database(
    database_path: Path, take_image, step: int, monkeypatch: pytest.MonkeyPatch
):
    then = take_image()
    with open_transaction(database_path) as made:
        made.submit_task()
    left = [step]

    def rename(source: Any, target: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError("cut short")
        move(source, target)

    move = swap.os.rename
    monkeypatch.setattr(swap.os, "rename", rename)
    with pytest.raises(OSError, match="cut short"):
        then.restore_over()

    assert (
        read_statuses(database_path) == {1: "queued"}
        and integrity.check_database(database_path) == []
    )


class SimulatedKill(BaseException):
    """A kill: no handler catches it."""


def test_a_restore_killed_after_moving_the_wal_can_be_repeated(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    with open_transaction(database_path) as made:
        task = made.submit_task()
    then = take_image()
    overwrite_tables(database_path, "operations")
    database_path.with_name("taskdeck.db-wal").write_bytes(b"a log")
    move = swap.os.rename

    def rename(source: Any, target: Any) -> None:
        if target == database_path:
            raise SimulatedKill
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(swap.os, "rename", rename)
        with pytest.raises(SimulatedKill):
            then.restore_over()
    assert (
        swap.has_unfinished_swap(database_path)
        and not database_path.with_name("taskdeck.db-wal").exists()
    )
    with pytest.raises(DamagedDatabase, match="a restore was cut short"):
        database_presence.check_database_present(database_path.parent)
    with pytest.raises(DamagedDatabase, match="^(?!.*cut short)"):
        setup.verify_before_start(database_path.parent)
    assert database_path.with_name(
        "taskdeck.db-wal"
    ).read_bytes() == b"a log" and not previous_databases.list_before_restores(database_path)

    assert not then.restore_over().whole

    assert not swap.has_unfinished_swap(database_path) and not list(
        database_path.parent.glob("*.unfinished")
    )
    assert read_statuses(database_path) == {1: "queued"} and task


def leave_damaged_with_wal(database: Path, fill: Callable[[TaskBuilder], Any]) -> None:
    """Leave the database as a killed runtime does, and damage a page.

    The last writes are in the WAL.
    """
    ((root,),) = run_query(database, "SELECT rootpage FROM sqlite_master WHERE name = 'slas'")
    with closing(sqlite3.connect(database)) as other:
        # an open reader prevents the checkpoint
        other.execute("SELECT count(*) FROM tasks").fetchall()
        with open_transaction(database) as made:
            fill(made)
        for ending in ("", "-wal"):
            shutil.copy(f"{database}{ending}", f"{database}{ending}.left")
    for ending in ("", "-wal"):
        os.rename(f"{database}{ending}.left", f"{database}{ending}")
    database.with_name("taskdeck.db-shm").unlink(missing_ok=True)
    with database.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(
    ("second_names", "at"), [(True, 1), (True, 2), (False, 1), (False, 2), (False, 3)]
)
def test_the_wal_of_a_damaged_database_survives_a_killed_restore(
    database_path: Path, take_image, second_names: bool, at: int, monkeypatch: pytest.MonkeyPatch
):
    with open_transaction(database_path) as made:
        made.submit_task()
    then = take_image()
    leave_damaged_with_wal(database_path, lambda made: made.submit_task(name="in the log"))
    before, log = (
        database_path.read_bytes(),
        database_path.with_name("taskdeck.db-wal").read_bytes(),
    )
    if not second_names:
        forbid_hard_links(monkeypatch)
    move, left = swap.os.rename, [at]

    def rename(source: Any, target: Any) -> None:
        left[0] -= str(source).startswith(str(database_path)) and "restoring" not in str(target)
        if not left[0]:
            raise SimulatedKill
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(swap.os, "rename", rename)
        with pytest.raises(SimulatedKill):
            then.restore_over()
    if second_names:
        with swap.prepare_restore(
            then.rebuild, database_path, 1, lambda: [], 0, "ann", "b", is_dry_run=True
        ) as ready:
            assert ready.carried.tasks == [2] and ready.present == "damaged"
        assert swap.has_unfinished_swap(database_path)

    carried = then.restore_over()

    assert (carried.tasks, carried.lost, read_statuses(database_path)) == (
        [2],
        [],
        {1: "queued", 2: "queued"},
    )
    (kept,) = previous_databases.list_before_restores(database_path)
    assert (kept.path.read_bytes(), Path(f"{kept.path}-wal").read_bytes()) == (
        before,
        log,
    ) and not swap.has_unfinished_swap(database_path)


def test_a_restore_killed_before_removing_its_marker_counts_as_done(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    with open_transaction(database_path) as made:
        made.submit_task()
    then, index = take_image(), database_path.with_name("search.db")
    leave_damaged_with_wal(database_path, lambda made: made.submit_task())
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".unfinished"):
            raise SimulatedKill
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(SimulatedKill):
            then.restore_over()
    copy = (
        Path(shutil.copytree(database_path.parent, database_path.parent / "copy"))
        / database_path.name
    )
    mark = copy.with_name(f"{copy.name}.unfinished")
    assert mark.exists() and copy.stat().st_ino != database_path.stat().st_ino

    assert not swap.has_unfinished_swap(database_path) and not swap.has_unfinished_swap(copy)
    index.write_bytes(b"of the one before")
    with open_transaction(database_path) as made:
        made.submit_task()
    assert not swap.has_unfinished_swap(database_path)
    for path in (database_path, copy):
        swap.clean_up(path)
        assert not list(path.parent.glob("*.unfinished")) and not index.exists()
    assert read_statuses(copy) == {1: "queued", 2: "queued"} and read_statuses(database_path) == {
        1: "queued",
        2: "queued",
        3: "queued",
    }


def test_an_incomplete_marker_is_ignored(database_path: Path):
    mark = database_path.with_name("taskdeck.db.unfinished")
    mark.touch()

    assert not swap.has_unfinished_swap(database_path)
    swap.clean_up(database_path)
    assert not mark.exists() and integrity.check_database(database_path) == []


def test_the_wal_returns_when_the_new_database_cannot_be_swapped_in(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then, log = take_image(), database_path.with_name("taskdeck.db-wal")
    overwrite_tables(database_path, "operations")
    log.write_bytes(b"a log")
    move = swap.os.rename

    def rename(source: Any, target: Any) -> None:
        if target == database_path:
            raise OSError("cut short")
        move(source, target)

    monkeypatch.setattr(swap.os, "rename", rename)
    with pytest.raises(OSError, match="cut short"):
        then.restore_over()

    assert log.read_bytes() == b"a log" and not swap.has_unfinished_swap(database_path)


def test_leftovers_of_a_killed_restore_are_removed(database_path: Path):
    for name in (".restoring", ".restoring-wal", ".restoring.part", ".restoring.saved"):
        database_path.with_name(database_path.name + name).write_bytes(b"left")

    swap.clean_up(database_path)

    assert (
        not list(database_path.parent.glob("*.restoring*")) and read_statuses(database_path) == {}
    )


def test_without_space_nothing_begins(database_path: Path, take_image):
    then = take_image()

    with (
        pytest.raises(DiskFull),
        swap.prepare_restore(then.rebuild, database_path, 1 << 60, lambda: [], 0, "ann", "b"),
    ):
        pass

    assert not list(database_path.parent.glob("*restor*"))


def test_a_task_in_the_ledger_starts_only_on_a_retry(database_path: Path):
    with open_transaction(database_path) as made:
        task = made.submit_task()
        made.c.exec_driver_sql(
            "INSERT INTO forgotten (runid, task_id, number, status, created_at, updated_at) VALUES"
            " (?, ?, 1, 'succeeded', '', '')",
            (make_uuid7(), task),
        )

        assert made.claim_tasks(task) == [] and made.read_row(task).status == "cancelled"
        transitions.retry(made.c, [task], "ann")
        assert len(made.claim_tasks(task)) == 1 and len(reads.list_active(made.c)) == 1


def test_an_older_schema_is_upgraded_before_the_swap(
    database_path: Path, take_image, monkeypatch: pytest.MonkeyPatch
):
    then = take_image()
    monkeypatch.setattr(migrate, "REVISIONS", ("0000", migrate.HEAD))
    with closing(sqlite3.connect(then.path)) as file:
        file.executescript("UPDATE alembic_version SET version_num = '0000'")
    done: list[str] = []
    monkeypatch.setattr(migrate, "require_schema", lambda path, revision: done.append(revision))

    def upgrade(path: Path) -> None:
        done.append(path.name)
        with closing(sqlite3.connect(path)) as file:
            file.executescript(f"UPDATE alembic_version SET version_num = '{migrate.HEAD}'")

    monkeypatch.setattr(migrate, "upgrade", upgrade)
    then.restore_over()

    assert done == ["0000", "taskdeck.db.restoring"]
    assert migrate.read_version(database_path) == migrate.HEAD


@pytest.mark.parametrize("left", ["garbage", "nothing"])
def test_without_a_database_all_waiting_tasks_are_held(database_path: Path, take_image, left: str):
    with open_transaction(database_path) as made:
        made.complete_run(made.submit_task())
        made.submit_task()
        made.submit_task()
    then = take_image()
    for ending in ("", "-wal", "-shm"):
        database_path.with_name(database_path.name + ending).unlink(missing_ok=True)
    if left == "garbage":
        database_path.write_bytes(b"\xff" * 8192)

    carried = then.restore_over(highest=3)

    assert read_statuses(database_path) == {1: "succeeded", 2: "held", 3: "held"} and (
        carried.unknown,
        carried.held,
    ) == (0, 2)


BREAK_THIRD_TASK = "UPDATE tasks SET launch = '{' WHERE number = 3"
BREAK_ENVIRONMENT = "UPDATE environments SET variables = '{' WHERE sha256 = 'e3'"


def _submit_with_environment(made: TaskBuilder, sha256: str) -> str:
    uuid = made.submit_task()
    environments.keep_environment(made.c, sha256, '{"A": "1"}')
    made.c.exec_driver_sql("UPDATE tasks SET env_id = ? WHERE uuid = ?", (sha256, uuid))
    return uuid


@pytest.mark.parametrize("damage", [BREAK_THIRD_TASK, BREAK_ENVIRONMENT])
def test_an_unreadable_task_submitted_since_is_left_out(
    database_path: Path, take_image: Callable[[], BackupImage], damage: str
):
    with open_transaction(database_path) as made:
        made.submit_task()
    backup = take_image()
    with open_transaction(database_path) as made:
        _submit_with_environment(made, "e2")
        _submit_with_environment(made, "e3")
    with closing(sqlite3.connect(database_path, isolation_level=None)) as file:
        file.execute(damage)

    done = backup.restore_over()

    assert (done.tasks, done.unreadable, done.next) == ([2], [3], 4)
    assert (
        read_statuses(database_path) == {1: "queued", 2: "queued"}
        and integrity.check_database(database_path) == []
    )


def test_a_submission_that_was_being_stored_is_not_completed_after_a_restore(
    database_path: Path, take_image: Callable[[], BackupImage]
):
    half_stored, other = f"{task_numbers.SUBMISSIONS}u-00-9.rows", "submissions"
    with open_transaction(database_path) as made:
        made.submit_task()
        for name in (half_stored, other):
            counters.create(made.c, name, 120)
    backup = take_image()
    with open_transaction(database_path) as made:
        counters.create(made.c, f"{task_numbers.SUBMISSIONS}later", 7)

    backup.restore_over()

    names = "SELECT name FROM counters WHERE name GLOB 'submission*'"
    assert run_query(database_path, names) == [(other,)]


def test_children_left_by_an_end_are_updated_after_a_restore(
    database_path: Path, take_image: Callable[[], BackupImage]
):
    backup = take_image()
    with open_transaction(database_path) as made:
        parent = made.submit_task()
        for _ in range(transitions.MAX_CHILDREN + 1):
            made.submit_task(after=[parent])
        transitions.cancel(made.c, [parent], "ann")

    backup.restore_over()

    with open_transaction(database_path) as made:
        while pending_parents.has_any(made.c):
            transitions.continue_propagation(made.c)
    assert set(read_statuses(database_path).values()) == {"cancelled"}


def test_the_backup_version_of_an_unreadable_task_stays(
    database_path: Path, take_image: Callable[[], BackupImage]
):
    with open_transaction(database_path) as made:
        made.submit_task()
    backup = take_image()
    with closing(sqlite3.connect(database_path, isolation_level=None)) as file:
        file.execute("DROP TRIGGER touch_tasks")  # damage moves no time
        file.execute("UPDATE tasks SET launch = '{', not_before = 'soon'")

    backup.restore_over()

    assert (
        run_query(database_path, "SELECT json_valid(launch), status FROM tasks") == [(1, "queued")]
        and integrity.check_database(database_path) == []
    )


def test_a_changed_task_that_cannot_be_read_waits_as_in_the_backup(
    database_path: Path, take_image: Callable[[], BackupImage]
):
    with open_transaction(database_path) as made:
        made.submit_task()
        transitions.hold(made.c, [made.submit_task()], True, "ann")
    backup = take_image()
    with closing(sqlite3.connect(database_path, isolation_level=None)) as file:
        file.execute("UPDATE tasks SET not_before = 'soon', hold = 0")

    backup.restore_over()

    assert read_statuses(database_path) == {1: "queued", 2: "held"}
    assert integrity.check_database(database_path) == []


@pytest.mark.parametrize("later", [True, False])
def test_a_repeated_end_starts_no_attempt_that_may_have_run(
    database_path: Path, take_image, later: bool
):
    with open_transaction(database_path) as made:
        run = made.start_run(made.submit_task(retries=1))
    then = take_image()
    database_path.unlink()

    end = ObservedRun(run, is_reported=True, ended=True, end=1e9, has_unknown_end=True)
    then.restore_over([end, ObservedRun(make_uuid7())] if later else [end], idle=not later)

    assert read_statuses(database_path) == {1: "running"}, "its keeper tells the end"
    with open_transaction(database_path) as made:
        made.record_end(run, lost=True)
    assert read_statuses(database_path) == {1: "held" if later else "retrying"}
