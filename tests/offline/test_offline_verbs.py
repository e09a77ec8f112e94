"""The verbs that need there to be no runtime: who asks a person keeps nobody out meanwhile, and does what was agreed to or nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app import paths, runtime_launcher
from app.cli.commands.db import backup
from app.core.ids import uuid7
from app.errors import Conflict, NotFound, Refused, Storage
from app.home import database_presence, restore_advice
from app.home.lock import RuntimeExists, held, hold_lock
from app.home.setup import prepare
from app.offline import backup as offline_backup
from app.offline import backup_list, backup_picker, maintenance, read_only, replica
from app.offline import replica as offline_replica
from app.offline import restore as offline_restore
from app.paths import refuse_copy
from db import timestamps
from db.backup.catalog import NoBackup
from db.backup.create import Rules, take
from db.errors import DamagedDatabase, OlderDatabase
from db.maintenance import migrate
from db.restore import previous_databases, swap
from tests.db.builders import names, submit
from tests.db.maintenance.upgrades import add_later_revision, old, rows


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))


@pytest.fixture
def backed_up(home: Path, database: Path) -> Path:
    """A home with a task and a backup of that, and a change of it since."""
    submit(database, "first")
    take(database, home / "backups", Rules())
    with closing(sqlite3.connect(database)) as c:
        c.execute("UPDATE tasks SET priority = 7")
        c.commit()
    return home


@pytest.fixture
def earlier_database(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of the home, of the revision before that of the program."""
    path = Path(shutil.copy(old(tmp_path), paths.database(home)))
    add_later_revision(tmp_path, monkeypatch)
    return path


def priorities(home: Path) -> list[int]:
    with closing(sqlite3.connect(paths.database(home))) as c:
        return [priority for (priority,) in c.execute("SELECT priority FROM tasks ORDER BY number")]


def restored(home: Path, agree: Any) -> dict[str, Any]:
    return offline_restore.restore_home(os.fspath(home), None, None, agree, asks=True)


def test_nobody_is_kept_from_the_home_while_a_person_is_asked(backed_up: Path):
    asked: list[bool] = []

    def agree(told: dict[str, Any]) -> bool:
        with hold_lock(backed_up):
            asked.append(not list(backed_up.glob("*.restoring*")))
        return True

    assert restored(backed_up, agree)["restored"] and asked == [True]
    assert priorities(backed_up) == [0] and not held(backed_up)


def test_who_says_no_has_changed_nothing(backed_up: Path):
    assert not restored(backed_up, lambda told: False)["restored"]
    assert priorities(backed_up) == [7] and not list(backed_up.glob("*restor*"))


def test_what_came_while_a_person_was_asked_is_not_restored_over(backed_up: Path):
    def agree(told: dict[str, Any]) -> bool:
        submit(paths.database(backed_up), "meanwhile")
        return True

    with pytest.raises(Conflict, match="something has changed since you were asked. Nothing was restored"):
        restored(backed_up, agree)

    assert names(paths.database(backed_up)) == ["first", "meanwhile"] and priorities(backed_up) == [7, 0]


def test_a_run_of_which_there_is_only_a_log_may_have_been_any_tasks_whatever_the_clock_said(backed_up: Path):
    log = Path(paths.log_path(backed_up, "00000000-0000-7000-8000-000000000000"))  # the clock was set back behind the backup
    log.parent.mkdir()
    log.touch()
    swap.remove(paths.database(backed_up))

    carried = restored(backed_up, lambda told: True)["carried"]

    assert (carried["unknown"], carried["held"]) == (1, 1)


def test_while_a_runtime_has_the_home_nothing_that_it_writes_is_missed(backed_up: Path):
    log = Path(paths.log_path(backed_up, uuid7()))
    log.parent.mkdir()
    log.write_text("said")

    def how() -> str:
        return offline_restore.restore_home(os.fspath(backed_up), None, None, lambda told: False, trial=True)["present"]

    with hold_lock(backed_up):
        assert how() == "whole"
    assert how() == "damaged"


def test_nothing_is_asked_while_a_runtime_has_the_home(backed_up: Path):
    with hold_lock(backed_up), pytest.raises(RuntimeExists, match="Nothing was restored"):
        restored(backed_up, lambda told: pytest.fail("asked"))


