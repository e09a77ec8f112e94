"""Backup verbs: taking by settings, verifying, reporting, and the program run afterwards."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shlex
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli.commands.db import backup
from app.core.maintenance_settings import BackupSettings
from app.errors import Conflict, Usage
from app.home import restore_advice
from app.service import operations as log
from app.service.context import Call
from app.service.database import backup_files, backups
from db.backup import create as backup_create
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import BackupCatalog, NoBackup
from db.errors import DamagedDatabase, DiskFull, Storage
from db.maintenance import migrate
from tests.long.backup import trials
from tests.service.calls import execute_sql, submit_task

WriteConfig = Callable[[str], None]


@pytest.fixture(autouse=True)
def write_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteConfig:
    """Return a function that writes config.toml, which is missing until then."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()

    def write(text: str) -> None:
        path.write_text(text)

    return write


def make_clean_report(checked: int) -> dict[str, Any]:
    """Return the verify answer of `checked` good backups."""
    return {"checked": checked, "bad": [], "odd": [], "strangers": [], "damaged_lines": []}


async def test_a_backup_is_stored_in_the_home_with_the_definitions(call: Call):
    for _ in range(3):
        await submit_task(call)

    row = await backups.backup(call)

    found = BackupCatalog(call.home / "backups").find_backup(row["id"])
    assert json.loads(json.dumps(row)) == row and (row["kind"], row["verified"], row["after"]) == (
        "full",
        True,
        None,
    )
    assert Path(row["path"]) == found.path == call.home / "backups" / f"{row['id']}.backup"
    assert (found.facts["rows"]["tasks"], found.facts["highest"], found.facts["revision"]) == (
        3,
        3,
        migrate.HEAD,
    )
    assert found.facts["newest_task"].startswith("#3 ") and found.facts["last_event"] > 0
    assert "[pools.default]" in (found.path.parent / f"definitions-{row['id']}.toml").read_text()


async def test_unwritable_definitions_do_not_prevent_a_backup(call: Call):
    await execute_sql(call, "UPDATE pools SET total_cpu = 'x'")

    row = await backups.backup(call)

    assert row["verified"] and not list(Path(row["path"]).parent.glob("definitions-*"))


async def test_a_backup_includes_config_toml(call: Call, write_config: WriteConfig):
    write_config('theme = "dark"\n')

    row = await backups.backup(call)

    assert (call.home / "backups" / f"config-{row['id']}.toml").read_text() == 'theme = "dark"\n'


