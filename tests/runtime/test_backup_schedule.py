"""The runtime takes backups by itself; while it does, and when it cannot, tasks go on."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.maintenance_settings import Backup as Settings
from app.runtime import backup_schedule
from app.runtime.backup_schedule import Backing
from app.runtime.dispatcher import Dispatcher
from app.runtime.periodic import Duties
from app.runtime.usage import Usage
from app.service import alerts
from app.service.context import Call
from app.service.database import backup_files, backups
from db import timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup.catalog import Store
from db.engine import Database
from db.queries import reads
from tests.long.backup import trials


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own config.toml is not ours to read."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))


@pytest.fixture
def backed(db: Database, home: Path) -> Backing:
    return Backing(db, home)


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home / "backups")


def later(monkeypatch: pytest.MonkeyPatch, **how_much: float) -> None:
    moment = timestamps.utcnow() + timedelta(**how_much)
    monkeypatch.setattr(timestamps, "utcnow", lambda: moment)


async def test_the_first_is_taken_at_once_and_the_next_when_its_time_has_come(
    backed: Backing, store: Store, monkeypatch: pytest.MonkeyPatch
):
    for hours in (0, 0.5, 0.6, 7, 0):
        later(monkeypatch, hours=hours)
        await backed.look(Settings())

    assert [one.kind for one in store.good()] == ["full", "increment", "increment"]
    assert backed.problems == {}


async def test_the_table_and_with_it_the_header_say_what_the_manifest_says(
    backed: Backing, store: Store, db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    for hours in (0, 2):
        later(monkeypatch, hours=hours)
        await backed.look(Settings())
    told = (
        "SELECT b.kind, b.file, p.file, b.created_at = b.verified_at FROM backups b "
        "LEFT JOIN backups p ON p.id = b.parent_id ORDER BY b.id"
    )
    full, increment = store.backups()
    rows = [("full", full.path.name, None, 1), ("increment", increment.path.name, full.path.name, 1)]
    assert await db.read(lambda c: [tuple(row) for row in c.exec_driver_sql(told)]) == rows

    await db.write(lambda c: c.exec_driver_sql("DELETE FROM backups"))  # as in a database that was restored
    await Backing(db, home).remember(Settings())
    assert await db.read(lambda c: [tuple(row) for row in c.exec_driver_sql(told)]) == rows
    assert await db.read(reads.newest_backup) == increment.at


async def test_none_is_taken_when_they_are_switched_off(backed: Backing, store: Store):
    await backed.look(Settings(enabled=False))

    assert store.backups() == [] and not store.folder.exists()


async def test_backups_of_another_home_in_the_same_folder_are_not_ours(
    backed: Backing, home: Path, tmp_path: Path, db: Database
):
    shared = Settings(folder=f"{tmp_path}/shared")
    other = tmp_path / "other"
    other.mkdir()
    await Backing(db, other).look(shared)

    await backed.look(shared)
    await backed.remember(shared)

    (ours,) = Store(backup_files.folder(home, shared)).backups()
    assert backed.problems == {} and await db.read(reads.newest_backup) == ours.at
    assert len(list((tmp_path / "shared").glob("*/*.backup"))) == 2


async def test_a_folder_that_cannot_be_used_is_an_alert_until_it_can_and_halts_nothing(
    db: Database, dispatcher: Dispatcher, home: Path, call: Call
):
    duties = Duties(db, dispatcher, Usage(home))
    (duty,) = [duty for duty in duties.table() if duty.name == "backup"]
    (home / "backups").write_text("in the way")

    await duties._guarded(duty)
    (alert,) = await alerts.ls(call)
    assert "folder of the backups cannot be used: not a directory" in str(alert) and dispatcher.halted is None

    (home / "backups").unlink()
    await duties._guarded(duty)
    assert not (home / "backups").exists(), "it is not tried again every minute"
    duties.backing._not_before -= backup_schedule.AGAIN
    await duties._guarded(duty)
    assert [one.verified for one in Store(home / "backups").backups()] == [True] and duties.backing.problems == {}


def in_the_way(home: Path) -> Path:
    """What keeps backups from being taken in the home."""
    folder = home / "backups"
    folder.write_text("in the way")
    return folder


async def test_an_alert_ends_with_a_backup_that_somebody_took_since(backed: Backing, call: Call, home: Path):
    folder = in_the_way(home)
    await backed.look(Settings())
    assert "cannot be used" in backed.problems["backup"]

    folder.unlink()
    await backups.backup(call)
    await backed.look(Settings())

    assert backed.problems == {}


async def test_one_that_was_found_bad_ends_no_alert(backed: Backing, home: Path, store: Store):
    await backed.look(Settings())
    backup_folder.mark_bad(store.folder, store.backups()[0].id, "it rotted")
    backed._failed = Settings()
    backed.problems["backup"] = "the backup could not be restored"

    await backed.look(Settings())

    assert list(backed.problems) == ["backup"]


async def test_when_the_only_one_is_found_bad_that_is_told_and_another_is_taken_at_once(
    backed: Backing, call: Call, db: Database, store: Store
):
    await backed.look(Settings())
    (first,) = store.backups()
    first.path.write_bytes(first.path.read_bytes()[:-1] + b"\0")
    assert backup_files.checked(call.home)["bad"]

    await backed.look(Settings())

    assert backed.problems == {"backup": f"the backup {first.id} is bad: its checksum is wrong; a new full one was taken"}
    bad, good = store.backups()
    assert (bad.verified, good.verified) == (False, True) and await db.read(reads.newest_backup) == good.at


async def test_an_older_one_that_is_found_bad_is_told_and_stands_in_the_table(
    backed: Backing, db: Database, store: Store, call: Call
):
    first = await backups.take_one(call, Settings(), full=True)
    await backups.take_one(call, Settings(), full=True)
    await backed.look(Settings())
    backup_folder.mark_bad(store.folder, first.id, "it rotted")

    await backed.look(Settings())

    assert backed.problems == {"backup": f"the backup {first.id} is bad: it rotted"} and len(store.backups()) == 2
    assert (await db.read(lambda c: c.exec_driver_sql("SELECT problem FROM backups").scalars().all())) == ["it rotted", None]


async def test_one_that_is_pruned_while_it_is_looked_at_is_not_told_as_bad(
    backed: Backing, call: Call, store: Store, monkeypatch: pytest.MonkeyPatch
):
    first = await backups.take_one(call, Settings(), full=True)
    await backups.take_one(call, Settings(), full=True)
    await backed.look(Settings())
    read, prune = tool.manifest, [lambda: backup_folder._prune(store.folder, first.id)]

    def reading(folder: str) -> Any:
        found = read(folder)
        if prune:
            prune.pop()()
        return found

    monkeypatch.setattr(tool, "manifest", reading)
    await backed.look(Settings())

    assert not prune and backed.problems == {} and len(store.backups()) == 1


async def test_other_settings_are_tried_at_once_after_one_that_could_not_be_taken(backed: Backing, home: Path, tmp_path: Path):
    await backed.look(Settings(folder="/proc/nope"))
    assert "/proc/nope" in backed.problems["backup"]
    await backed.look(Settings(folder="/proc/nope"))

    chosen = Settings(folder=f"{tmp_path}/there")
    await backed.look(chosen)

    assert backed.problems == {} and len(Store(backup_files.folder(home, chosen)).good()) == 1


async def test_a_folder_that_is_back_with_what_is_young_enough_ends_it(backed: Backing, home: Path, store: Store):
    await backed.look(Settings())
    store.folder.rename(home / "aside")
    folder = in_the_way(home)
    await backed.look(Settings())
    assert "cannot be used" in backed.problems["backup"]

    folder.unlink()
    (home / "aside").rename(folder)
    await backed.look(Settings())

    assert backed.problems == {} and len(store.good()) == 1


async def test_nothing_is_removed_of_the_backups_while_it_is_not_known_how_long_they_are_kept(
    backed: Backing, store: Store, monkeypatch: pytest.MonkeyPatch
):
    await backed.look(Settings())
    later(monkeypatch, days=40)

    await backed.look(Settings(keep=None))
    assert len(store.good()) == 2

    later(monkeypatch, days=2)
    await backed.look(Settings(keep=86400.0))
    assert len(store.good()) < 3


async def test_a_program_that_is_not_there_is_told_before_it_is_needed(backed: Backing, monkeypatch: pytest.MonkeyPatch):
    await backed.look(Settings())
    await backed.look(Settings(after=("/no/such/prog", "-a")))
    assert backed.problems == {
        "backup-program": "/no/such/prog, which is to be run after each backup ([backup] after in config.toml), is no program that is there"
    }
    later(monkeypatch, hours=2)
    await backed.look(Settings(after=("/no/such/prog", "-a")))
    assert list(backed.problems) == ["backup-program"] and backed._hook is None

    await backed.look(Settings(after=("true",)))
    assert backed.problems == {}


async def test_a_program_that_failed_is_no_longer_told_once_there_is_to_be_none(backed: Backing):
    await backed.look(Settings(after=("false",)))
    assert backed._hook is not None
    await backed._hook
    assert list(backed.problems) == ["backup-after"]

    await backed.look(Settings())

    assert backed.problems == {}


async def test_one_that_rotted_is_told_with_the_full_one_that_took_its_place(
    backed: Backing, store: Store, monkeypatch: pytest.MonkeyPatch
):
    await backed.look(Settings())
    (first,) = store.backups()
    first.path.write_bytes(first.path.read_bytes()[:-1] + b"\0")
    later(monkeypatch, hours=2)

    await backed.look(Settings())

    assert backed.problems == {"backup": f"the backup {first.id} is bad: its checksum is wrong; a new full one was taken"}
    assert store.find().kind == "full" and store.find().id != first.id


async def test_a_program_after_it_that_fails_is_told_until_it_does_not(backed: Backing, store: Store, monkeypatch: pytest.MonkeyPatch):
    await backed.look(Settings(after=("/bin/sh", "-c", "exit 4")))
    assert backed._hook is not None
    await backed._hook
    assert backed.problems == {"backup-after": "/bin/sh, which is run after a backup, exited 4"}

    later(monkeypatch, hours=1.5)
    await backed.look(Settings(after=("/bin/sh", "-c", "exit 0")))
    await backed._hook
    assert backed.problems == {} and trials.leftovers(store.folder) == set()


async def test_where_the_disk_of_the_folder_is_not_mounted_nothing_is_put_below_it(backed: Backing, home: Path, tmp_path: Path):
    disk, config = tmp_path / "disk", tmp_path / "taskdeck" / "config.toml"
    disk.mkdir()
    config.parent.mkdir()
    config.write_text(f'[backup]\nfolder = "{disk}/backups"\n')
    chosen = Settings(folder=f"{disk}/backups")
    await backed.look(chosen)
    assert backed.problems == {} and len(os.listdir(disk / "backups")) == 1

    disk.rename(tmp_path / "away")
    disk.mkdir()
    await backed.look(chosen)
    assert backed.problems["backup"].startswith(f"the folder of the backups is gone: {disk}/backups. Is its disk mounted?")
    assert os.listdir(disk) == []

    disk.rmdir()
    (tmp_path / "away").rename(disk)
    await backed.look(chosen)
    assert backed.problems == {}

    config.touch()
    await backed.look(other := Settings(folder=f"{disk}/others"))
    assert backed.problems == {} and len(Store(backup_files.folder(home, other)).good()) == 1, "the settings were changed since"


async def test_the_first_in_a_folder_is_taken_though_its_settings_were_copied_with_an_old_time(
    backed: Backing, home: Path, tmp_path: Path
):
    await backed.look(Settings())
    disk, config = tmp_path / "disk", tmp_path / "taskdeck" / "config.toml"
    disk.mkdir()
    config.parent.mkdir()
    config.write_text(f'[backup]\nfolder = "{disk}"\n')
    os.utime(config, (0, 0))

    await backed.look(chosen := Settings(folder=os.fspath(disk)))

    assert backed.problems == {} and len(Store(backup_files.folder(home, chosen)).good()) == 1