@pytest.mark.parametrize("ending", swap.BESIDE)
def test_a_log_that_lies_where_a_new_file_is_to_come_is_not_made_its_own(backed_up: Path, tmp_path: Path, ending: str):
    log = tmp_path / f"then.db{ending}"
    log.write_bytes(b"of another")

    with pytest.raises(Conflict, match=f"then.db{ending} is there already. Nothing was restored"):
        offline_restore.restore_to(os.fspath(backed_up), None, None, os.fspath(tmp_path / "then.db"))

    assert not (tmp_path / "then.db").exists() and log.read_bytes() == b"of another"


@pytest.fixture
def copy(home: Path, database: Path) -> Iterator[Path]:
    """The folder of a copy of another home, that has one task."""
    submit(database, "copied")
    with closing(sqlite3.connect(database)) as other, closing(sqlite3.connect(paths.replica(home))) as to:
        other.backup(to)
    swap.remove(database)
    yield home


def test_a_home_that_was_promoted_while_another_was_asked_is_not_replaced(copy: Path):
    told = offline_replica.copy_at(os.fspath(copy))
    kept = paths.replica(copy).read_bytes()
    replica.promote_home(os.fspath(copy))
    submit(paths.database(copy), "since")
    paths.replica(copy).write_bytes(kept)  # the home that is copied has made it anew

    with pytest.raises(Conflict, match="is a home of its own already"):
        replica.promote_home(os.fspath(copy))

    assert told["running"] == [] and names(paths.database(copy)) == ["copied", "since"] and paths.replica(copy).exists()


@pytest.mark.parametrize("act", [maintenance.repair_home, maintenance.migrate_home])
def test_a_mark_that_a_killed_restore_left_goes_before_anything_is_written(home: Path, database: Path, act: Any):
    mark = database.with_name(f"{database.name}.unfinished")
    mark.write_text(f"{database.stat().st_ino} {'0' * 64} {database.name}{previous_databases.BEFORE_RESTORE}2026-11-26T000000.000000", "ascii")

    act(os.fspath(home))

    assert not mark.exists()


DAMAGE = "PRAGMA ignore_check_constraints=ON; UPDATE queues SET status = 'actiwe'"


@pytest.mark.parametrize(
    ("verb", "change", "found"),
    [
        ("ls", f"{DAMAGE}; UPDATE tasks SET tags = '['", r"the database is damaged \(1 row breaks the rule of queues"),
        ("ls", "UPDATE tasks SET tags = '['", r"the database is not in order \(1 row of tasks without JSON in tags"),
        ("status", "UPDATE counters SET value = 'many'", r"the database is not in order \(counter tasks/default/queued says many"),
        ("status", "DROP TABLE replicas", r"the database is damaged \(table replicas is missing"),
    ],
)
def test_what_cannot_be_read_for_what_is_wrong_with_the_file_is_told_so(backed_up: Path, verb: str, change: str, found: str):
    with closing(sqlite3.connect(paths.database(backed_up))) as c:
        c.executescript(change)

    with pytest.raises(Storage, match=found):
        read_only.read(os.fspath(backed_up), verb, {})


@pytest.mark.parametrize("change", ["UPDATE tasks SET launch = '['", "UPDATE tasks SET not_before = '2026-11-25 10:00'"])
def test_a_database_with_rows_that_cannot_be_read_is_not_called_well(backed_up: Path, change: str):
    assert read_only.read(os.fspath(backed_up), "status", {})["database"]["state"] == "ok"
    with closing(sqlite3.connect(paths.database(backed_up))) as c:
        c.executescript(change)

    found = read_only.read(os.fspath(backed_up), "status", {})

    assert re.fullmatch("1 row of tasks without (JSON in launch|a time in not_before)", found["database"]["state"])


def test_a_rule_that_means_nothing_is_told_and_set_aside(home: Path):
    prepare(home)
    with closing(sqlite3.connect(paths.database(home))) as c:
        row = "1, 'late', '{\"preset\": \"fin\"}', '{}', 2, 1, '2026-11-25T10:00:00.000000Z', '2026-11-25T10:00:00.000000Z'"
        c.executescript(f"INSERT INTO slas (id, name, conditions, actions, priority, enabled, created_at, updated_at) VALUES ({row})")

    with pytest.raises(Storage, match="not in order .1 row of slas without JSON in conditions"):
        read_only.read(os.fspath(home), "sla.ls", {})
    done = maintenance.repair_home(os.fspath(home))

    assert done == {"ok": True, "done": ["sla late: its conditions cannot be read, so it is disabled"], "problems": []}
    assert [row["enabled"] for row in read_only.read(os.fspath(home), "sla.ls", {})] == [False]


