"""A restored database knows what came since its backup: nothing runs twice, nothing is forgotten, no number comes again."""

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

from app.core.ids import uuid7
from app.errors import Conflict
from app.home import database_presence, setup
from app.service.definitions import slas
from app.service.tasks import actions
from db import schema, timestamps
from db.engine import write_engine
from db.errors import BusyDatabase, DamagedDatabase, DiskFull, NewerDatabase, Storage
from db.maintenance import integrity, migrate, quarantine
from db.queries import definitions, operations, reads, replicas, transitions
from db.restore import previous_databases, reconcile, swap
from db.restore.reconcile import Carried, Trace
from db.restore.swap import DamagedBackup
from tests.db.builders import Made


@contextmanager
def writing(path: Path) -> Iterator[Made]:
    """One transaction on a database that nobody else has."""
    engine = write_engine(path)
    try:
        with engine.begin() as c:
            yield Made(c)
    finally:
        engine.dispose()


def query(path: Path, sql: str, *given: Any) -> list[tuple]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql, given).fetchall()


def statuses(path: Path) -> dict[int, str]:
    return dict(query(path, "SELECT number, status FROM tasks"))


class Image:
    """A backup as it is rebuilt: a copy by SQLite of the database as it was then."""

    def __init__(self, database: Path) -> None:
        self.path, self.database = database.with_name("image"), database
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(self.path)) as copy:
            source.backup(copy)

    def rebuild(self, target: Path) -> None:
        shutil.copy(self.path, target)

    def aside(self) -> Image:
        """The same, out of the way of the next."""
        self.path = self.path.rename(self.path.with_name(f"image-{uuid7()}"))
        return self

    def restored(
        self, traces: Sequence[Trace] = (), highest: int = 0, idle: bool = False, behind: bool = False, latest: bool = True
    ) -> Carried:
        """Put it in the place of the database."""
        size = self.path.stat().st_size
        with swap.prepared(
            self.rebuild, self.database, size, lambda: traces, highest, "ann", "backup b", idle=idle, lacks=lambda path: behind,
            latest=latest,
        ) as ready:
            swap.put_in_place(ready, self.database)
            return ready.carried


@pytest.fixture
def image(database: Path) -> Callable[[], Image]:
    return lambda: Image(database)


def spoil(path: Path, *tables: str) -> None:
    """Overwrite these tables' first pages, and leave no log that might still have them."""
    roots = query(path, f"SELECT rootpage FROM sqlite_master WHERE name IN ({', '.join('?' * len(tables))})", *tables)
    with path.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * 4096)
            file.write(b"\xff" * 4096)


def test_work_that_ended_since_is_restored_as_ended(database: Path, image):
    with writing(database) as made:
        ran, waits = made.task(), made.task()
    then = image()
    with writing(database) as made:
        made.ran(ran, code=3)

    carried = then.restored()

    assert statuses(database) == {1: "failed", 2: "queued"} and carried.ended == [1] and carried.runs == 1
    assert query(database, "SELECT task_id, number, status FROM forgotten") == [(ran, 1, "failed")]
    assert [row[0] for row in query(database, "SELECT status FROM events WHERE task_id = ? ORDER BY id", ran)][-1] == "failed"
    assert integrity.check(database) == [] and waits


def test_a_run_that_goes_on_goes_on(database: Path, image):
    with writing(database) as made:
        task = made.task()
    then = image()
    with writing(database) as made:
        runid = made.run(task)

    carried = then.restored()

    assert carried.alive == 1 and statuses(database) == {1: "running"}
    assert query(database, "SELECT runid, status, pid FROM instances") == [(runid, "running", 4242)]
    assert query(database, "SELECT current_load FROM queues") == [(1,)]


def test_tasks_submitted_since_come_along_with_what_they_wait_for(database: Path, image):
    with writing(database) as made:
        parent = made.task()
    then = image()
    with writing(database) as made:
        child = made.task(after=[parent], name="child")
        transitions.hold(made.c, [made.task(name="held")], True, "ann")

    carried = then.restored()

    assert carried.tasks == [2, 3] and carried.lost == [] and carried.next == 4
    assert statuses(database) == {1: "queued", 2: "blocked", 3: "held"}
    assert query(database, "SELECT task_id, parent_id FROM dependencies") == [(child, parent)]
    with writing(database) as made:
        made.task()
    assert max(statuses(database)) == 4


def test_what_waited_for_work_that_ended_since_may_start(database: Path, image):
    with writing(database) as made:
        parent = made.task()
        made.task(after=[parent])
    then = image()
    with writing(database) as made:
        made.ran(parent)

    then.restored()

    assert statuses(database) == {1: "succeeded", 2: "queued"}


def test_what_people_wished_since_stays_so(database: Path, image):
    with writing(database) as made:
        cancelled, held, released, deleted = made.task(), made.task(), made.task(), made.task()
        made.task(after=[cancelled])
        transitions.hold(made.c, [released], True, "ann")
    then = image()
    with writing(database) as made:
        transitions.cancel(made.c, [cancelled, deleted], "ann")
        transitions.hold(made.c, [held], True, "bob")
        transitions.hold(made.c, [released], False, "ann")
        made.c.exec_driver_sql("UPDATE tasks SET deleted_at = updated_at WHERE uuid = ?", (deleted,))

    carried = then.restored()

    assert statuses(database) == {1: "cancelled", 2: "held", 3: "queued", 4: "cancelled", 5: "cancelled"}
    assert query(database, "SELECT number, held_by FROM tasks WHERE hold") == [(2, "bob")]
    assert query(database, "SELECT number FROM tasks WHERE deleted_at IS NOT NULL") == [(4,)]
    assert (carried.cancelled, carried.stay_held, carried.released, carried.deleted, carried.ended) == (2, 1, 1, 1, [4])
    assert query(database, "SELECT status, by FROM events WHERE task_id = ? ORDER BY id DESC LIMIT 1", held) == [("held", "bob")]
    assert integrity.check(database) == []


def test_what_was_asked_to_run_again_since_and_did_not_stays_ended_and_is_told(database: Path, image):
    with writing(database) as made:
        asked, ran = made.task(), made.task()
        made.ran(asked, code=1)
        made.ran(ran, code=1)
    then = image()
    with writing(database) as made:
        transitions.retry(made.c, [asked, ran], "ann")
        operations.record_all(made.c, "ann", "retry", [("task #1", {}, {}), ("task #2", {}, {})])
        made.ran(ran)

    carried = then.restored()

    assert statuses(database) == {1: "failed", 2: "succeeded"} and integrity.check(database) == []
    assert carried.undone == {"retry": 1}