async def test_the_folder_comes_from_the_settings_or_the_request(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config(f'[backup]\nfolder = "{tmp_path}/there"\n')

    first = await backups.backup(call)
    other = await backups.backup(call, to=f"{tmp_path}/elsewhere")

    assert Path(first["path"]).parents[1] == tmp_path / "there" and other["path"].startswith(
        f"{tmp_path}/elsewhere/"
    )
    assert [row["id"] for row in await backups.list_all(call)] == [first["id"]] and other[
        "kind"
    ] == "full"
    with pytest.raises(Usage, match="absolute path"):
        await backups.backup(call, to="elsewhere")


async def test_no_folder_is_created_below_a_missing_parent(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config(f'[backup]\nfolder = "{tmp_path}/disk/there"\n')
    said = f"there is no folder {tmp_path}/disk to create there in. No backup was taken."

    for to in (None, f"{tmp_path}/disk/there"):
        with pytest.raises(Conflict, match=re.escape(said)) as problem:
            await backups.backup(call, to=to)
        assert problem.value.hint.startswith("Mount its disk") and not (tmp_path / "disk").exists()
    (tmp_path / "disk").mkdir()

    assert (await backups.backup(call))["verified"] and (
        await backups.backup(call, to=f"{tmp_path}/disk/elsewhere")
    )["verified"]


async def test_only_settings_that_concern_the_folder_prevent_backups(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config('[backup]\nkep = "14d"\nfull = 7\n')

    row = await backups.backup(call)

    assert [one["id"] for one in backup_files.list_backups(call.home)] == [
        row["id"]
    ] and backup_files.read_settings().keep is None
    assert backup_files.check_backups(call.home)["bad"] == []
    write_config('[backup]\nfolder = "there"\n')
    for ask in (
        backup_files.read_settings,
        lambda: backup_files.list_backups(call.home),
        lambda: backup_files.check_backups(call.home),
    ):
        with pytest.raises(
            Usage,
            match=(
                "backup.folder: must be an absolute path. The backup folder is therefore unknown."
            ),
        ):
            ask()
    assert (await backups.backup(call, to=f"{tmp_path}/elsewhere"))["verified"]


async def test_homes_with_the_same_settings_use_separate_subfolders(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config(f'[backup]\nfolder = "{tmp_path}/there"\n')
    other = tmp_path / "other" / call.home.name
    other.mkdir(parents=True)
    (tmp_path / "link").symlink_to(call.home)

    row = await backups.backup(call)

    mine = Path(row["path"]).parent
    assert (
        mine.parent == tmp_path / "there"
        and mine.name.startswith(f"{call.home.name}-")
        and (mine / "restore.py").is_file()
    )
    assert (
        len(backup_files.list_backups(call.home)) == 1
        and backup_files.list_backups(other) == []
        and restore_advice.find_newest_backup(other) is None
    )
    assert (
        backup_files.get_folder(tmp_path / "link", backup_files.read_settings())
        == mine
        == restore_advice.find_backup_folder(call.home)
    )
    assert backup_files.get_folder(other, backup_files.read_settings()).parent == mine.parent


async def test_backups_left_in_the_home_are_reported_after_a_folder_change(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    assert backup_files.find_left_behind(call.home) is None
    await backups.backup(call)
    last = await backups.backup(call)
    assert backup_files.find_left_behind(call.home) is None
    write_config(f'theme = "nope"\n[backup]\nfolder = "{tmp_path}/there"\n')

    assert backup_files.find_left_behind(call.home) == {
        "path": last["path"],
        "good": 2,
        "at": last["at"],
    }
    said = backup._explain_no_backup({"path": "/a home/it's/x.backup", "good": 1, "at": last["at"]})
    assert said.startswith(
        "no backups yet in the folder of config.toml, but /a home/it's has 1 good one, the newest"
        " of "
    )
    assert shlex.split(said.rpartition(": ")[2]) == [
        "taskdeck",
        "db",
        "restore",
        "/a home/it's/x.backup",
    ]
    await backups.backup(call)
    assert backup_files.find_left_behind(call.home) is None


async def test_a_missing_folder_is_reported_never_as_an_absence_of_backups(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config(f'[backup]\nfolder = "{tmp_path}/disk/there"\n')
    asks = (
        backup_files.list_backups,
        backup_files.check_backups,
        lambda home: backup_files.open_store_for(home, None),
    )

    def each_is_told(said: str) -> None:
        for ask in asks:
            with pytest.raises(Storage, match=said):
                ask(call.home)

    each_is_told(f"the backup folder is out of reach: there is no {tmp_path}/disk. Mount its disk")
    (tmp_path / "disk").mkdir()
    assert (
        backup_files.list_backups(call.home) == []
        and backup_files.check_backups(call.home)["checked"] == 0
    )
    taken = await backups.backup(call)
    await backups.update_table(call, Path(taken["path"]).parent)
    (tmp_path / "disk").rename(tmp_path / "away")
    each_is_told("is out of reach")
    damage = restore_advice.advise_restore(call.home, DamagedDatabase("it is damaged."))
    assert damage.message.startswith(
        "it is damaged. No backup of it can be seen: the backup folder is out of reach"
    )
    (tmp_path / "disk").mkdir()
    each_is_told(f"the backup folder is gone: {tmp_path}/disk/there/")
    elsewhere = f"{tmp_path}/away/{Path(taken['path']).relative_to(tmp_path / 'disk')}"
    assert backup_files.check_backups(call.home, elsewhere) == make_clean_report(1)


async def test_verify_skips_foreign_files_with_similar_names(call: Call):
    await backups.backup(call)
    (call.home / "backups" / ".verifying.image").mkdir()

    assert (await backups.verify(call))["bad"] == []


async def test_only_changes_are_stored_unless_a_full_backup_is_requested(call: Call):
    first, second = await backups.backup(call), await backups.backup(call)
    third = await backups.backup(call, full=True)

    assert [row["kind"] for row in (first, second, third)] == [
        "full",
        "increment",
        "full",
    ] and second["base"] == first["id"]
    assert await backups.list_all(call) == [
        {name: row[name] for name in row if name != "after"} for row in (first, second, third)
    ]


async def test_the_operation_log_names_who_requested_a_backup(runtime_call: Call):
    row = await backups.backup(runtime_call)

    (operation,) = [one for one in await log.ls(runtime_call) if one["verb"] == "db backup"]
    assert (operation["by"], operation["object"]) == ("ann", f"backup {row['id']}")


@pytest.mark.process
async def test_the_program_gets_the_folder_as_its_last_argument(
    call: Call, write_config: WriteConfig, tmp_path: Path
):
    write_config(f"""[backup]\nafter = ["/bin/sh", "-c", 'ls "$1" > {tmp_path}/seen', "sh"]\n""")

    row = await backups.backup(call)

    assert row["after"] is None and f"{row['id']}.backup" in (tmp_path / "seen").read_text()


@pytest.mark.process
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            '["/bin/sh", "-c", "echo no such host >&2; exit 3"]',
            "/bin/sh, which is run after a backup, exited 3: no such host",
        ),
        (
            '["/nowhere/rsync"]',
            (
                "/nowhere/rsync, which is run after a backup, cannot be started: no such file or"
                " directory"
            ),
        ),
    ],
)
async def test_a_failing_program_is_reported_and_the_backup_is_good(
    call: Call, write_config: WriteConfig, argv: str, said: str
):
    write_config(f"[backup]\nafter = {argv}\n")

    row = await backups.backup(call)

    assert row["after"] == said and row["verified"]


@pytest.mark.process
async def test_a_failing_program_is_reported_once_and_logged(
    runtime_call: Call, write_config: WriteConfig
):
    write_config('[backup]\nafter = ["/bin/false"]\n')
    told: list[str] = []

    row = await backups.backup(replace(runtime_call, note=told.append))

    assert row["after"] == "/bin/false, which is run after a backup, exited 1" and told == []
    (operation,) = [one for one in await log.ls(runtime_call) if one["verb"] == "db backup after"]
    assert operation["object"] == f"backup {row['id']}" and operation["after"] == {
        "problem": row["after"]
    }


@pytest.mark.process
async def test_a_wait_for_a_slow_program_is_announced(
    call: Call, write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    os.mkfifo(tmp_path / "gate")
    write_config(f"""[backup]\nafter = ["/bin/sh", "-c", 'read word < {tmp_path}/gate']\n""")
    monkeypatch.setattr(backups, "NOTICE_DELAY", 0.01)
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        (tmp_path / "gate").write_text("go\n")

    row = await backups.backup(replace(call, note=note))

    assert row["after"] is None
    assert told == [f"backup {row['id']} is complete; waiting for the after-program /bin/sh"]


async def test_previous_databases_expire_with_the_backup_rule(
    call: Call, write_config: WriteConfig
):
    path = call.db.path
    days = ("2020-01-02", "2020-01-01", "2020-01-03")
    old, older, newest = (
        path.with_name(f"{path.name}.before-restore-{day}T000000.000000") for day in days
    )
    for one in (old, older, newest):
        one.write_bytes(b"x" * 10)

    await backups.backup(call, to=f"{call.home}/else")
    found = backup_files.list_kept(call.home)
    assert [file["path"] for file in found["files"]] == [
        str(older),
        str(old),
        str(newest),
    ] and found["keep"] == 30 * 86400
    await backups.backup(call)

    assert [file["path"] for file in backup_files.list_kept(call.home)["files"]] == [str(newest)]
    write_config('[backup]\nkeep = "7d"\n')
    assert backup_files.list_kept(call.home)["keep"] == 7 * 86400


async def test_a_backup_is_verified_by_prefix_or_by_path_anywhere(call: Call):
    row, away = await backups.backup(call), await backups.backup(call, to=f"{call.home}/else")

    for word in (row["id"][:20], f"{row['id']}.backup", row["path"], away["path"]):
        assert await backups.verify(call, id=word) == make_clean_report(1)
    with pytest.raises(NoBackup, match="there is no backup /nowhere/x"):
        await backups.verify(call, id="/nowhere/x")


async def test_verify_on_a_full_disk_still_reports_bad_backups(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    first, second = await backups.backup(call, full=True), await backups.backup(call, full=True)
    few = os.statvfs_result((4096, 4096, 100, 1, 1, 0, 0, 0, 0, 255))
    monkeypatch.setattr(space_errors.os, "statvfs", lambda path: few)
    with pytest.raises(
        DiskFull,
        match=(
            "the files of 2 backups are good, but rebuilding a backup .* The check was not finished"
        ),
    ) as told:
        await backups.verify(call)
    assert told.value.hint == "Free space there, then try again."
    Path(first["path"]).write_bytes(b"")

    found = await backups.verify(call)

    assert [bad["id"] for bad in found["bad"]] == [first["id"]] and second["verified"]


async def test_a_backup_that_fails_verify_no_longer_counts(call: Call):
    first, second = await backups.backup(call), await backups.backup(call)
    assert await backups.verify(call) == make_clean_report(2)
    assert await backups.verify(call, id=first["id"]) == make_clean_report(1)
    data = bytearray(Path(second["path"]).read_bytes())
    data[-40] ^= 1
    Path(second["path"]).write_bytes(data)

    found = await backups.verify(call)

    assert (
        found["bad"] == [{"id": second["id"], "problem": "its checksum is wrong"}]
        and found["checked"] == 2
    )
    assert [(row["id"], row["problem"]) for row in await backups.list_all(call)] == [
        (first["id"], None), (second["id"], "its checksum is wrong"),
    ]  # fmt: skip
    assert (await backups.backup(call))["base"] == first["id"]
    assert trials.find_leftovers(call.home / "backups") == set()


async def test_problems_outside_a_backup_are_reported_and_it_stays_good(
    call: Call, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
):
    write_config('theme = "dark"\n')
    first, second = await backups.backup(call), await backups.backup(call)
    beside = call.home / "backups" / f"config-{first['id']}.toml"
    text = beside.read_bytes()
    beside.unlink()

    for asked in (None, first["id"]):
        found = await backups.verify(call, id=asked)
        assert (found["bad"], found["odd"]) == (
            [],
            [{"id": first["id"], "problem": f"{beside.name} is gone or changed"}],
        )
        assert backup.describe_findings(found) == [
            f"{first['id']}: {beside.name} is gone or changed; the backup is still usable"
        ]
    beside.write_bytes(text)

    def refused(self: Any, digest: str) -> str:
        raise PermissionError(13, "Permission denied", self.path)

    with monkeypatch.context() as patched:
        patched.setattr(tool.BackupFile, "_verify_digest", refused)
        found = await backups.verify(call)
    why = "its file cannot be read: permission denied"
    assert (found["bad"], found["odd"]) == (
        [],
        [{"id": row["id"], "problem": why} for row in (first, second)],
    )

    assert await backups.verify(call) == make_clean_report(2)
    assert all(row["verified"] for row in await backups.list_all(call))


async def test_a_bad_base_is_marked_instead_of_the_requested_increment(call: Call):
    first, second = await backups.backup(call), await backups.backup(call)
    data = bytearray(Path(first["path"]).read_bytes())
    data[-40] ^= 1
    Path(first["path"]).write_bytes(data)

    found = await backups.verify(call, id=second["id"])

    assert found["bad"] == [{"id": first["id"], "problem": "its checksum is wrong"}]
    assert [
        line["id"]
        for line in tool.read_manifest(f"{call.home}/backups")[0]
        if line["what"] == "bad"
    ] == [first["id"]]


@pytest.mark.parametrize("trouble", [errno.EROFS, errno.ENOSPC])
async def test_a_read_only_or_full_folder_can_be_verified(
    call: Call, trouble: int, monkeypatch: pytest.MonkeyPatch
):
    first, second = await backups.backup(call, full=True), await backups.backup(call, full=True)
    folder, create = call.home / "backups", os.open

    def refuse(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT and os.fspath(path).startswith(os.fspath(folder)):
            raise OSError(trouble, os.strerror(trouble), path)
        return create(path, flags, *more, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert await backups.verify(call) == make_clean_report(2)
        trials.flip_last_byte(Path(first["path"]))
        assert [bad["id"] for bad in (await backups.verify(call))["bad"]] == [first["id"]]
    assert trials.find_leftovers(folder) == set() and second["verified"]


async def test_a_locked_folder_is_reported_and_the_wait_can_be_cancelled(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await backups.backup(call)
    reached, ended, taken, take = (
        threading.Event(),
        threading.Event(),
        backup_folder.try_lock,
        backups.take_backup,
    )

    def taking(*args: Any) -> Any:
        try:
            return take(*args)
        finally:
            ended.set()

    monkeypatch.setattr(backups, "take_backup", taking)
    with backup_folder.lock_folder(call.home / "backups"):
        monkeypatch.setattr(backup_folder, "try_lock", lambda fd: taken(fd) or reached.set())
        asked = asyncio.create_task(backups.backup(call))
        await asyncio.to_thread(reached.wait, 20)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(ended.wait, backup_folder.LOCK_TIMEOUT / 2), (
            "its thread has ended"
        )
        monkeypatch.setattr(backup_folder, "LOCK_TIMEOUT", 0.01)
        with pytest.raises(
            Storage,
            match=r"another process is using the backup folder .* No backup was taken\. Try again",
        ):
            take(call.db.path, call.home / "backups", backups.BackupRules())
        with pytest.raises(
            Storage, match=r"another process is using .* The check was not finished\. Try again"
        ):
            backup_files.check_backups(call.home)
    assert len(backup_files.list_backups(call.home)) == 1


async def test_programs_run_one_after_another(tmp_path: Path):
    (tmp_path / "run").mkdir()
    script = (
        f"mkdir {tmp_path}/busy || exit 4; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; rmdir"
        f" {tmp_path}/busy"
    )
    chosen = BackupSettings(after=("/bin/sh", "-c", script))

    assert (
        await asyncio.gather(*(backups.run_hook(tmp_path, chosen, tmp_path) for _ in range(3)))
        == [None] * 3
    )


@pytest.mark.process
async def test_a_slow_program_continues_under_a_runtime_and_is_recorded(
    runtime_call: Call, write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    os.mkfifo(tmp_path / "gate")
    write_config(
        f"""[backup]\nafter = ["/bin/sh", "-c", 'read word < {tmp_path}/gate; exit 3']\n"""
    )
    monkeypatch.setattr(backups, "MAX_WAIT", 0.01)
    told: list[str] = []

    row = await backups.backup(replace(runtime_call, note=told.append))

    assert row["after"] is None and told == [
        "/bin/sh continues; a failure will be listed in: taskdeck operations"
    ]
    (running,) = backups._RUNNING
    await asyncio.to_thread((tmp_path / "gate").write_text, "go\n")
    assert await running == "/bin/sh, which is run after a backup, exited 3"
    assert [
        one["object"] for one in await log.ls(runtime_call) if one["verb"] == "db backup after"
    ] == [f"backup {row['id']}"]


async def test_copies_from_before_upgrades_expire_with_the_backup_rule(call: Call):
    (call.home / "backups").mkdir()
    old, newest = (
        call.home / "backups" / f"before-000{n}-2020-01-0{n}T080000.000000Z.db" for n in (1, 2)
    )
    old.touch()
    newest.touch()

    await backups.backup(call)

    assert (old.exists(), newest.exists()) == (False, True)


async def test_a_database_without_a_version_is_not_backed_up(call: Call):
    with closing(sqlite3.connect(call.db.path)) as c:
        c.execute("DELETE FROM alembic_version")
        c.commit()

    with pytest.raises(DamagedDatabase, match="0 rows of alembic_version"):
        await backups.backup(call)

    assert backup_files.list_backups(call.home) == []


async def test_verify_without_backups_is_refused(call: Call):
    assert await backups.verify(call) == make_clean_report(0)
    with pytest.raises(NoBackup):
        await backups.verify(call, id="20260101T000000Z-full")
    assert not (call.home / "backups").exists()


async def test_a_cancelled_backup_stops_and_leaves_nothing(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    write = backup_create.write_backup

    def slowly(*args: Any) -> None:
        reached.set()
        go_on.wait(20)
        try:
            write(*args)
        finally:
            ended.set()

    monkeypatch.setattr(backup_create, "write_backup", slowly)
    asked = asyncio.create_task(backups.backup(call))
    await asyncio.to_thread(reached.wait, 20)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    await asyncio.to_thread(ended.wait, 20)

    monkeypatch.undo()
    with backup_folder.lock_folder(call.home / "backups"):
        assert (
            BackupCatalog(call.home / "backups").list_backups() == []
            and trials.find_leftovers(call.home / "backups") == set()
        )