def test_a_database_that_came_alone_is_mended_and_none_is_told_as_none_yet(database: Path, tmp_path: Path):
    there = tmp_path / "there"
    with pytest.raises(NotFound, match="there is no database in .*there yet"):
        maintenance.repair_home(os.fspath(there))
    assert not there.exists()
    there.mkdir()
    shutil.copy(database, there)

    assert maintenance.repair_home(os.fspath(there)) == {"ok": True, "done": [], "problems": []}


def test_a_mark_of_who_stopped_the_runtime_that_cannot_be_left_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        paths.mark_stopped(home, "ann", "10:31")

    assert list((home / "run").iterdir()) == []


LOOKS = (
    "alert.ls", "board", "browse", "db.cleanup", "db.replica.status", "db.slow", "db.stats", "export", "history", "ls", "operations",
    "pool.ls", "queue.ls", "sla.ls", "status", "template.ls",
)  # fmt: skip
"""Verbs that look at the whole of a home."""


def test_of_an_earlier_version_is_told_what_it_has_else_what_upgrades_it(home: Path, earlier_database: Path):
    refused: set[str] = set()

    for verb in LOOKS:
        try:
            read_only.read(os.fspath(home), verb, {"dry_run": True} if verb == "db.cleanup" else {})
        except OlderDatabase as problem:
            refused.add(verb)
            assert f"earlier version ({migrate.KNOWN[0]!r}, this is {migrate.HEAD!r})" in problem.message
            assert "taskdeck db migrate" in problem.hint
    with pytest.raises(OlderDatabase):
        maintenance.repair_home(os.fspath(home))

    assert {"history", "db.slow"} <= refused and not {"ls", "operations", "queue.ls"} & refused
    assert maintenance.check_home(os.fspath(home)) == []
    maintenance.migrate_home(os.fspath(home))
    assert all(read_only.read(os.fspath(home), verb, {}) is not None for verb in refused - {"db.cleanup", "db.replica.status"})


@pytest.mark.parametrize("named", [lambda copy: copy.name, os.fspath])
def test_the_copy_from_before_an_upgrade_is_told_and_brought_back(home: Path, earlier_database: Path, named: Any):
    path = earlier_database
    before = rows(path)
    maintenance.migrate_home(os.fspath(home))
    (copy,) = (home / "backups").iterdir()
    path.write_bytes(b"no database, " * 400)

    with pytest.raises(DamagedDatabase, match=f"Newest good backup: .*, from before an upgrade. .*db restore --dry-run {copy.name}$"):
        read_only.read(os.fspath(home), "ls", {})
    path.unlink()
    with pytest.raises(DamagedDatabase, match=f"the database is gone.*Bring it back: taskdeck db restore {copy.name}$"):
        database_presence.check_in_place(home)
    then = timestamps.from_unix(copy.stat().st_mtime - 3600)
    for at, way_out in ((None, f"taskdeck db restore --dry-run {copy.name}"), (then, "See which there are: taskdeck db backups")):
        with pytest.raises(NoBackup, match="^there is no good backup") as told:
            offline_restore.restore_home(os.fspath(home), None, at, lambda told: True, trial=True)
        assert told.value.hint.endswith(way_out)
    done = offline_restore.restore_home(os.fspath(home), named(copy), None, lambda told: True)

    assert done["restored"] and migrate.version_of(path) == migrate.HEAD and rows(path)["tasks"]
    assert len(rows(path)["tasks"]) == len(before["tasks"]) and maintenance.check_home(os.fspath(home)) == []
    assert [file["path"] for file in backup_list.kept(os.fspath(home))["files"]] == [os.fspath(copy)]
    assert rows(copy) == before


def test_the_copy_from_before_an_upgrade_is_checked_with_the_backups(home: Path, earlier_database: Path):
    maintenance.migrate_home(os.fspath(home))
    (copy,) = (home / "backups").iterdir()

    found = backup_list.verify(os.fspath(home), None)
    assert backup.said(found) == ["no backup yet", f"{copy.name}, a copy from before an upgrade, is well"]
    with copy.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
    found = backup_list.verify(os.fspath(home), None)

    assert found["copies"][0]["problem"] and f"{copy.name}, a copy from before an upgrade, is bad: " in backup.said(found)[-1]
    assert [file.name for file in (home / "backups").iterdir()] == [copy.name]


