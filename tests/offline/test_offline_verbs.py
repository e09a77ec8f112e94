"""Tests of the verbs that need a stopped runtime: restore, repair, backup and reads."""

from __future__ import annotations

import errno
import json
import os
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
from app.core.ids import make_uuid7
from app.errors import Conflict, NotFound, Refused, Storage
from app.home import database_presence, restore_advice
from app.home.lock import RuntimeExists, hold_lock, is_held
from app.home.setup import prepare_database
from app.offline import backup as offline_backup
from app.offline import backup_list, backup_picker, maintenance, read_only, replica
from app.offline import replica as offline_replica
from app.offline import restore as offline_restore
from app.paths import refuse_replica
from db import timestamps
from db.backup.catalog import BackupCatalog, NoBackup
from db.backup.create import BackupRules, take_backup
from db.errors import DamagedDatabase, OlderDatabase
from db.maintenance import migrate
from db.restore import previous_databases, swap
from tests.db.builders import list_task_names, submit_task_to
from tests.db.maintenance.upgrades import add_later_revision, make_old_database, read_all_rows


@pytest.fixture(autouse=True)
def no_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))


@pytest.fixture
def backed_up_home(home: Path, database_path: Path) -> Path:
    """Return a home with one task, a backup, and a change since."""
    submit_task_to(database_path, "first")
    take_backup(database_path, home / "backups", BackupRules())
    with closing(sqlite3.connect(database_path)) as c:
        c.execute("UPDATE tasks SET priority = 7")
        c.commit()
    return home


