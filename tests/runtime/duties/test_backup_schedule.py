"""Scheduled backups: tasks continue during a backup and after a failed one."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.maintenance_settings import BackupSettings as Settings
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties import backup_schedule
from app.runtime.duties.backup_schedule import BackupScheduler
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.service import alerts
from app.service.context import Call
from app.service.database import backup_files, backups
from db import timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup.catalog import BackupCatalog
from db.engine import Database
from db.queries.home.backups import find_newest_good
from tests.long.backup import step_database, trials


@pytest.fixture(autouse=True)
def no_user_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's own config.toml."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))


@pytest.fixture
def scheduler(db: Database, home: Path) -> BackupScheduler:
    return BackupScheduler(db, home)


@pytest.fixture
def catalog(home: Path) -> BackupCatalog:
    return BackupCatalog(home / "backups")


def advance_clock(monkeypatch: pytest.MonkeyPatch, **how_much: float) -> None:
    moment = timestamps.utcnow() + timedelta(**how_much)
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment)


async def read_newest_time(db: Database) -> str | None:
    """Return the time of the newest good backup in the table of backups."""
    newest = await db.read(find_newest_good)
    return newest.created_at if newest else None


async def test_the_first_backup_is_taken_at_once_and_the_next_when_due(
    scheduler: BackupScheduler, catalog: BackupCatalog, monkeypatch: pytest.MonkeyPatch
):
    for hours in (0, 0.5, 0.6, 7, 0):
        advance_clock(monkeypatch, hours=hours)
        await scheduler.take_if_due(Settings())

    assert [one.kind for one in catalog.list_good()] == ["full", "increment", "increment"]
    assert scheduler.problems == {}


async def test_the_full_backup_of_the_day_finds_indexes_that_differ_from_rows(
    scheduler: BackupScheduler, call: Call
):
    step_database.change_behind_index(
        call.db.path, "idx_queues_priority", "UPDATE queues SET priority = 7"
    )
    assert (await backups.backup(call, full=True))["verified"]
    (call.home / "backups").rename(call.home / "apart")

    await scheduler.take_if_due(Settings())

    assert "missing from index idx_queues_priority" in scheduler.problems["backup"]


async def test_the_table_matches_the_manifest_and_fills_the_header(
    scheduler: BackupScheduler,
    catalog: BackupCatalog,
    db: Database,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for hours in (0, 2):
        advance_clock(monkeypatch, hours=hours)
        await scheduler.take_if_due(Settings())
    told = (
        "SELECT b.kind, b.file, p.file, b.created_at = b.verified_at FROM backups b "
        "LEFT JOIN backups p ON p.id = b.parent_id ORDER BY b.id"
    )
    full, increment = catalog.list_backups()
    rows = [
        ("full", full.path.name, None, 1),
        ("increment", increment.path.name, full.path.name, 1),
    ]
    assert await db.read(lambda c: [tuple(row) for row in c.exec_driver_sql(told)]) == rows

    await db.write(lambda c: c.exec_driver_sql("DELETE FROM backups"))  # as in a restored database
    await BackupScheduler(db, home).store_existing(Settings())
    assert await db.read(lambda c: [tuple(row) for row in c.exec_driver_sql(told)]) == rows
    assert await read_newest_time(db) == increment.at


async def test_no_backup_is_taken_when_backups_are_disabled(
    scheduler: BackupScheduler, catalog: BackupCatalog
):
    await scheduler.take_if_due(Settings(enabled=False))

    assert catalog.list_backups() == [] and not catalog.folder.exists()


async def test_backups_of_another_home_in_the_same_folder_do_not_count(
    scheduler: BackupScheduler, home: Path, tmp_path: Path, db: Database
):
    shared = Settings(folder=f"{tmp_path}/shared")
    other = tmp_path / "other"
    other.mkdir()
    await BackupScheduler(db, other).take_if_due(shared)

    await scheduler.take_if_due(shared)
    await scheduler.store_existing(shared)

    (ours,) = BackupCatalog(backup_files.get_folder(home, shared)).list_backups()
    assert scheduler.problems == {} and await read_newest_time(db) == ours.at
    assert len(list((tmp_path / "shared").glob("*/*.backup"))) == 2


async def test_an_unusable_folder_is_an_alert_and_halts_nothing(
    db: Database, dispatcher: Dispatcher, home: Path, call: Call
):
    duties = Duties(db, dispatcher, UsageSampler(home))
    (duty,) = [duty for duty in duties.list_duties() if duty.name == "backup"]
    (home / "backups").write_text("in the way")

    await duties._run_duty(duty)
    (alert,) = await alerts.ls(call)
    assert (
        "folder of the backups cannot be used: not a directory" in str(alert)
        and dispatcher.halted is None
    )

    (home / "backups").unlink()
    await duties._run_duty(duty)
    assert not (home / "backups").exists(), "it is not tried again every minute"
    duties.backups._retry_after -= backup_schedule.RETRY_DELAY
    await duties._run_duty(duty)
    assert [one.verified for one in BackupCatalog(home / "backups").list_backups()] == [
        True
    ] and duties.backups.problems == {}


def block_backup_folder(home: Path) -> Path:
    folder = home / "backups"
    folder.write_text("in the way")
    return folder


async def test_a_manual_backup_ends_the_alert(scheduler: BackupScheduler, call: Call, home: Path):
    folder = block_backup_folder(home)
    await scheduler.take_if_due(Settings())
    assert "cannot be used" in scheduler.problems["backup"]

    folder.unlink()
    await backups.backup(call)
    await scheduler.take_if_due(Settings())

    assert scheduler.problems == {}


async def test_a_backup_found_bad_does_not_end_the_alert(
    scheduler: BackupScheduler, home: Path, catalog: BackupCatalog
):
    await scheduler.take_if_due(Settings())
    backup_folder.mark_bad(catalog.folder, catalog.list_backups()[0].id, "it rotted")
    scheduler._failed_settings = Settings()
    scheduler.problems["backup"] = "the backup could not be restored"

    await scheduler.take_if_due(Settings())

    assert list(scheduler.problems) == ["backup"]


async def test_a_bad_only_backup_is_reported_and_replaced_at_once(
    scheduler: BackupScheduler, call: Call, db: Database, catalog: BackupCatalog
):
    await scheduler.take_if_due(Settings())
    (first,) = catalog.list_backups()
    trials.flip_last_byte(first.path)
    assert backup_files.check_backups(call.home)["bad"]

    await scheduler.take_if_due(Settings())

    assert scheduler.problems == {
        "backup": f"the backup {first.id} is bad: its checksum is wrong; a new full one was taken"
    }
    bad, good = catalog.list_backups()
    assert (bad.verified, good.verified) == (False, True)
    assert await read_newest_time(db) == good.at


async def test_an_older_bad_backup_is_reported_and_recorded(
    scheduler: BackupScheduler, db: Database, catalog: BackupCatalog, call: Call
):
    first = await backups.take_one_backup(call, Settings(), full=True)
    await backups.take_one_backup(call, Settings(), full=True)
    await scheduler.take_if_due(Settings())
    backup_folder.mark_bad(catalog.folder, first.id, "it rotted")

    await scheduler.take_if_due(Settings())

    assert (
        scheduler.problems == {"backup": f"the backup {first.id} is bad: it rotted"}
        and len(catalog.list_backups()) == 2
    )
    assert (
        await db.read(lambda c: c.exec_driver_sql("SELECT problem FROM backups").scalars().all())
    ) == ["it rotted", None]


async def test_a_backup_pruned_during_its_check_is_not_reported_as_bad(
    scheduler: BackupScheduler, call: Call, catalog: BackupCatalog, monkeypatch: pytest.MonkeyPatch
):
    first = await backups.take_one_backup(call, Settings(), full=True)
    await backups.take_one_backup(call, Settings(), full=True)
    await scheduler.take_if_due(Settings())
    read, prune = (
        tool.read_manifest,
        [lambda: backup_folder._prune_backup(catalog.folder, first.id)],
    )

    def reading(folder: str) -> Any:
        found = read(folder)
        if prune:
            prune.pop()()
        return found

    monkeypatch.setattr(tool, "read_manifest", reading)
    await scheduler.take_if_due(Settings())

    assert not prune and scheduler.problems == {} and len(catalog.list_backups()) == 1


async def test_changed_settings_are_tried_at_once_after_a_failure(
    scheduler: BackupScheduler, home: Path, tmp_path: Path
):
    await scheduler.take_if_due(Settings(folder="/proc/nope"))
    assert "/proc/nope" in scheduler.problems["backup"]
    await scheduler.take_if_due(Settings(folder="/proc/nope"))

    chosen = Settings(folder=f"{tmp_path}/there")
    await scheduler.take_if_due(chosen)

    assert (
        scheduler.problems == {}
        and len(BackupCatalog(backup_files.get_folder(home, chosen)).list_good()) == 1
    )


async def test_a_returned_folder_with_a_recent_backup_ends_the_alert(
    scheduler: BackupScheduler, home: Path, catalog: BackupCatalog
):
    await scheduler.take_if_due(Settings())
    catalog.folder.rename(home / "aside")
    folder = block_backup_folder(home)
    await scheduler.take_if_due(Settings())
    assert "cannot be used" in scheduler.problems["backup"]

    folder.unlink()
    (home / "aside").rename(folder)
    await scheduler.take_if_due(Settings())

    assert scheduler.problems == {} and len(catalog.list_good()) == 1


async def test_no_backup_is_removed_while_the_retention_is_unknown(
    scheduler: BackupScheduler, catalog: BackupCatalog, monkeypatch: pytest.MonkeyPatch
):
    await scheduler.take_if_due(Settings())
    advance_clock(monkeypatch, days=40)

    await scheduler.take_if_due(Settings(keep=None))
    assert len(catalog.list_good()) == 2

    advance_clock(monkeypatch, days=2)
    await scheduler.take_if_due(Settings(keep=86400.0))
    assert len(catalog.list_good()) < 3


async def test_a_missing_program_is_reported_before_it_is_needed(
    scheduler: BackupScheduler, monkeypatch: pytest.MonkeyPatch
):
    await scheduler.take_if_due(Settings())
    await scheduler.take_if_due(Settings(after=("/no/such/prog", "-a")))
    assert scheduler.problems == {
        "backup-program": (
            "/no/such/prog, the program to run after each backup ([backup] after in config.toml),"
            " was not found"
        )
    }
    advance_clock(monkeypatch, hours=2)
    await scheduler.take_if_due(Settings(after=("/no/such/prog", "-a")))
    assert list(scheduler.problems) == ["backup-program"] and scheduler._hook_task is None

    await scheduler.take_if_due(Settings(after=("true",)))
    assert scheduler.problems == {}


async def test_a_failed_program_is_reported_until_it_is_unset(scheduler: BackupScheduler):
    await scheduler.take_if_due(Settings(after=("false",)))
    assert scheduler._hook_task is not None
    await scheduler._hook_task
    assert list(scheduler.problems) == ["backup-after"]

    await scheduler.take_if_due(Settings())

    assert scheduler.problems == {}


async def test_a_decayed_backup_is_reported_with_its_replacement(
    scheduler: BackupScheduler, catalog: BackupCatalog, monkeypatch: pytest.MonkeyPatch
):
    await scheduler.take_if_due(Settings())
    (first,) = catalog.list_backups()
    trials.flip_last_byte(first.path)
    advance_clock(monkeypatch, hours=2)

    await scheduler.take_if_due(Settings())

    assert scheduler.problems == {
        "backup": f"the backup {first.id} is bad: its checksum is wrong; a new full one was taken"
    }
    assert catalog.find_backup().kind == "full" and catalog.find_backup().id != first.id


async def test_a_failing_program_is_reported_until_it_succeeds(
    scheduler: BackupScheduler, catalog: BackupCatalog, monkeypatch: pytest.MonkeyPatch
):
    await scheduler.take_if_due(Settings(after=("/bin/sh", "-c", "exit 4")))
    assert scheduler._hook_task is not None
    await scheduler._hook_task
    assert scheduler.problems == {"backup-after": "/bin/sh, which is run after a backup, exited 4"}

    advance_clock(monkeypatch, hours=1.5)
    await scheduler.take_if_due(Settings(after=("/bin/sh", "-c", "exit 0")))
    await scheduler._hook_task
    assert scheduler.problems == {} and trials.find_leftovers(catalog.folder) == set()


async def test_nothing_is_written_below_an_unmounted_folder(
    scheduler: BackupScheduler, home: Path, tmp_path: Path
):
    disk, config = tmp_path / "disk", tmp_path / "taskdeck" / "config.toml"
    disk.mkdir()
    config.parent.mkdir()
    config.write_text(f'[backup]\nfolder = "{disk}/backups"\n')
    chosen = Settings(folder=f"{disk}/backups")
    await scheduler.take_if_due(chosen)
    assert scheduler.problems == {} and len(os.listdir(disk / "backups")) == 1

    disk.rename(tmp_path / "away")
    disk.mkdir()
    await scheduler.take_if_due(chosen)
    assert scheduler.problems["backup"].startswith(
        f"the backup folder is gone: {disk}/backups. Mount its disk"
    )
    assert os.listdir(disk) == []

    disk.rmdir()
    (tmp_path / "away").rename(disk)
    await scheduler.take_if_due(chosen)
    assert scheduler.problems == {}

    config.touch()
    await scheduler.take_if_due(other := Settings(folder=f"{disk}/others"))
    assert (
        scheduler.problems == {}
        and len(BackupCatalog(backup_files.get_folder(home, other)).list_good()) == 1
    ), "the settings were changed since"


async def test_a_new_folder_gets_a_backup_although_settings_have_an_old_time(
    scheduler: BackupScheduler, home: Path, tmp_path: Path
):
    await scheduler.take_if_due(Settings())
    disk, config = tmp_path / "disk", tmp_path / "taskdeck" / "config.toml"
    disk.mkdir()
    config.parent.mkdir()
    config.write_text(f'[backup]\nfolder = "{disk}"\n')
    os.utime(config, (0, 0))

    await scheduler.take_if_due(chosen := Settings(folder=os.fspath(disk)))

    assert (
        scheduler.problems == {}
        and len(BackupCatalog(backup_files.get_folder(home, chosen)).list_good()) == 1
    )