def test_a_backup_that_is_newer_than_the_copy_from_before_an_upgrade_is_what_is_told(home: Path, earlier_database: Path):
    maintenance.migrate_home(os.fspath(home))
    offline_backup.backup(os.fspath(home), {}, lambda text: None)

    told = restore_advice.advice(home, DamagedDatabase("the database is damaged."))

    assert "upgrade" not in told.message and told.hint.endswith("taskdeck db restore --dry-run")


TRY_LOCK = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def test_no_runtime_is_kept_out_while_the_program_after_a_backup_runs(backed_up: Path, tmp_path: Path):
    after = [sys.executable, "-c", TRY_LOCK, os.fspath(backed_up / "run" / paths.LOCK)]
    config = tmp_path / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backup]\nafter = {json.dumps(after)}\n")

    taken = offline_backup.backup(os.fspath(backed_up), {"full": True, "to": None}, lambda text: None)

    assert taken["after"] is None and taken["kind"] == "full" and not held(backed_up)


def test_no_backup_is_pruned_by_a_clock_far_ahead_of_the_last_runtime(backed_up: Path, monkeypatch: pytest.MonkeyPatch):
    now = timestamps.now()
    with closing(sqlite3.connect(paths.database(backed_up))) as c:
        c.execute("INSERT INTO samples (kind, name, minute, running, waiting, started, ended, failed, created_at, updated_at) "
                  "VALUES ('queue', 'default', ?, 0, 0, 0, 0, 0, ?, ?)", (now, now, now))  # fmt: skip
        c.commit()
    (first,) = (backed_up / "backups").glob("*.backup")
    years_on = timestamps.utcnow() + timedelta(days=3650)
    monkeypatch.setattr(timestamps, "utcnow", lambda: years_on)

    for _ in range(3):
        offline_backup.backup(os.fspath(backed_up), {"full": True}, lambda said: None)

    assert first.exists()


def test_a_backup_that_was_taken_without_a_runtime_is_told_without_one(backed_up: Path):
    taken = offline_backup.backup(os.fspath(backed_up), {}, lambda text: None)

    told = read_only.read(os.fspath(backed_up), "status", {})["backup"]

    assert (told["at"], told["late"], told["gone"]) == (taken["at"], False, None)


def test_what_a_restore_put_aside_is_named_by_its_bare_name_or_where_it_lies(backed_up: Path, tmp_path: Path):
    kept = Path(restored(backed_up, lambda told: True)["kept"])
    (tmp_path / "link").symlink_to(backed_up)

    for named in (kept.name, os.fspath(kept), os.fspath(tmp_path / "link" / kept.name)):
        assert backup_picker.named(os.fspath(backed_up), named, None)["kind"] == "kept"
    for elsewhere in (f"/nowhere/{kept.name}", os.fspath(tmp_path / kept.name)):
        with pytest.raises(NoBackup, match=f"there is no backup {elsewhere}"):
            backup_picker.named(os.fspath(backed_up), elsewhere, None)


@pytest.mark.parametrize("act", [
    lambda home: offline_backup.backup(home, {}, lambda said: None), lambda home: offline_restore.restore_home(home, None, None, lambda told: True),
    lambda home: offline_restore.restore_home(home, None, None, lambda told: False, trial=True), maintenance.migrate_home, maintenance.repair_home,
    replica.promote_home, lambda home: runtime_launcher.runtime(home),
])  # fmt: skip
def test_in_the_home_of_another_nothing_is_written_or_started_and_it_can_be_read(
    backed_up: Path, act: Any, monkeypatch: pytest.MonkeyPatch
):
    (backed_up / "run").mkdir(exist_ok=True)
    before = {path for path in backed_up.rglob("*")}
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(Refused, match=f"the home {backed_up} belongs to .*, not to you. Nothing was done. As its owner: sudo -u"):
        act(os.fspath(backed_up))

    assert {path.name for path in {*backed_up.rglob("*")} - before} <= {"taskdeck.db-wal", "taskdeck.db-shm"}  # of who only reads
    assert read_only.read(os.fspath(backed_up), "show", {"id": 1})["number"] == 1 and len(backup_list.listed(os.fspath(backed_up))) == 1