@pytest.fixture
def earlier_database(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the database of the home, of the revision before that of the program."""
    path = Path(shutil.copy(make_old_database(tmp_path), paths.get_database_path(home)))
    add_later_revision(tmp_path, monkeypatch)
    return path


def read_priorities(home: Path) -> list[int]:
    with closing(sqlite3.connect(paths.get_database_path(home))) as c:
        return [priority for (priority,) in c.execute("SELECT priority FROM tasks ORDER BY number")]


def restore_latest(home: Path, agree: Any) -> dict[str, Any]:
    return offline_restore.restore_home(os.fspath(home), None, None, agree, is_interactive=True)


def test_the_home_is_not_locked_during_the_confirmation(backed_up_home: Path):
    asked: list[bool] = []

    def agree(told: dict[str, Any]) -> bool:
        with hold_lock(backed_up_home):
            asked.append(not list(backed_up_home.glob("*.restoring*")))
        return True

    assert restore_latest(backed_up_home, agree)["restored"] and asked == [True]
    assert read_priorities(backed_up_home) == [0] and not is_held(backed_up_home)


def test_a_declined_restore_changes_nothing(backed_up_home: Path):
    assert not restore_latest(backed_up_home, lambda told: False)["restored"]
    assert read_priorities(backed_up_home) == [7] and not list(backed_up_home.glob("*restor*"))


def test_changes_made_during_the_confirmation_are_not_overwritten(backed_up_home: Path):
    def agree(told: dict[str, Any]) -> bool:
        submit_task_to(paths.get_database_path(backed_up_home), "meanwhile")
        return True

    with pytest.raises(
        Conflict, match="the changes differ from those you confirmed. Nothing was restored"
    ):
        restore_latest(backed_up_home, agree)

    assert list_task_names(paths.get_database_path(backed_up_home)) == [
        "first",
        "meanwhile",
    ] and read_priorities(backed_up_home) == [7, 0]


def test_a_run_known_only_by_its_log_may_belong_to_any_task(backed_up_home: Path):
    # the clock was set back before the time of the backup
    log = Path(paths.get_log_path(backed_up_home, "00000000-0000-7000-8000-000000000000"))
    log.parent.mkdir()
    log.touch()
    swap.remove_database(paths.get_database_path(backed_up_home))

    carried = restore_latest(backed_up_home, lambda told: True)["carried"]

    assert (carried["unknown"], carried["held"]) == (1, 1)


def test_writes_of_a_running_runtime_are_not_missed(backed_up_home: Path):
    log = Path(paths.get_log_path(backed_up_home, make_uuid7()))
    log.parent.mkdir()
    log.write_text("said")

    def how() -> str:
        return offline_restore.restore_home(
            os.fspath(backed_up_home), None, None, lambda told: False, is_dry_run=True
        )["present"]

    with hold_lock(backed_up_home):
        assert how() == "whole"
    assert how() == "damaged"


def test_a_running_runtime_refuses_without_confirmation(backed_up_home: Path):
    with hold_lock(backed_up_home), pytest.raises(RuntimeExists, match="Nothing was restored"):
        restore_latest(backed_up_home, lambda told: pytest.fail("asked"))


@pytest.mark.parametrize("ending", swap.SIDE_SUFFIXES)
def test_a_leftover_log_beside_the_target_refuses_the_restore(
    backed_up_home: Path, tmp_path: Path, ending: str
):
    log = tmp_path / f"then.db{ending}"
    log.write_bytes(b"of another")

    with pytest.raises(Conflict, match=f"then.db{ending} already exists. Nothing was restored"):
        offline_restore.restore_to_file(
            os.fspath(backed_up_home), None, None, os.fspath(tmp_path / "then.db")
        )

    assert not (tmp_path / "then.db").exists() and log.read_bytes() == b"of another"


@pytest.fixture
def replica_home(home: Path, database_path: Path) -> Iterator[Path]:
    """Yield the folder of a replica of another home with one task."""
    submit_task_to(database_path, "copied")
    with (
        closing(sqlite3.connect(database_path)) as other,
        closing(sqlite3.connect(paths.get_replica_path(home))) as to,
    ):
        other.backup(to)
    swap.remove_database(database_path)
    yield home


def test_a_home_promoted_during_another_confirmation_is_not_replaced(replica_home: Path):
    told = offline_replica.describe_replica(os.fspath(replica_home))
    kept = paths.get_replica_path(replica_home).read_bytes()
    replica.promote_home(os.fspath(replica_home))
    submit_task_to(paths.get_database_path(replica_home), "since")
    paths.get_replica_path(replica_home).write_bytes(
        kept
    )  # the source home has created the replica again

    with pytest.raises(Conflict, match="is already a home"):
        replica.promote_home(os.fspath(replica_home))

    assert (
        told["running"] == []
        and list_task_names(paths.get_database_path(replica_home)) == ["copied", "since"]
        and paths.get_replica_path(replica_home).exists()
    )


@pytest.mark.parametrize("act", [maintenance.repair_home, maintenance.migrate_home])
def test_a_stale_restore_marker_is_removed_before_writing(
    home: Path, database_path: Path, act: Any
):
    mark = database_path.with_name(f"{database_path.name}.unfinished")
    mark.write_text(
        f"{database_path.stat().st_ino} {'0' * 64}"
        f" {database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}2026-11-26T000000.000000",
        "ascii",
    )

    act(os.fspath(home))

    assert not mark.exists()


DAMAGE = "PRAGMA ignore_check_constraints=ON; UPDATE queues SET status = 'actiwe'"


@pytest.mark.parametrize(
    ("verb", "change", "found"),
    [
        (
            "ls",
            f"{DAMAGE}; UPDATE tasks SET tags = '['",
            r"the database is damaged \(1 row breaks the rule of queues",
        ),
        (
            "ls",
            "UPDATE tasks SET tags = '['",
            r"the database has problems \(tasks.tags cannot be read where number = 1\)",
        ),
        (
            "status",
            "UPDATE counters SET value = 'many'",
            r"the database has problems \(counter tasks/default/queued says many",
        ),
        ("status", "DROP TABLE replicas", r"the database is damaged \(table replicas is missing"),
    ],
)
def test_a_damaged_file_is_reported_as_the_cause_of_a_failed_read(
    backed_up_home: Path, verb: str, change: str, found: str
):
    with closing(sqlite3.connect(paths.get_database_path(backed_up_home))) as c:
        c.executescript(change)

    with pytest.raises(Storage, match=found):
        read_only.read(os.fspath(backed_up_home), verb, {})


def test_an_invalid_rule_is_reported_and_stays(home: Path):
    prepare_database(home)
    with closing(sqlite3.connect(paths.get_database_path(home))) as c:
        row = (
            "1, 'late', '{\"preset\": \"fin\"}', '{}', 2, 1, '2026-11-25T10:00:00.000000Z',"
            " '2026-11-25T10:00:00.000000Z'"
        )
        c.executescript(
            "INSERT INTO slas (id, name, conditions, actions, priority, enabled, created_at,"
            f" updated_at) VALUES ({row})"
        )

    found = "slas.conditions cannot be read where name = 'late'"
    with pytest.raises(Storage, match=f"has problems .{found}"):
        read_only.read(os.fspath(home), "sla.ls", {})
    done = maintenance.repair_home(os.fspath(home))

    assert done == {"ok": False, "done": [], "problems": [found]}
    advice = maintenance.make_advice(os.fspath(home))
    assert advice.startswith("the database has values that cannot be read. There is no good backup")


def test_a_bare_database_is_repaired_and_a_missing_one_reported(
    database_path: Path, tmp_path: Path
):
    there = tmp_path / "there"
    with pytest.raises(NotFound, match="there is no database in .*there yet"):
        maintenance.repair_home(os.fspath(there))
    assert not there.exists()
    there.mkdir()
    shutil.copy(database_path, there)

    assert maintenance.repair_home(os.fspath(there)) == {"ok": True, "done": [], "problems": []}


def test_a_stop_marker_that_cannot_be_written_leaves_no_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        paths.write_stop_marker(home, "ann", "10:31")

    assert list((home / "run").iterdir()) == []


READING_VERBS = (
    "alert.ls", "board", "browse", "db.cleanup", "db.replica.status", "db.slow", "db.stats",
    "export", "history", "ls", "operations",
    "pool.ls", "queue.ls", "sla.ls", "status", "template.ls",
)  # fmt: skip
"""Verbs that read a whole home."""


def test_an_older_schema_is_read_or_refused_with_the_upgrade_command(
    home: Path, earlier_database: Path
):
    refused: set[str] = set()

    for verb in READING_VERBS:
        try:
            read_only.read(os.fspath(home), verb, {"dry_run": True} if verb == "db.cleanup" else {})
        except OlderDatabase as problem:
            refused.add(verb)
            assert (
                f"older version ({migrate.REVISIONS[-2]!r}, this program needs {migrate.HEAD!r})"
                in problem.message
            )
            assert "taskdeck db migrate" in problem.hint
    with pytest.raises(OlderDatabase):
        maintenance.repair_home(os.fspath(home))

    assert {"history", "db.slow"} <= refused and not {"ls", "operations", "queue.ls"} & refused
    assert maintenance.check_home(os.fspath(home)) == []
    maintenance.migrate_home(os.fspath(home))
    assert all(
        read_only.read(os.fspath(home), verb, {}) is not None
        for verb in refused - {"db.cleanup", "db.replica.status"}
    )


@pytest.mark.parametrize("named", [lambda copy: copy.name, os.fspath])
def test_the_pre_upgrade_copy_is_listed_and_restorable(
    home: Path, earlier_database: Path, named: Any
):
    path = earlier_database
    before = read_all_rows(path)
    maintenance.migrate_home(os.fspath(home))
    (copy,) = (home / "backups").iterdir()
    path.write_bytes(b"no database, " * 400)

    with pytest.raises(
        DamagedDatabase,
        match=(
            f"Newest good backup: .*, from before an upgrade. .*db restore --dry-run {copy.name}$"
        ),
    ):
        read_only.read(os.fspath(home), "ls", {})
    path.unlink()
    with pytest.raises(
        DamagedDatabase,
        match=f"the database is gone.*Bring it back: taskdeck db restore {copy.name}$",
    ):
        database_presence.check_database_present(home)
    then = timestamps.from_unix(copy.stat().st_mtime - 3600)
    for at, way_out in (
        (None, f"taskdeck db restore --dry-run {copy.name}"),
        (then, "List them: taskdeck db backups"),
    ):
        with pytest.raises(NoBackup, match="^there is no good backup") as told:
            offline_restore.restore_home(
                os.fspath(home), None, at, lambda told: True, is_dry_run=True
            )
        assert told.value.hint.endswith(way_out)
    done = offline_restore.restore_home(os.fspath(home), named(copy), None, lambda told: True)

    assert (
        done["restored"]
        and migrate.read_version(path) == migrate.HEAD
        and read_all_rows(path)["tasks"]
    )
    assert (
        len(read_all_rows(path)["tasks"]) == len(before["tasks"])
        and maintenance.check_home(os.fspath(home)) == []
    )
    assert [file["path"] for file in backup_list.find_kept(os.fspath(home))["files"]] == [
        os.fspath(copy)
    ]
    assert read_all_rows(copy) == before


def test_the_pre_upgrade_copy_is_verified_with_the_backups(home: Path, earlier_database: Path):
    maintenance.migrate_home(os.fspath(home))
    (copy,) = (home / "backups").iterdir()

    found = backup_list.verify_backups(os.fspath(home), None)
    assert backup.describe_findings(found) == [
        "no backups yet",
        f"{copy.name}, the copy kept by an upgrade, is good",
    ]
    with copy.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
    found = backup_list.verify_backups(os.fspath(home), None)

    assert (
        found["copies"][0]["problem"]
        and f"{copy.name}, the copy kept by an upgrade, is bad: "
        in backup.describe_findings(found)[-1]
    )
    assert [file.name for file in (home / "backups").iterdir()] == [copy.name]


def test_advice_prefers_a_backup_newer_than_the_pre_upgrade_copy(
    home: Path, earlier_database: Path
):
    maintenance.migrate_home(os.fspath(home))
    offline_backup.take_backup(os.fspath(home), {}, lambda text: None)

    told = restore_advice.advise_restore(home, DamagedDatabase("the database is damaged."))

    assert "upgrade" not in told.message and told.hint.endswith("taskdeck db restore --dry-run")


TRY_LOCK = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"


@pytest.mark.process
def test_the_program_after_a_backup_does_not_lock_the_home(backed_up_home: Path, tmp_path: Path):
    after = [sys.executable, "-c", TRY_LOCK, os.fspath(backed_up_home / "run" / paths.LOCK_FILE)]
    config = tmp_path / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backup]\nafter = {json.dumps(after)}\n")

    taken = offline_backup.take_backup(
        os.fspath(backed_up_home), {"full": True, "to": None}, lambda text: None
    )

    assert taken["after"] is None and taken["kind"] == "full" and not is_held(backed_up_home)


def test_a_clock_far_ahead_prunes_no_backup(backed_up_home: Path, monkeypatch: pytest.MonkeyPatch):
    now = timestamps.now()
    with closing(sqlite3.connect(paths.get_database_path(backed_up_home))) as c:
        c.execute(
            "INSERT INTO samples (kind, name, minute, running, waiting, started, ended, failed,"
            " created_at, updated_at) VALUES ('queue', 'default', ?, 0, 0, 0, 0, 0, ?, ?)",
            (now, now, now),
        )
        c.commit()
    (first,) = (backed_up_home / "backups").glob("*.backup")
    years_on = timestamps.utcnow() + timedelta(days=3650)
    monkeypatch.setattr(timestamps, "utcnow", lambda: years_on)

    for _ in range(3):
        offline_backup.take_backup(os.fspath(backed_up_home), {"full": True}, lambda said: None)

    assert first.exists()


def test_an_offline_backup_is_reported_offline(backed_up_home: Path):
    taken = offline_backup.take_backup(os.fspath(backed_up_home), {}, lambda text: None)

    told = read_only.read(os.fspath(backed_up_home), "status", {})["backup"]

    assert (told["at"], told["late"], told["gone"]) == (taken["at"], False, None)


def test_a_replaced_database_is_found_by_name_or_path(backed_up_home: Path, tmp_path: Path):
    kept = Path(restore_latest(backed_up_home, lambda told: True)["kept"])
    (tmp_path / "link").symlink_to(backed_up_home)

    for named in (kept.name, os.fspath(kept), os.fspath(tmp_path / "link" / kept.name)):
        assert (
            backup_picker.describe_choice(os.fspath(backed_up_home), named, None)["kind"] == "kept"
        )
    for elsewhere in (f"/nowhere/{kept.name}", os.fspath(tmp_path / kept.name)):
        with pytest.raises(NoBackup, match=f"there is no backup {elsewhere}"):
            backup_picker.describe_choice(os.fspath(backed_up_home), elsewhere, None)


@pytest.mark.parametrize("act", [
    lambda home: offline_backup.take_backup(home, {}, lambda said: None),
    lambda home: offline_restore.restore_home(home, None, None, lambda told: True),
    lambda home: offline_restore.restore_home(
        home, None, None, lambda told: False, is_dry_run=True
    ),
    maintenance.migrate_home, maintenance.repair_home,
    replica.promote_home, lambda home: runtime_launcher.ensure_runtime(home),
])  # fmt: skip
def test_a_home_of_another_user_is_read_only(
    backed_up_home: Path, act: Any, monkeypatch: pytest.MonkeyPatch
):
    (backed_up_home / "run").mkdir(exist_ok=True)
    before = {path for path in backed_up_home.rglob("*")}
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(
        Refused,
        match=f"the home {backed_up_home} belongs to .*, not to you. .* Run as the owner: sudo -u",
    ):
        act(os.fspath(backed_up_home))

    # files of a read-only connection
    assert {path.name for path in {*backed_up_home.rglob("*")} - before} <= {
        "taskdeck.db-wal",
        "taskdeck.db-shm",
    }
    assert (
        read_only.read(os.fspath(backed_up_home), "show", {"id": 1})["number"] == 1
        and len(backup_list.list_backups(os.fspath(backed_up_home))) == 1
    )


@pytest.mark.parametrize("theirs", ["run", paths.DATABASE])
def test_a_partly_foreign_home_is_refused(
    tmp_path: Path, theirs: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "run").mkdir()
    (tmp_path / paths.DATABASE).touch()
    real, mine = os.stat, os.geteuid()

    def stat(path: Any, **more: Any) -> os.stat_result:
        seen = real(path, **more)
        return (
            seen
            if not str(path).endswith(theirs)
            else os.stat_result((*seen[:4], 4_000_000, *seen[5:10]))
        )

    monkeypatch.setattr(os, "stat", stat)

    with pytest.raises(Refused) as refused:
        paths.refuse_foreign_home(tmp_path)
    said = f"the home {tmp_path} belongs in part to '#4000000', not to you. Nothing was done."
    assert (
        str(refused.value)
        == f"{said} Change the owner: sudo chown -R {mine or 4000000}: {tmp_path}"
    )


def test_damage_of_a_replaced_database_is_not_blamed_on_the_current_one(
    backed_up_home: Path, tmp_path: Path
):
    kept = Path(restore_latest(backed_up_home, lambda told: True)["kept"])
    kept.write_bytes(b"\xff" * 8192)
    home, said = (
        os.fspath(backed_up_home),
        (
            f"^the database {kept.name} is damaged \\(file is not a database\\). Nothing was"
            " restored. Choose"
        ),
    )

    for act in (
        lambda: offline_restore.restore_home(
            home, kept.name, None, lambda told: False, is_dry_run=True
        ),
        lambda: offline_restore.restore_to_file(
            home, kept.name, None, os.fspath(tmp_path / "then.db")
        ),
    ):
        with pytest.raises(Storage, match=said):
            act()


def test_a_dangling_backup_folder_link_is_reported(backed_up_home: Path, tmp_path: Path):
    (backed_up_home / "backups").rename(tmp_path / "away")
    (backed_up_home / "backups").symlink_to("/nowhere")

    for look in (
        lambda home: backup_list.list_backups(home),
        lambda home: backup_list.verify_backups(home, None),
    ):
        with pytest.raises(
            Storage,
            match=(
                "the folder of the backups cannot be used: it is a link to /nowhere,"
                " which does not exist"
            ),
        ):
            look(os.fspath(backed_up_home))


def test_a_file_in_place_of_the_backup_folder_is_reported(home: Path, database_path: Path):
    (home / "backups").write_text("in the way")

    with pytest.raises(Storage, match="the folder of the backups cannot be used: not a directory"):
        backup_list.verify_backups(os.fspath(home), None)


def damage_table(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = c.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


def test_a_damaged_database_is_not_up_to_date(backed_up_home: Path):
    assert maintenance.migrate_home(os.fspath(backed_up_home)) == []
    damage_table(paths.get_database_path(backed_up_home), "events")

    with pytest.raises(DamagedDatabase, match="the database is damaged .* Newest good backup"):
        maintenance.migrate_home(os.fspath(backed_up_home))


def test_a_replica_with_undecodable_damage_is_still_a_replica(replica_home: Path):
    path = paths.get_replica_path(replica_home)
    path.write_bytes(path.read_bytes().replace(b"indexidx_tasks_ended", b"indexidx_tasks_e\xeeded"))

    with pytest.raises(Conflict, match="is the replica of another home"):
        refuse_replica(replica_home)


@pytest.fixture
def foreign_backup(backed_up_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a newer backup that belongs to another home."""
    other = tmp_path / "other"
    paths.make_home(other)
    prepare_database(other)
    submit_task_to(paths.get_database_path(other), "theirs")
    soon = timestamps.utcnow() + timedelta(seconds=5)
    with monkeypatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        taken = take_backup(paths.get_database_path(other), other / "backups", BackupRules())
    shutil.copy(taken.path, backed_up_home / "backups")
    return taken.id


def list_foreign_backups(home: Path) -> list[str]:
    return [one["id"] for one in backup_list.list_backups(os.fspath(home)) if one["stranger"]]


def test_a_foreign_backup_is_listed_but_never_chosen(
    backed_up_home: Path, foreign_backup: str, tmp_path: Path
):
    home, other = os.fspath(backed_up_home), os.fspath(tmp_path / "other" / paths.DATABASE)

    (own,) = {one["id"] for one in backup_list.list_backups(home)} - {foreign_backup}
    assert (
        backup_picker.describe_choice(home, None, None)["id"]
        == own
        == take_backup(
            paths.get_database_path(backed_up_home), backed_up_home / "backups", BackupRules()
        ).base
    )
    assert backup_list.verify_backups(home, None)["strangers"] == [
        {"id": foreign_backup, "of": other}
    ] and list_foreign_backups(backed_up_home) == [foreign_backup]
    with pytest.raises(
        Conflict,
        match=f"the backup {foreign_backup} belongs to another home \\({other}\\).*"
        " To restore into a file: ",
    ):
        backup_picker.describe_choice(home, foreign_backup, None)
    offline_restore.restore_to_file(home, foreign_backup, None, os.fspath(tmp_path / "theirs.db"))
    assert list_task_names(tmp_path / "theirs.db") == ["theirs"]


def test_a_moved_home_keeps_its_backups_and_an_empty_one_takes_all(
    backed_up_home: Path, foreign_backup: str, tmp_path: Path
):
    moved = Path(shutil.copytree(backed_up_home, tmp_path / "moved"))
    paths.make_home(moved)

    assert list_foreign_backups(moved) == [foreign_backup]
    paths.get_database_path(moved).unlink()
    assert (
        list_foreign_backups(moved) == [] and len(backup_list.list_backups(os.fspath(moved))) == 2
    )
    restored = offline_restore.restore_home(
        os.fspath(moved),
        backup_list.list_backups(os.fspath(moved))[0]["id"],
        None,
        lambda told: True,
    )
    assert restored["restored"] and list_foreign_backups(moved) == [foreign_backup]


def test_a_home_stays_the_same_where_the_file_of_a_backup_of_another_is_restored(
    backed_up_home: Path, foreign_backup: str
):
    file = os.fspath(backed_up_home / "backups" / f"{foreign_backup}.backup")

    assert offline_restore.restore_home(os.fspath(backed_up_home), file, None, lambda told: True)[
        "restored"
    ]

    assert list_foreign_backups(backed_up_home) == [foreign_backup] and "theirs" in list_task_names(
        paths.get_database_path(backed_up_home)
    )


def test_a_backup_of_a_home_that_was_never_used_is_not_chosen_either(
    backed_up_home: Path, tmp_path: Path
):
    fresh = tmp_path / "fresh"
    paths.make_home(fresh)
    prepare_database(fresh)
    soon = timestamps.utcnow() + timedelta(seconds=5)
    with pytest.MonkeyPatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        taken = take_backup(paths.get_database_path(fresh), fresh / "backups", BackupRules())
    (own,) = (backed_up_home / "backups").glob("*.backup")
    shutil.copy(taken.path, backed_up_home / "backups")

    assert backup_picker.describe_choice(os.fspath(backed_up_home), None, None)[
        "id"
    ] == own.stem and list_foreign_backups(backed_up_home) == [taken.id]
    shutil.copy(own, fresh / "backups")
    assert backup_picker.describe_choice(os.fspath(fresh), None, None)[
        "id"
    ] == taken.id and list_foreign_backups(fresh) == [own.stem]


def test_a_missing_backup_names_the_newest_one_of_another_home(
    backed_up_home: Path, foreign_backup: str
):
    (own,) = (
        one
        for one in (backed_up_home / "backups").glob("*.backup")
        if foreign_backup not in one.name
    )
    own.unlink()
    (backed_up_home / "backups" / "manifest.jsonl").unlink()
    file = backed_up_home / "backups" / f"{foreign_backup}.backup"

    with pytest.raises(NoBackup, match=f"Another home's backup is there: {foreign_backup}") as told:
        backup_picker.describe_choice(os.fspath(backed_up_home), None, None)

    assert told.value.hint.endswith(f"taskdeck db restore {file}")


def test_a_backup_that_names_no_home_belongs_to_the_place_where_it_was_taken(
    backed_up_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other"
    paths.make_home(other)
    prepare_database(other)
    moments = (timestamps.utcnow() + timedelta(seconds=seconds) for seconds in (5, 10))
    for home, moment in zip((backed_up_home, other), moments, strict=True):
        monkeypatch.setattr(timestamps, "utcnow", lambda moment=moment: moment)
        with closing(sqlite3.connect(paths.get_database_path(home))) as c, c:
            (identity,) = c.execute("SELECT uuid, created_at, updated_at FROM home")
            c.execute("DELETE FROM home")
        taken = take_backup(paths.get_database_path(home), home / "backups", BackupRules())
        with closing(sqlite3.connect(paths.get_database_path(home))) as c, c:
            c.execute("INSERT INTO home (uuid, created_at, updated_at) VALUES (?, ?, ?)", identity)
    shutil.copy(taken.path, backed_up_home / "backups")

    assert list_foreign_backups(backed_up_home) == [taken.id]


def test_a_promoted_replica_uses_the_backups_of_its_parent_from_before(
    backed_up_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    origin, replica_home = paths.get_database_path(backed_up_home), tmp_path / "replica"
    paths.make_home(replica_home)
    with (
        closing(sqlite3.connect(origin)) as c,
        closing(sqlite3.connect(paths.get_replica_path(replica_home))) as to,
    ):
        c.backup(to)
    (before,) = (backed_up_home / "backups").glob("*.backup")
    replica.promote_home(os.fspath(replica_home))
    soon = timestamps.utcnow() + timedelta(seconds=5)
    with monkeypatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        after = take_backup(origin, backed_up_home / "backups", BackupRules(), full=True)
    shutil.copytree(backed_up_home / "backups", replica_home / "backups", dirs_exist_ok=True)

    assert backup_picker.describe_choice(os.fspath(replica_home), None, None)["id"] == before.stem
    assert list_foreign_backups(replica_home) == [after.id]
    catalog = BackupCatalog(replica_home / "backups", paths.get_database_path(replica_home))
    assert catalog.list_own() == []


def test_no_backup_is_built_upon_one_of_another_home_and_that_is_never_pruned(
    backed_up_home: Path, foreign_backup: str, monkeypatch: pytest.MonkeyPatch
):
    folder = backed_up_home / "backups"
    (folder / "manifest.jsonl").unlink()
    next(one for one in folder.glob("*.backup") if foreign_backup not in one.name).unlink()

    for later in (timedelta(seconds=10), timedelta(days=3650), timedelta(days=3651)):
        moment = timestamps.utcnow() + later
        with monkeypatch.context() as clocks:
            clocks.setattr(timestamps, "utcnow", lambda moment=moment: moment)
            assert (
                take_backup(
                    paths.get_database_path(backed_up_home), folder, BackupRules(keep=1.0)
                ).kind
                == "full"
            )
    assert (
        list_foreign_backups(backed_up_home) == [foreign_backup]
        and (folder / f"{foreign_backup}.backup").exists()
    )


def test_restoring_a_backup_from_before_the_first_number_keeps_the_identity(tmp_path: Path):
    home = tmp_path / "home"
    paths.make_home(home)
    prepare_database(home)
    first = take_backup(paths.get_database_path(home), home / "backups", BackupRules())
    submit_task_to(paths.get_database_path(home), "mine")
    last = take_backup(paths.get_database_path(home), home / "backups", BackupRules(), full=True)

    assert offline_restore.restore_home(os.fspath(home), first.id, None, lambda told: True)[
        "restored"
    ]
    moved = Path(shutil.move(home, tmp_path / "moved"))

    assert (
        list_foreign_backups(moved) == []
        and backup_picker.describe_choice(os.fspath(moved), None, None)["id"] == last.id
    )


def test_an_invalid_counter_is_not_carried_over(backed_up_home: Path):
    with closing(sqlite3.connect(paths.get_database_path(backed_up_home))) as c:
        c.execute("UPDATE counters SET value = 9223372036854775807 WHERE name = 'task-number'")
        c.commit()

    assert restore_latest(backed_up_home, lambda told: True)["carried"]["next"] <= 1002
    submit_task_to(paths.get_database_path(backed_up_home), "goes on")