def test_what_was_wished_since_stays_so_though_the_clock_was_set_back(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    with writing(database) as made:
        cancelled = made.task()
    then, now = image(), timestamps.utcnow()
    with monkeypatch.context() as patched, writing(database) as made:
        patched.setattr(timestamps, "utcnow", lambda: now - timedelta(hours=1))
        transitions.cancel(made.c, [cancelled], "ann")

    assert then.restored().cancelled == 1 and statuses(database) == {1: "cancelled"}


def test_a_second_restore_keeps_what_was_held_and_wished_after_the_first_though_the_clock_was_set_back(
    database: Path, image, monkeypatch: pytest.MonkeyPatch
):
    ahead = timestamps.utcnow() + timedelta(hours=2)
    with monkeypatch.context() as patched, writing(database) as made:
        patched.setattr(timestamps, "utcnow", lambda: ahead)
        made.task(name="ran")
        cancelled = made.task()
        operations.record(made.c, "ann", "submit", "2 tasks #1–#2")
    then, run = image(), Trace(uuid7())
    database.unlink()
    then.restored([run])
    with writing(database) as made:
        transitions.cancel(made.c, [cancelled], "ann")

    carried = then.restored([run])

    assert statuses(database) == {1: "held", 2: "cancelled"} and carried.cancelled == 1 and integrity.check(database) == []


def test_what_was_wished_before_the_backup_is_not_undone_by_an_older_database(database: Path, image):
    with writing(database) as made:
        held = made.task()
    older = image().aside()
    with writing(database) as made:
        transitions.hold(made.c, [held], True, "ann")
        operations.record(made.c, "ann", "hold", "task #1")
    then = image()
    shutil.copy(older.path, database)

    assert then.restored().whole and statuses(database) == {1: "held"}


def test_a_run_whose_log_is_about_to_be_removed_was_known_to_the_backup(database: Path, image):
    run = Trace(uuid7())
    with writing(database) as made:
        made.task()
        integrity.discard(made.c, [run.runid])
    then = image()
    database.write_bytes(b"\xff" * 8192)

    carried = then.restored([run], idle=True)

    assert (carried.unknown, carried.held, statuses(database)) == (0, 0, {1: "queued"})


def test_a_backup_of_a_later_version_is_told_as_one_and_makes_no_file(tmp_path: Path, database: Path, image):
    then = image()
    with closing(sqlite3.connect(then.path)) as file:
        file.executescript("UPDATE alembic_version SET version_num = '9999'")

    for restored in (then.restored, lambda: swap.image(then.rebuild, tmp_path / "then.db", 1)):
        with pytest.raises(NewerDatabase, match="^the backup b? ?is newer than this program. Nothing was restored. Upgrade Taskdeck.$"):
            restored()

    assert not list(tmp_path.iterdir())


def test_a_task_between_two_attempts_goes_on_where_it_was(database: Path, image):
    with writing(database) as made:
        task = made.task(retries=2, retry_delay=3600.0)
    then = image()
    with writing(database) as made:
        made.ran(task, code=1)

    then.restored()

    assert query(database, "SELECT status, failures, attempts FROM tasks") == [("retrying", 1, 1)]
    assert query(database, "SELECT count(*) FROM forgotten") == [(0,)]


def test_what_one_restore_lost_another_brings_back(database: Path, image):
    with writing(database) as made:
        made.task()
    early = image()
    early.path = early.path.rename(early.path.with_name("early"))
    with writing(database) as made:
        made.task()
    late = image()
    database.write_bytes(b"\xff" * 8192)
    early.restored(highest=2)
    assert statuses(database) == {1: "held"}

    carried = late.restored()

    assert statuses(database) == {1: "held", 2: "held"} and carried.next > 3


def test_what_was_cleaned_up_since_is_not_run_again(database: Path, image):
    with writing(database) as made:
        task = made.task()
    then = image()
    with writing(database) as made:
        made.ran(task)
        for table, key in (("instances", "task_id"), ("events", "task_id"), ("tasks", "uuid")):
            made.c.exec_driver_sql(f"DELETE FROM {table} WHERE {key} = ?", (task,))
        made.c.exec_driver_sql(
            "INSERT INTO forgotten (runid, task_id, number, status, created_at, updated_at) VALUES (?, ?, 1, 'failed', '', '')",
            (uuid7(), task),
        )

    then.restored()

    assert statuses(database) == {1: "failed"}


def test_two_restores_with_a_run_in_between_end_nothing_that_never_ran(database: Path, image):
    with writing(database) as made:
        first = made.task()
    early = image()
    early.path = early.path.rename(early.path.with_name("early"))
    with writing(database) as made:
        made.task()
        made.task()
    late = image()
    database.write_bytes(b"\xff" * 8192)
    early.restored(highest=3)
    with writing(database) as made:
        transitions.hold(made.c, [first], False, "ann")
        made.ran(first)

    carried = late.restored([Trace(uuid7())])

    assert statuses(database) == {1: "succeeded", 2: "held", 3: "held"} and (carried.unknown, carried.held) == (1, 2)


def test_a_database_that_was_made_anew_keeps_its_tasks_under_other_numbers_and_ends_none(database: Path, image):
    empty = image()
    empty.path = empty.path.rename(empty.path.with_name("empty"))
    with writing(database) as made:
        made.ran(made.task())
        made.task(name="then")
    then = image()
    shutil.copy(empty.path, database)
    with writing(database) as made:
        for _ in range(2):
            made.task(name="since")
        made.ran(made.task(name="since"))

    carried = then.restored()

    new = 3 + reconcile.UNSURE + 1
    assert carried.renumbered == [(1, new), (2, new + 1)] and carried.tasks == [3, new, new + 1] and carried.next == new + 2
    assert statuses(database) == {1: "succeeded", 2: "held", 3: "succeeded", new: "queued", new + 1: "queued"}
    assert query(database, "SELECT number FROM tasks WHERE name = 'then'") == [(2,)] and integrity.check(database) == []


def test_a_full_disk_is_no_damage(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    then = image()

    def full(*_: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(reconcile, "_carry", full)
    monkeypatch.setattr(reconcile, "_salvage", lambda *_: pytest.fail("taken for damage"))

    with pytest.raises(DiskFull):
        then.restored()


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_database_that_may_not_be_read_is_no_damage(database: Path, image, ending: str, monkeypatch: pytest.MonkeyPatch):
    then = image()
    with writing(database) as made:
        made.task()
    allowed, refused = os.access, f"{database}{ending}"  # root may read all
    Path(refused).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != refused and allowed(path, mode))

    with pytest.raises(Storage, match=f"permission denied: {refused}") as told:
        then.restored()

    assert f"mv {refused} {refused}.unread" in str(told.value)
    monkeypatch.undo()
    assert list(statuses(database)) == [1]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_has_the_name_of_the_database_and_is_no_file_is_never_opened(database: Path, image, make: Callable[[Path], None]):
    then = image()
    database.unlink()
    make(database)

    for act in (then.restored, lambda: database_presence.check_in_place(database.parent)):
        with pytest.raises(Storage, match=f"is no file.*mv {database} {database}.away"):
            act()


def test_a_database_that_another_program_holds_is_no_damage(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    then, connect = image(), sqlite3.connect
    with writing(database) as made:
        made.task()
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, **more | {"timeout": 0}))
    with closing(connect(database, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyDatabase):
            then.restored()
        holder.execute("ROLLBACK")

    assert list(statuses(database)) == [1]


def test_a_disk_that_fills_up_while_a_damaged_database_is_read_is_no_damage_either(
    database: Path, image, monkeypatch: pytest.MonkeyPatch
):
    with writing(database) as made:
        for _ in range(50):
            made.task()
    then, save = image(), reconcile._save_table
    spoil(database, "operations")

    def save_where_little_room_is(c: sqlite3.Connection, to: sqlite3.Connection, *table: Any) -> None:
        to.execute("PRAGMA max_page_count=16")
        save(c, to, *table)

    monkeypatch.setattr(reconcile, "_save_table", save_where_little_room_is)
    with pytest.raises(DiskFull):
        then.restored()

    assert {path.name for path in database.parent.glob("taskdeck.db.restoring*")} == set()


def test_two_restores_within_a_second_keep_both_that_were_before(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()

    for _ in range(3):
        then.restored()

    assert len(list(database.parent.glob(f"taskdeck.db{previous_databases.BEFORE_RESTORE}*"))) == 3


def without_second_names(monkeypatch: pytest.MonkeyPatch, error: int = errno.EPERM) -> None:
    """A file system that has no hard links."""

    def link(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(swap.os, "link", link)


@pytest.mark.parametrize("error", [errno.EEXIST, errno.EPERM])
def test_a_copy_that_was_kept_before_is_never_overwritten(database: Path, image, error: int, monkeypatch: pytest.MonkeyPatch):
    then, kept = image(), database.with_name(f"{database.name}{previous_databases.BEFORE_RESTORE}2026-11-26T000000.000000")
    kept.write_text("before")
    monkeypatch.setattr(swap, "_kept_now", lambda present: kept)
    without_second_names(monkeypatch, error)

    with pytest.raises(OSError, match=os.strerror(error)):
        then.restored()

    assert kept.read_text() == "before" and integrity.check(database) == []
    kept.unlink()
    if error == errno.EPERM:
        then.restored()
        assert statuses(kept) == statuses(database) == {} and not swap.unfinished(database)


def test_the_users_files_beside_a_restored_one_are_left_alone(tmp_path: Path, database: Path, image):
    then, target = image(), tmp_path / "then.db"
    others = [tmp_path / f"then.db.part{ending}" for ending in ("", *swap.BESIDE)]
    for other in others:
        other.write_text("mine")

    swap.image(then.rebuild, target, 1)

    assert sorted(tmp_path.glob("then.db*")) == [target, *sorted(others)]
    assert swap.is_sound(target) and [other.read_text() for other in others] == ["mine"] * 4


def test_a_trial_at_work_is_not_swept(database: Path):
    at_work, ended = (database.with_name(f"{database.name}.restoring{pid}") for pid in (os.getppid(), 1 << 30))
    for path in (at_work, ended):
        for ending in ("", "-wal", ".saved"):
            path.with_name(path.name + ending).write_bytes(b"x")

    swap.sweep(database)

    assert sorted(path.name for path in database.parent.glob("*.restoring*")) == [at_work.name + end for end in ("", "-wal", ".saved")]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_not_brought_over_is_told(database: Path, image, whole: bool):
    with writing(database) as made:
        task, other = made.task(), made.task()
    then = image()
    with writing(database) as made:
        definitions.create(made.c, schema.queues, "night", {"pool": "default", "capacity": 1}, "ann")
        definitions.create(made.c, schema.queues, "used", {"pool": "default", "capacity": 1}, "ann")
        definitions.create(made.c, schema.slas, "soon", {"conditions": {}, "actions": {}}, "ann")
        definitions.change(made.c, schema.queues, "default", {"capacity": 7}, "ann")
        definitions.change(made.c, schema.queues, "used", {"capacity": 7}, "ann")
        made.c.exec_driver_sql("UPDATE tasks SET priority = 7 WHERE uuid = ?", (task,))
        operations.record(made.c, "ann", "set priority", "task #1", {"priority": 0}, {"priority": 7})
        transitions.hold(made.c, [other], True, "ann")
        operations.record(made.c, "ann", "hold", "task #2", {"hold": False}, {"hold": True})
        made.task(queue="used")
        operations.record(made.c, "ann", "submit", "task #3", after={"first": 3, "last": 3})
        operations.record(made.c, "ann", "db backup", "backup b", after={"bytes": 1})
    if not whole:
        spoil(database, "idx_tasks_status")

    carried = then.restored()

    assert carried.whole is whole and carried.dropped == {"queue": ["night"], "sla": ["soon"]}
    assert carried.undone == {"queue set": 1, "set priority": 1} | ({} if whole else {"hold": 1})
    assert carried.operations == 9


@pytest.mark.parametrize("whole", [True, False])
def test_where_the_database_is_copied_to_stays_as_it_was_chosen_since(database: Path, image, whole: bool):
    then = image()
    with writing(database) as made:
        replicas.choose(made.c, "/mnt/second", "host:/home", "ann")
        replicas.end(made.c, timestamps.now(), None)
    chosen = query(database, "SELECT * FROM replicas")
    if not whole:
        spoil(database, "idx_tasks_status")

    assert then.restored().whole is whole and query(database, "SELECT * FROM replicas") == chosen and len(chosen) == 1


def test_a_copy_that_was_given_up_since_is_kept_no_more(database: Path, image):
    with writing(database) as made:
        replicas.choose(made.c, "/mnt/second", "host:/home", "ann")
    then = image()
    with writing(database) as made:
        replicas.choose(made.c, None, "host:/home", "ann")

    then.restored()

    assert query(database, "SELECT * FROM replicas") == []


def test_what_changed_nothing_is_not_told_as_lost(database: Path, image):
    with writing(database) as made:
        made.task()
    carried = image().restored()

    assert (carried.dropped, carried.undone, carried.operations) == ({}, {}, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_ids_of_operations_never_come_again(database: Path, image, whole: bool):
    then = image()
    with writing(database) as made:
        for _ in range(3):
            operations.record(made.c, "ann", "stop", "runtime", after={"drain": False})
    ((last,),) = query(database, "SELECT max(id) FROM operations")
    if not whole:
        spoil(database, "idx_tasks_status")

    then.restored()

    assert query(database, "SELECT id, verb, batch FROM operations ORDER BY id DESC LIMIT 1") == [(last + 1, "db restore", last + 1)]


def test_an_empty_file_is_no_database_and_does_not_keep_one_from_being_restored(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
    database.touch()

    with swap.prepared(then.rebuild, database, 1, lambda: [], 0, "ann", "b") as ready:
        assert (ready.before, ready.present) == (None, "empty")
    assert not then.restored().whole and statuses(database) == {1: "held"}


def test_a_database_without_our_tables_is_restored_over_too(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()
    database.unlink()
    with closing(sqlite3.connect(database)) as c:
        c.execute("CREATE TABLE tasks (mine TEXT)")

    assert not then.restored().whole and statuses(database) == {1: "held"}


def test_runs_of_unknown_tasks_are_judged_once(database: Path, image):
    with writing(database) as made:
        made.task()
        freed = made.task()
    first, run = image().aside(), Trace(uuid7())
    database.write_bytes(b"\xff" * 8192)
    assert (first.restored([run]).held, statuses(database)) == (2, {1: "held", 2: "held"})
    with writing(database) as made:
        transitions.hold(made.c, [freed], False, "ann")
    later = image().aside()
    database.write_bytes(b"\xff" * 8192)

    carried = later.restored([run])

    assert (carried.unknown, carried.held) == (0, 1) and statuses(database) == {1: "held", 2: "held"}, "it may have run since"
    database.write_bytes(b"\xff" * 8192)
    carried = later.restored([run, Trace(uuid7())])
    assert (carried.unknown, carried.held) == (1, 1), "one more than the backup knows of"


def test_what_was_freed_since_a_restore_is_not_held_by_the_same_restore_again(database: Path, image):
    with writing(database) as made:
        freed = made.task()
    then, run = image().aside(), Trace(uuid7())
    database.write_bytes(b"\xff" * 8192)
    then.restored([run])
    with writing(database) as made:
        transitions.hold(made.c, [freed], False, "ann")

    carried = then.restored([run])

    assert (carried.whole, carried.unknown, carried.held) == (True, 0, 0) and statuses(database) == {1: "queued"}


def test_tasks_that_only_the_later_backup_has_are_held_for_the_runs_that_an_earlier_restore_met(database: Path, image):
    with writing(database) as made:
        freed = made.task()
    early = image().aside()
    with writing(database) as made:
        made.task()
    late, run = image().aside(), Trace(uuid7())
    database.write_bytes(b"\xff" * 8192)
    early.restored([run], highest=2)
    with writing(database) as made:
        transitions.hold(made.c, [freed], False, "ann")

    carried = late.restored([run])

    assert (carried.unknown, carried.held) == (1, 1) and statuses(database) == {1: "queued", 2: "held"}


@pytest.mark.parametrize("idle", [True, False])
def test_no_number_is_passed_over_where_none_can_have_been_given(database: Path, image, idle: bool):
    with writing(database) as made:
        made.task()
    then = image()
    database.unlink()

    assert then.restored(highest=3, idle=idle).next == (4 if idle else 4 + reconcile.UNSURE)


@pytest.mark.parametrize("latest", [True, False])
def test_what_waits_in_an_older_backup_than_the_last_may_have_run_before_that(database: Path, image, latest: bool):
    with writing(database) as made:
        made.task()
    then = image()
    database.unlink()

    assert then.restored(highest=1, idle=True, latest=latest).next == 2
    assert statuses(database) == {1: "queued" if latest else "held"}


@pytest.mark.parametrize("readable", [True, False])
def test_numbers_that_an_earlier_restore_passed_over_are_not_told_as_lost_tasks(database: Path, image, readable: bool):
    with writing(database) as made:
        made.task()
    then = image()
    database.unlink()
    first = then.restored(highest=3)
    with writing(database) as made:
        made.task()
    spoil(database, "tasks", "idx_tasks_status", *(() if readable else ("operations",)))

    second = then.restored(highest=3)

    assert first.passed_over == [4, 3 + reconcile.UNSURE] and first.lost == [2, 3] and not first.at_most
    assert second.lost == [2, 3, 4 + reconcile.UNSURE] if readable else second.at_most and len(second.lost) == 3 + reconcile.UNSURE


def test_what_ends_with_a_task_that_is_lost_is_not_told_as_held(database: Path, image):
    with writing(database) as made:
        ran = made.task()
        made.run(ran)
        made.task(after=[ran])
        made.task()
    then = image()
    database.unlink()

    carried = then.restored([Trace(uuid7())])

    assert statuses(database) == {1: "lost", 2: "cancelled", 3: "held"} and carried.held == 1


def test_what_was_put_aside_goes_by_its_age_but_the_newest_never(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    then, began = image(), timestamps.utcnow()
    for days in (0, 20, 40):
        monkeypatch.setattr(timestamps, "utcnow", lambda days=days: began + timedelta(days=days))
        then.restored()
    first, second, third = previous_databases.by_restores(database)
    Path(f"{first.path}-wal").write_bytes(b"a log")
    mine = database.with_name(f"{database.name}{previous_databases.BEFORE_RESTORE}mine")
    mine.write_bytes(b"mine")
    log = database.with_name(f"{database.name}{previous_databases.BEFORE_RESTORE}2020-01-01T000000.000000-wal")
    log.write_bytes(b"of a database that was missing")

    previous_databases.prune(database, 30 * 86400)
    assert previous_databases.by_restores(database) == [second, third] and not list(database.parent.glob(f"{first.path.name}*")) and not log.exists()
    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(days=400))
    previous_databases.prune(database, 30 * 86400)
    assert previous_databases.by_restores(database) == [third] and mine.exists()


def test_what_only_has_the_name_of_what_was_put_aside_keeps_nothing_and_no_other_from_going(
    database: Path, image, monkeypatch: pytest.MonkeyPatch
):
    then, began = image(), timestamps.utcnow()
    for days in (0, 20):
        monkeypatch.setattr(timestamps, "utcnow", lambda days=days: began + timedelta(days=days))
        then.restored()
    _, newest = previous_databases.by_restores(database)
    named = f"{database.name}{previous_databases.BEFORE_RESTORE}"
    odd = [database.with_name(f"{named}{year}-01-01T000000.000000") for year in (2020, 2999)]
    copies = database.parent / "backups"
    odd += [copies / f"before-0001-{year}-01-01T000000.000000Z.db" for year in (2020, 2999)]
    for folder in odd:
        folder.mkdir(parents=True)
    empty = database.with_name(f"{named}2998-01-01T000000.000000")
    empty.touch()
    shutil.copy(database, copies / "before-0001-2021-01-01T000000.000000Z.db")

    monkeypatch.setattr(timestamps, "utcnow", lambda: began + timedelta(days=400))
    previous_databases.prune(database, 30 * 86400)

    assert [one.path for one in previous_databases.by_restores(database)] == [newest.path, empty] and all(folder.is_dir() for folder in odd)
    assert [one.at[:4] for one in previous_databases.before_upgrades(database)] == ["2021"]


def test_what_was_put_aside_can_be_gone_back_to(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()
    with writing(database) as made:
        made.c.exec_driver_sql("UPDATE tasks SET priority = 7")
    then.restored()
    with writing(database) as made:
        made.task()
    (kept,) = previous_databases.by_restores(database)

    with swap.prepared(kept.copy, database, kept.bytes, lambda: [], 0, "ann", "database k") as ready:
        swap.put_in_place(ready, database)

    assert query(database, "SELECT number, priority FROM tasks") == [(1, 7), (2, 0)] and integrity.check(database) == []
    assert kept.path.exists() and not list(database.parent.glob(f"{kept.path.name}-*"))


def test_what_is_rebuilt_into_a_file_leaves_nothing_beside_it(tmp_path: Path, database: Path, image):
    with writing(database) as made:
        made.task()

    assert swap.image(image().rebuild, tmp_path / "then.db", 1).tasks == {"queued": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["then.db"]


def test_numbers_go_on_above_all_that_any_backup_knows_of(database: Path, image):
    with writing(database) as made:
        made.task()

    assert image().restored(highest=41).next == 42


def test_what_can_be_read_of_a_damaged_database_is_brought_over(database: Path, image):
    with writing(database) as made:
        first = made.task()
    then = image()
    with writing(database) as made:
        made.ran(first)
        made.task()
    spoil(database, "operations", "idx_tasks_status", "idx_instances_status")
    damaged = database.read_bytes()

    carried = then.restored()

    assert not carried.whole and statuses(database) == {1: "succeeded", 2: "queued"} and carried.held == 0
    (kept,) = (path for path in database.parent.glob("taskdeck.db.before-restore-*") if path.name[-4] != "-")
    assert kept.read_bytes() == damaged and integrity.check(database) == []


def flip(path: Path, found: bytes, at: int, bits: int = 0x80) -> None:
    """Turn bits of the byte so far into what is found."""
    data = bytearray(path.read_bytes())
    data[data.rindex(found) + at] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize(
    "found",
    [b"indexidx_tasks_ended", b"max_rss FLOAT", b"parameters JSON", b"CREATE INDEX idx_tasks_over", b"CREATE TRIGGER text_goes"],
    ids=["name", "column", "needed column", "index", "trigger"],
)
@pytest.mark.parametrize("bits", [0x80, 1])
def test_a_bit_that_flipped_in_the_schema_costs_no_task(database: Path, image, found: bytes, bits: int):
    with writing(database) as made:
        first = made.task()
    then = image()
    with writing(database) as made:
        made.ran(first)
        made.task()
    flip(database, found, len(found) - 7, bits)

    then.restored()

    assert statuses(database) == {1: "succeeded", 2: "queued"} and integrity.check(database) == []


def test_a_byte_that_is_no_text_costs_no_task_where_it_only_tells_something(database: Path, image):
    then = image()
    with writing(database) as made:
        made.task(name="the spoilt one")
        made.run(made.task())
        made.c.exec_driver_sql("UPDATE instances SET logs = 'a ruined line'")
    database.write_bytes(database.read_bytes().replace(b"spoilt", b"sp\xefilt").replace(b"ruined", b"ru\xe9ned"))

    carried = then.restored()

    assert not carried.whole and carried.lost == [] and statuses(database) == {1: "queued", 2: "running"} and integrity.check(database) == []
    with closing(sqlite3.connect(database)) as c:
        found = c.execute("SELECT name, logs FROM tasks, instances WHERE number = 1").fetchall()
    assert found == [("the sp\ufffdilt one", "a ru\ufffdned line")]


def test_a_task_whose_command_is_no_text_is_not_brought_over_and_the_others_are(database: Path, image):
    then = image()
    with writing(database) as made:
        made.task()
        made.task(launch={"argv": ["spoilt"]})
    flip(database, b"spoilt", 2)

    carried = then.restored()

    assert not carried.whole and statuses(database) == {1: "queued"} and carried.lost == [2]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE counters SET value = 'many' WHERE name = 'task-number'", "counter task-number is no number"),
        ("UPDATE tasks SET created_at = '2026-11-26Tp9:30:00.000000Z'", None),
    ],
)
def test_figures_and_times_that_are_none_keep_no_database_from_being_restored(database: Path, image, change: str, found: str | None):
    with writing(database) as made:
        made.task()
    then = image()
    with closing(sqlite3.connect(database)) as file:
        file.execute(change)
        file.commit()

    assert found in integrity.check(database) or found is None
    then.restored()

    assert statuses(database) == {1: "queued"} and integrity.check(database) == []


def test_a_row_that_breaks_a_rule_of_its_table_is_damage(database: Path, image):
    then = image()
    with writing(database) as made:
        made.task(after=[made.task()])
    flip(database, b"success20", 4, 0x40)

    carried = then.restored()

    assert not carried.whole and statuses(database) == {1: "queued", 2: "blocked"} and integrity.check(database) == []


def test_a_backup_that_breaks_a_rule_is_not_put_in_place(database: Path, image):
    with writing(database) as made:
        made.task(after=[made.task()])
    then = image()
    flip(then.path, b"success20", 4, 0x40)

    with pytest.raises(DamagedBackup, match=r"the backup b is damaged \(1 row breaks the rule of dependencies: kind IN"):
        then.restored()


def test_with_nothing_left_to_read_what_may_have_run_is_held(database: Path, image):
    with writing(database) as made:
        ran, goes_on, _ = made.task(), made.task(), made.task()
    then = image()
    database.write_bytes(b"\xff" * 8192)
    alive, unknown = uuid7(), uuid7()

    carried = then.restored([Trace(alive, number=2, told=True, attempt=1), Trace(unknown)], highest=5)

    assert (carried.unknown, carried.held, carried.alive) == (1, 2, 1) and ran
    assert statuses(database) == {1: "held", 2: "running", 3: "held"}
    assert query(database, "SELECT runid, task_id, status FROM instances") == [(alive, goes_on, "starting")]
    assert carried.lost == [4, 5] and carried.next == 5 + reconcile.UNSURE + 1


def test_a_run_that_goes_on_and_whose_task_is_lost_becomes_one(database: Path, image):
    with writing(database) as made:
        made.task(hold=True)
    then, run = image(), uuid7()
    database.unlink()

    seen = Trace(run, number=3, told=True, attempt=2, lives=True, begin=1e9, name="sleep", argv=("sleep", "9"), cwd="/tmp")
    carried = then.restored([seen])

    assert (carried.adopted, carried.alive, carried.lost, carried.unknown) == ([3], 1, [2], 0) and carried.next > 3
    stored = "SELECT number, name, status, queue, cwd, attempts, created_at, json_extract(launch, '$.argv[1]') FROM tasks WHERE uuid = ?"
    assert query(database, stored, run) == [(3, "sleep", "running", "default", "/tmp", 2, "2001-09-09T01:46:40.000000Z", "9")]
    assert query(database, "SELECT runid, task_id, status FROM instances") == [(run, run, "starting")]
    assert query(database, "SELECT status, runid, by FROM events WHERE task_id = ?", run) == [("running", run, "restore")]
    assert query(database, "SELECT current_load FROM queues") == [(1,)] and integrity.check(database) == []
    with writing(database) as made:
        made.started(run)
        assert made.end(run) == [run] and made.status(run) == "succeeded"
        (row,) = reads.by_uuids(made.c, [run])
    with pytest.raises(Conflict, match="its parameters and env cannot be read"):
        actions.refuse_unreadable(row)


@pytest.mark.parametrize("table", ["queues", "pools"])
def test_a_run_that_goes_on_becomes_a_task_though_there_is_no_queue_for_it(database: Path, image, table: str):
    with writing(database) as made:
        for emptied in dict.fromkeys(("queues", table)):
            made.c.exec_driver_sql(f"DELETE FROM {emptied}")
    then = image()
    database.unlink()

    assert then.restored([Trace(uuid7(), number=3, told=True, lives=True)]).adopted == [3]

    assert statuses(database) == {3: "running"} and integrity.check(database) == []
    assert query(database, "SELECT name, status, pool, current_load FROM queues") == [("default", "paused", "default", 1)]


def test_a_run_that_goes_on_and_does_not_say_of_which_task_has_a_new_number_and_what_it_may_be_is_held(database: Path, image):
    with writing(database) as made:
        made.task()
    then, run, other = image(), uuid7(), uuid7()
    database.unlink()

    carried = then.restored([Trace(run, told=True, lives=True), Trace(other, told=True, lives=True)], highest=4)

    last = 4 + reconcile.UNSURE
    assert (carried.adopted, carried.unknown, carried.held, carried.next) == ([last + 1, last + 2], 2, 1, last + 3)
    assert statuses(database) == {1: "held", last + 1: "running", last + 2: "running"} and integrity.check(database) == []


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_run_that_goes_on_is_of_a_task_that_had_ended_only_if_it_is_a_later_attempt(database: Path, image, attempt: int):
    with writing(database) as made:
        made.ran(made.task(), code=3)
    then, run = image(), uuid7()
    database.unlink()

    carried = then.restored([Trace(run, number=1, told=True, attempt=attempt, lives=True)], highest=1)

    assert carried.alive == 1 and integrity.check(database) == []
    new = 1 + reconcile.UNSURE + 1
    assert statuses(database) == ({1: "running"} if attempt == 2 else {1: "failed", new: "running"})
    assert query(database, "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.runid = ?", run) == [
        (1 if attempt == 2 else new,)
    ]


def test_a_task_that_was_made_for_a_run_gives_it_back_to_its_own_once_a_backup_has_that(database: Path, image):
    with writing(database) as made:
        made.task(hold=True)
    early, run = image().aside(), uuid7()
    with writing(database) as made:
        own = made.task()
    late, goes_on = image().aside(), Trace(run, number=2, told=True, attempt=1, lives=True)
    database.unlink()
    assert early.restored([goes_on]).adopted == [2]

    carried = late.restored([goes_on])

    assert (carried.adopted, carried.alive, carried.tasks) == ([], 1, []) and statuses(database) == {1: "held", 2: "running"}
    assert query(database, "SELECT runid, task_id FROM instances") == [(run, own)] and integrity.check(database) == []


def test_a_run_that_was_active_then_and_that_nobody_knows_now_is_lost_and_not_tried_again(database: Path, image):
    with writing(database) as made:
        task = made.task(retries=5)
        runid = made.run(task)
        other = made.run(made.task(retries=5))
    then = image()
    database.write_bytes(b"\xff" * 8192)

    then.restored([Trace(other, ended=True, end=1_764_000_000.0, code=0)])

    assert statuses(database) == {1: "lost", 2: "succeeded"} and runid
    assert query(database, "SELECT current_load FROM queues") == [(0,)]
    ends = "SELECT t.number, e.status, e.by FROM events e JOIN tasks t ON t.uuid = e.task_id WHERE e.by = 'restore' ORDER BY 1"
    assert query(database, ends) == [(1, "lost", "restore"), (2, "succeeded", "restore")]


def test_a_task_with_attempts_left_whose_run_failed_since_is_held_between_two_and_has_not_ended(database: Path, image):
    with writing(database) as made:
        parent = made.task(retries=5)
        failed, last, stopped = made.run(parent), made.run(made.task(retries=0)), made.run(made.task(retries=5))
        made.task(after=[parent])
        transitions.stop(made.c, [stopped], "cancel", "ann")
    then = image()
    database.unlink()

    carried = then.restored(
        [Trace(run, ended=True, end=1e9, code=3, stop="cancel" if run == stopped else None) for run in (failed, last, stopped)]
    )

    assert statuses(database) == {1: "held", 2: "failed", 3: "cancelled", 4: "held"} and (carried.ended, carried.held) == ([2, 3], 2)
    assert query(database, "SELECT failures, held_by FROM tasks WHERE number = 1") == [(1, "restore")]
    assert query(database, "SELECT i.status, i.exit_code FROM instances i WHERE i.runid = ?", failed) == [("failed", 3)]
    assert query(database, "SELECT DISTINCT end_time FROM instances") == [(timestamps.from_unix(1e9),)]
    assert integrity.check(database) == []


@pytest.mark.parametrize(("present", "by"), [("tells", "ann"), ("behind", "restore"), ("gone", "restore")])
def test_what_a_person_held_may_have_been_released_and_run_and_is_held_for_that(database: Path, image, present: str, by: str):
    with writing(database) as made:
        made.task()
        made.task(hold=True, held_by="ann")
    then = image()
    with sqlite3.connect(database) as c:
        c.execute("UPDATE counters SET value = 1 WHERE name = 'task-number'")  # so that it does not tell all; that #2 waits it shows
    if present == "gone":
        database.unlink()

    carried = then.restored([Trace(uuid7())], behind=present == "behind")

    assert query(database, "SELECT number, held_by FROM tasks ORDER BY 1") == [(1, "restore"), (2, by)]
    assert carried.held == (2 if by == "restore" else 1)


def test_a_run_whose_stored_end_both_databases_lack_is_not_tried_again(database: Path, image):
    with writing(database) as made:
        over, goes_on, later = (made.run(made.task(retries=5)) for _ in range(3))
    then, now = image(), uuid7()

    ends = [Trace(runid, ended=True, end=1_764_000_000.0, code=code) for runid, code in ((over, 0), (later, 3))]
    seen = [*ends, Trace(goes_on, told=True, number=2, lives=True), Trace(now, told=True, number=3, attempt=2, lives=True)]
    with sqlite3.connect(database) as c:
        c.execute("UPDATE counters SET value = 1 WHERE name = 'task-number'")  # so that it does not tell all
    then.restored(seen)

    assert statuses(database) == {1: "succeeded", 2: "running", 3: "running"} and integrity.check(database) == []
    active = "SELECT t.number, i.runid FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time IS NULL ORDER BY 1"
    assert query(database, active) == [(2, goes_on), (3, now)]


@pytest.mark.parametrize("claimed", [True, False])
def test_a_run_that_goes_on_is_the_attempt_that_was_only_claimed_and_none_that_had_begun(database: Path, image, claimed: bool):
    with writing(database) as made:
        (run,) = made.claim(made.task())
        if not claimed:
            made.started(run)
    then, now = image(), uuid7()
    database.unlink()

    carried = then.restored([Trace(run, told=True), Trace(now, number=1, told=True, lives=True)], highest=1)

    new = 1 + reconcile.UNSURE + 1
    assert carried.alive == (1 if claimed else 2) and integrity.check(database) == []
    assert statuses(database) == {1: "running"} | ({} if claimed else {new: "running"})
    assert query(database, "SELECT t.number FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.runid = ?", now) == [
        (1 if claimed else new,)
    ]


def test_the_alert_of_a_task_that_a_restore_ends_is_over(database: Path, image):
    with writing(database) as made:
        task = made.task()
        made.run(task)
        definitions.create(made.c, schema.slas, "fast", {"conditions": {"preset": "finishes-within", "value": "1s"}, "actions": {},
                                                   "priority": 3, "enabled": True}, "ann")  # fmt: skip
        assert slas.evaluate(made.c, timestamps.utcnow() + timedelta(minutes=1)).fired == 1
    then = image()
    database.unlink()

    then.restored()

    with writing(database) as made:
        assert slas.evaluate(made.c, timestamps.utcnow() + timedelta(minutes=2)).resolved == 1
    assert query(database, "SELECT status FROM alerts") == [("resolved",)] and statuses(database) == {1: "lost"}


def test_a_restore_is_an_operation_and_the_one_before_is_kept(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()
    with writing(database) as made:
        made.task()
    database.with_name("search.db").write_bytes(b"old")

    then.restored()

    left = sorted(path.name for path in database.parent.glob("*.db*"))
    assert left[0] == "taskdeck.db" and left[1].startswith("taskdeck.db.before-restore-") and len(left) == 2
    assert statuses(database.with_name(left[1])) == {1: "queued", 2: "queued"}
    assert query(database, "SELECT by, verb, object FROM operations ORDER BY id DESC LIMIT 1") == [("ann", "db restore", "backup b")]


def test_only_looking_at_what_would_change_changes_nothing(database: Path, image):
    with writing(database) as made:
        made.task()
    then = image()
    with writing(database) as made:
        made.task()
    before = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}

    with swap.prepared(then.rebuild, database, 1, lambda: [], 0, "ann", "b") as ready:
        assert ready.before is not None and ready.before.newest == 2 and ready.carried.tasks == [2]

    assert {name: database.with_name(name).read_bytes() for name in before} == before
    assert not list(database.parent.glob("*restor*"))


def test_a_backup_that_is_damaged_is_not_put_in_place(database: Path, image):
    then = image()
    spoil(then.path, "tasks")
    before = database.read_bytes()

    with pytest.raises(DamagedBackup, match="Nothing was restored"):
        then.restored()

    assert database.read_bytes() == before and not list(database.parent.glob("*restor*"))


@pytest.mark.parametrize("step", [1, 2])
def test_a_restore_that_is_cut_short_leaves_the_one_before(database: Path, image, step: int, monkeypatch: pytest.MonkeyPatch):
    then = image()
    with writing(database) as made:
        made.task()
    left = [step]

    def rename(source: Any, target: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError("cut short")
        move(source, target)

    move = swap.os.rename
    monkeypatch.setattr(swap.os, "rename", rename)
    with pytest.raises(OSError, match="cut short"):
        then.restored()

    assert statuses(database) == {1: "queued"} and integrity.check(database) == []


class Killed(BaseException):
    """Nothing comes after it."""


def test_a_restore_killed_after_the_log_was_put_aside_is_told_and_can_be_done_again(
    database: Path, image, monkeypatch: pytest.MonkeyPatch
):
    with writing(database) as made:
        task = made.task()
    then = image()
    spoil(database, "operations")
    database.with_name("taskdeck.db-wal").write_bytes(b"a log")
    move = swap.os.rename

    def rename(source: Any, target: Any) -> None:
        if target == database:
            raise Killed
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(swap.os, "rename", rename)
        with pytest.raises(Killed):
            then.restored()
    assert swap.unfinished(database) and not database.with_name("taskdeck.db-wal").exists()
    with pytest.raises(DamagedDatabase, match="a restore was cut short"):
        database_presence.check_in_place(database.parent)
    with pytest.raises(DamagedDatabase, match="^(?!.*cut short)"):
        setup.look_over(database.parent)
    assert database.with_name("taskdeck.db-wal").read_bytes() == b"a log" and not previous_databases.by_restores(database)

    assert not then.restored().whole

    assert not swap.unfinished(database) and not list(database.parent.glob("*.unfinished"))
    assert statuses(database) == {1: "queued"} and task


def leave_damaged_with_a_log(database: Path, fill: Callable[[Made], Any]) -> None:
    """A database as a runtime that was killed leaves it: what came last is in its log; then a page is lost."""
    ((root,),) = query(database, "SELECT rootpage FROM sqlite_master WHERE name = 'slas'")
    with closing(sqlite3.connect(database)) as other:
        other.execute("SELECT count(*) FROM tasks").fetchall()  # whoever has it open keeps the log from being folded
        with writing(database) as made:
            fill(made)
        for ending in ("", "-wal"):
            shutil.copy(f"{database}{ending}", f"{database}{ending}.left")
    for ending in ("", "-wal"):
        os.rename(f"{database}{ending}.left", f"{database}{ending}")
    database.with_name("taskdeck.db-shm").unlink(missing_ok=True)
    with database.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(("second_names", "at"), [(True, 1), (True, 2), (False, 1), (False, 2), (False, 3)])
def test_what_stands_in_the_log_of_a_damaged_database_outlives_a_restore_that_is_killed(
    database: Path, image, second_names: bool, at: int, monkeypatch: pytest.MonkeyPatch
):
    with writing(database) as made:
        made.task()
    then = image()
    leave_damaged_with_a_log(database, lambda made: made.task(name="in the log"))
    before, log = database.read_bytes(), database.with_name("taskdeck.db-wal").read_bytes()
    if not second_names:
        without_second_names(monkeypatch)
    move, left = swap.os.rename, [at]

    def rename(source: Any, target: Any) -> None:
        left[0] -= str(source).startswith(str(database)) and "restoring" not in str(target)
        if not left[0]:
            raise Killed
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(swap.os, "rename", rename)
        with pytest.raises(Killed):
            then.restored()
    if second_names:
        with swap.prepared(then.rebuild, database, 1, lambda: [], 0, "ann", "b", trial=True) as ready:
            assert ready.carried.tasks == [2] and ready.present == "damaged"
        assert swap.unfinished(database)

    carried = then.restored()

    assert (carried.tasks, carried.lost, statuses(database)) == ([2], [], {1: "queued", 2: "queued"})
    (kept,) = previous_databases.by_restores(database)
    assert (kept.path.read_bytes(), Path(f"{kept.path}-wal").read_bytes()) == (before, log) and not swap.unfinished(database)


def test_a_restore_killed_before_it_takes_its_mark_away_is_done_for_a_copy_of_the_home_too(
    database: Path, image, monkeypatch: pytest.MonkeyPatch
):
    with writing(database) as made:
        made.task()
    then, index = image(), database.with_name("search.db")
    leave_damaged_with_a_log(database, lambda made: made.task())
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".unfinished"):
            raise Killed
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(Killed):
            then.restored()
    copy = Path(shutil.copytree(database.parent, database.parent / "copy")) / database.name
    mark = copy.with_name(f"{copy.name}.unfinished")
    assert mark.exists() and copy.stat().st_ino != database.stat().st_ino

    assert not swap.unfinished(database) and not swap.unfinished(copy)
    index.write_bytes(b"of the one before")
    with writing(database) as made:
        made.task()
    assert not swap.unfinished(database)
    for path in (database, copy):
        swap.sweep(path)
        assert not list(path.parent.glob("*.unfinished")) and not index.exists()
    assert statuses(copy) == {1: "queued", 2: "queued"} and statuses(database) == {1: "queued", 2: "queued", 3: "queued"}


def test_a_mark_that_was_not_written_to_its_end_stands_for_nothing(database: Path):
    mark = database.with_name("taskdeck.db.unfinished")
    mark.touch()

    assert not swap.unfinished(database)
    swap.sweep(database)
    assert not mark.exists() and integrity.check(database) == []


def test_a_log_comes_back_where_the_new_database_cannot_come(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    then, log = image(), database.with_name("taskdeck.db-wal")
    spoil(database, "operations")
    log.write_bytes(b"a log")
    move = swap.os.rename

    def rename(source: Any, target: Any) -> None:
        if target == database:
            raise OSError("cut short")
        move(source, target)

    monkeypatch.setattr(swap.os, "rename", rename)
    with pytest.raises(OSError, match="cut short"):
        then.restored()

    assert log.read_bytes() == b"a log" and not swap.unfinished(database)


def test_what_a_killed_restore_left_is_swept(database: Path):
    for name in (".restoring", ".restoring-wal", ".restoring.part", ".restoring.saved"):
        database.with_name(database.name + name).write_bytes(b"left")

    swap.sweep(database)

    assert not list(database.parent.glob("*.restoring*")) and statuses(database) == {}


def test_without_room_nothing_is_begun(database: Path, image):
    then = image()

    with pytest.raises(DiskFull), swap.prepared(then.rebuild, database, 1 << 60, lambda: [], 0, "ann", "b"):
        pass

    assert not list(database.parent.glob("*restor*"))


def test_a_task_named_in_the_ledger_is_never_started_until_a_person_asks_for_it(database: Path):
    with writing(database) as made:
        task = made.task()
        made.c.exec_driver_sql(
            "INSERT INTO forgotten (runid, task_id, number, status, created_at, updated_at) VALUES (?, ?, 1, 'succeeded', '', '')",
            (uuid7(), task),
        )

        assert made.claim(task) == [] and made.row(task).status == "cancelled"
        transitions.retry(made.c, [task], "ann")
        assert len(made.claim(task)) == 1 and len(reads.active(made.c)) == 1


def test_an_older_schema_is_brought_up_before_it_takes_over(database: Path, image, monkeypatch: pytest.MonkeyPatch):
    then = image()
    monkeypatch.setattr(migrate, "KNOWN", ("0000", migrate.HEAD))
    with closing(sqlite3.connect(then.path)) as file:
        file.executescript("UPDATE alembic_version SET version_num = '0000'")
    done: list[Path] = []

    def upgrade(path: Path) -> None:
        done.append(path)
        with closing(sqlite3.connect(path)) as file:
            file.executescript(f"UPDATE alembic_version SET version_num = '{migrate.HEAD}'")

    monkeypatch.setattr(migrate, "upgrade", upgrade)
    then.restored()

    assert [path.name for path in done] == ["taskdeck.db.restoring"] and migrate.version_of(database) == migrate.HEAD


@pytest.mark.parametrize("left", ["garbage", "nothing"])
def test_without_a_database_to_tell_all_that_waited_is_held_though_no_run_left_a_trace(database: Path, image, left: str):
    with writing(database) as made:
        made.ran(made.task())
        made.task()
        made.task()
    then = image()
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
    if left == "garbage":
        database.write_bytes(b"\xff" * 8192)

    carried = then.restored(highest=3)

    assert statuses(database) == {1: "succeeded", 2: "held", 3: "held"} and (carried.unknown, carried.held) == (0, 2)


UNREAD_FIRST = "UPDATE tasks SET launch = '{' WHERE number = 1"
UNREAD = "UPDATE tasks SET launch = '{' WHERE number = 3"
NO_ENVIRONMENT = "UPDATE environments SET variables = '{' WHERE sha256 = 'e3'"


def _with_environment(made: Made, sha256: str) -> str:
    uuid = made.task()
    transitions.keep_environment(made.c, sha256, '{"A": "1"}')
    made.c.exec_driver_sql("UPDATE tasks SET env_id = ? WHERE uuid = ?", (sha256, uuid))
    return uuid


@pytest.mark.parametrize("damage", [UNREAD, NO_ENVIRONMENT])
def test_a_task_submitted_since_that_cannot_be_read_is_left_out(database: Path, image: Callable[[], Image], damage: str):
    with writing(database) as made:
        made.task()
    backup = image()
    with writing(database) as made:
        _with_environment(made, "e2")
        _with_environment(made, "e3")
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        file.execute(damage)

    done = backup.restored()

    assert (done.tasks, done.unreadable, done.next) == ([2], [3], 4)
    assert statuses(database) == {1: "queued", 2: "queued"} and integrity.check(database) == []


def test_what_the_backup_has_of_a_task_that_cannot_be_read_stays(database: Path, image: Callable[[], Image]):
    with writing(database) as made:
        made.task()
    backup = image()
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        file.execute("UPDATE tasks SET launch = '{', not_before = 'soon'")

    backup.restored()

    assert query(database, "SELECT json_valid(launch), status FROM tasks") == [(1, "queued")] and integrity.check(database) == []


def test_what_cannot_be_read_of_the_backup_itself_or_goes_on_is_set_aside(database: Path, image: Callable[[], Image]):
    with writing(database) as made:
        made.task()
        made.c.exec_driver_sql("UPDATE tasks SET parameters = '{'")
    backup = image()
    with writing(database) as made:
        made.run(made.task())
        made.c.exec_driver_sql("UPDATE tasks SET tags = '{' WHERE number = 2")

    done = backup.restored()

    assert (done.tasks, done.unreadable, done.aside, done.alive) == ([2], [], 2, 1)
    assert statuses(database) == {1: "held", 2: "running"} and integrity.check(database) == []


def _set_aside(database: Path, *changes: str) -> list[str]:
    """What a runtime sets aside of values that another program has changed."""
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        for change in changes:
            file.execute(change)
    with writing(database) as made:
        return quarantine.set_aside(made.c)


def test_what_was_set_aside_since_waits_as_the_backup_has_it(database: Path, image: Callable[[], Image]):
    with writing(database) as made:
        made.task()
        scheduled = made.task()
        made.c.exec_driver_sql("UPDATE tasks SET not_before = '2999-01-01T00:00:00.000000Z' WHERE uuid = ?", (scheduled,))
        transitions.settle(made.c, [scheduled], "ann")
        _with_environment(made, "e3")
        held, released = made.task(), made.task()
        transitions.hold(made.c, [released], True, "ann")
    backup = image()
    with writing(database) as made:
        transitions.hold(made.c, [held], True, "bob")
        transitions.hold(made.c, [released], False, "ann")
    odd = "UPDATE tasks SET launch = '{' WHERE number IN (1, 4, 5)", "UPDATE tasks SET not_before = 'soon' WHERE number = 2"
    assert len(_set_aside(database, *odd, NO_ENVIRONMENT)) == 5

    done = backup.restored()

    assert statuses(database) == {1: "queued", 2: "scheduled", 3: "queued", 4: "held", 5: "held"}
    assert query(database, "SELECT number, held_by FROM tasks WHERE hold ORDER BY number") == [(4, "bob"), (5, "ann")]
    assert (done.stay_held, done.aside) == (0, 0) and integrity.check(database) == []


def test_what_was_set_aside_and_cancelled_since_stays_cancelled(database: Path, image: Callable[[], Image]):
    with writing(database) as made:
        uuid = made.task()
    backup = image()
    _set_aside(database, "UPDATE tasks SET launch = '{'")
    with writing(database) as made:
        transitions.cancel(made.c, [uuid], "ann")

    assert backup.restored().cancelled == 1 and statuses(database) == {1: "cancelled"}


@pytest.mark.parametrize(("before", "status"), [(False, "retrying"), (True, "held")])
def test_what_was_set_aside_between_two_attempts_is_tried_again_where_the_backup_can_be_read(
    database: Path, image: Callable[[], Image], before: bool, status: str
):
    with writing(database) as made:
        again = made.task(retries=3, retry_delay=3600.0)
    if before:
        _set_aside(database, UNREAD_FIRST)
        with writing(database) as made:
            transitions.hold(made.c, [again], False, "ann")
    backup = image()
    with writing(database) as made:
        made.ran(again, code=1)
    _set_aside(database, UNREAD_FIRST)

    backup.restored()

    assert statuses(database) == {1: status} and integrity.check(database) == []


@pytest.mark.parametrize("later", [True, False])
def test_an_end_that_the_keeper_tells_again_starts_no_attempt_that_may_have_been_made(database: Path, image, later: bool):
    with writing(database) as made:
        run = made.run(made.task(retries=1))
    then = image()
    database.unlink()

    end = Trace(run, told=True, ended=True, end=1e9, lost=True)
    then.restored([end, Trace(uuid7())] if later else [end], idle=not later)

    assert statuses(database) == {1: "running"}, "its keeper tells the end"
    with writing(database) as made:
        made.end(run, lost=True)
    assert statuses(database) == {1: "held" if later else "retrying"}