@pytest.mark.parametrize("theirs", ["run", paths.DATABASE])
def test_a_home_that_is_anothers_in_part_is_none_of_ours(tmp_path: Path, theirs: str, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "run").mkdir()
    (tmp_path / paths.DATABASE).touch()
    real, mine = os.stat, os.geteuid()

    def stat(path: Any, **more: Any) -> os.stat_result:
        seen = real(path, **more)
        return seen if not str(path).endswith(theirs) else os.stat_result((*seen[:4], 4_000_000, *seen[5:10]))

    monkeypatch.setattr(os, "stat", stat)

    with pytest.raises(Refused) as refused:
        paths.refuse_strangers(tmp_path)
    said = f"the home {tmp_path} belongs in part to '#4000000', not to you. Nothing was done."
    assert str(refused.value) == f"{said} Give it to one of you: sudo chown -R {mine or 4_000_000}: {tmp_path}"


def test_a_folder_of_another_in_which_nothing_is_yet_may_become_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    paths.refuse_strangers(tmp_path)


def test_a_file_that_was_put_aside_and_is_damaged_is_told_as_that_and_not_as_the_database(backed_up: Path, tmp_path: Path):
    kept = Path(restored(backed_up, lambda told: True)["kept"])
    kept.write_bytes(b"\xff" * 8192)
    home, said = os.fspath(backed_up), f"^the database {kept.name} is damaged \\(file is not a database\\). Nothing was restored. Choose"

    for act in (
        lambda: offline_restore.restore_home(home, kept.name, None, lambda told: False, trial=True),
        lambda: offline_restore.restore_to(home, kept.name, None, os.fspath(tmp_path / "then.db")),
    ):
        with pytest.raises(Storage, match=said):
            act()


def test_a_folder_of_backups_that_is_a_link_to_nothing_is_told(backed_up: Path, tmp_path: Path):
    (backed_up / "backups").rename(tmp_path / "away")
    (backed_up / "backups").symlink_to("/nowhere")

    for look in (lambda home: backup_list.listed(home), lambda home: backup_list.verify(home, None)):
        with pytest.raises(Storage, match="the folder of the backups cannot be used: it is a link to /nowhere, which is not there"):
            look(os.fspath(backed_up))


def test_a_file_in_the_place_of_the_folder_of_backups_is_told(home: Path, database: Path):
    (home / "backups").write_text("in the way")

    with pytest.raises(Storage, match="the folder of the backups cannot be used: not a directory"):
        backup_list.verify(os.fspath(home), None)


def hurt(path: Path, table: str) -> None:
    """Write over the first page of a table."""
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


def test_a_database_that_is_damaged_is_not_up_to_date(backed_up: Path):
    assert maintenance.migrate_home(os.fspath(backed_up)) == []
    hurt(paths.database(backed_up), "events")

    with pytest.raises(DamagedDatabase, match="the database is damaged .* Newest good backup"):
        maintenance.migrate_home(os.fspath(backed_up))


def test_a_copy_whose_damage_is_no_text_is_a_copy_all_the_same(copy: Path):
    path = paths.replica(copy)
    path.write_bytes(path.read_bytes().replace(b"indexidx_tasks_ended", b"indexidx_tasks_e\xeeded"))

    with pytest.raises(Conflict, match="is the replica of another home"):
        refuse_copy(copy)


@pytest.fixture
def theirs(backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a backup of another home that was put among those of the home, and is newer."""
    other = tmp_path / "other"
    paths.make_home(other)
    prepare(other)
    submit(paths.database(other), "theirs")
    soon = timestamps.utcnow() + timedelta(seconds=5)
    with monkeypatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        taken = take(paths.database(other), other / "backups", Rules())
    shutil.copy(taken.path, backed_up / "backups")
    return taken.id


def strangers(home: Path) -> list[str]:
    return [one["id"] for one in backup_list.listed(os.fspath(home)) if one["stranger"]]


def test_a_backup_of_another_home_is_told_and_never_chosen(backed_up: Path, theirs: str, tmp_path: Path):
    home, other = os.fspath(backed_up), os.fspath(tmp_path / "other" / paths.DATABASE)

    (own,) = {one["id"] for one in backup_list.listed(home)} - {theirs}
    assert backup_picker.named(home, None, None)["id"] == own == take(paths.database(backed_up), backed_up / "backups", Rules()).base
    assert backup_list.verify(home, None)["strangers"] == [{"id": theirs, "of": other}] and strangers(backed_up) == [theirs]
    with pytest.raises(Conflict, match=f"the backup {theirs} is of another home \\({other}\\). Nothing was restored. Into a file: "):
        backup_picker.named(home, theirs, None)
    offline_restore.restore_to(home, theirs, None, os.fspath(tmp_path / "theirs.db"))
    assert names(tmp_path / "theirs.db") == ["theirs"]


def test_a_home_that_was_moved_knows_its_backups_and_one_without_a_database_takes_all(backed_up: Path, theirs: str, tmp_path: Path):
    moved = Path(shutil.copytree(backed_up, tmp_path / "moved"))
    paths.make_home(moved)

    assert strangers(moved) == [theirs]
    paths.database(moved).unlink()
    assert strangers(moved) == [] and len(backup_list.listed(os.fspath(moved))) == 2
    restored = offline_restore.restore_home(os.fspath(moved), backup_list.listed(os.fspath(moved))[0]["id"], None, lambda told: True)
    assert restored["restored"] and strangers(moved) == [theirs]


def test_a_home_stays_the_same_where_the_file_of_a_backup_of_another_is_restored(backed_up: Path, theirs: str):
    file = os.fspath(backed_up / "backups" / f"{theirs}.backup")

    assert offline_restore.restore_home(os.fspath(backed_up), file, None, lambda told: True)["restored"]

    assert strangers(backed_up) == [theirs] and "theirs" in names(paths.database(backed_up))


def test_a_backup_of_a_home_that_was_never_used_is_not_chosen_either(backed_up: Path, tmp_path: Path):
    fresh = tmp_path / "fresh"
    paths.make_home(fresh)
    prepare(fresh)
    soon = timestamps.utcnow() + timedelta(seconds=5)
    with pytest.MonkeyPatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        taken = take(paths.database(fresh), fresh / "backups", Rules())
    (own,) = (backed_up / "backups").glob("*.backup")
    shutil.copy(taken.path, backed_up / "backups")

    assert backup_picker.named(os.fspath(backed_up), None, None)["id"] == own.stem and strangers(backed_up) == [taken.id]
    shutil.copy(own, fresh / "backups")
    assert backup_picker.named(os.fspath(fresh), None, None)["id"] == taken.id and strangers(fresh) == [own.stem]


def test_no_backup_is_built_upon_one_of_another_home_and_that_is_never_pruned(
    backed_up: Path, theirs: str, monkeypatch: pytest.MonkeyPatch
):
    folder = backed_up / "backups"
    (folder / "manifest.jsonl").unlink()
    next(one for one in folder.glob("*.backup") if theirs not in one.name).unlink()

    for later in (timedelta(seconds=10), timedelta(days=3650), timedelta(days=3651)):
        moment = timestamps.utcnow() + later
        with monkeypatch.context() as clocks:
            clocks.setattr(timestamps, "utcnow", lambda moment=moment: moment)
            assert take(paths.database(backed_up), folder, Rules(keep=1.0)).kind == "full"
    assert strangers(backed_up) == [theirs] and (folder / f"{theirs}.backup").exists()


def test_a_restore_of_one_from_before_the_first_number_makes_no_other_home_of_it(tmp_path: Path):
    home = tmp_path / "home"
    paths.make_home(home)
    prepare(home)
    first = take(paths.database(home), home / "backups", Rules())
    submit(paths.database(home), "mine")
    last = take(paths.database(home), home / "backups", Rules(), full=True)

    assert offline_restore.restore_home(os.fspath(home), first.id, None, lambda told: True)["restored"]
    moved = Path(shutil.move(home, tmp_path / "moved"))

    assert strangers(moved) == [] and backup_picker.named(os.fspath(moved), None, None)["id"] == last.id


def test_a_counter_that_cannot_go_on_is_not_brought_over(backed_up: Path):
    with closing(sqlite3.connect(paths.database(backed_up))) as c:
        c.execute("UPDATE counters SET value = 9223372036854775807 WHERE name = 'task-number'")
        c.commit()

    assert restored(backed_up, lambda told: True)["carried"]["next"] <= 1002
    submit(paths.database(backed_up), "goes on")
