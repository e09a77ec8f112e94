"""The standalone restore.py in a backup folder: lists, checks and restores with Python alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from app.core.text import units
from db import timestamps
from db.backup import restore_tool as tool
from db.backup.catalog import Backup, BackupCatalog
from db.backup.create import BackupRules, compress, take_backup
from db.errors import Storage
from tests.long.backup import step_database, trials

pytestmark = pytest.mark.process


@pytest.fixture
def copied_folder(tmp_path: Path) -> Path:
    """Return a copy of a folder with a full backup and an increment."""
    live, folder = tmp_path / "live.db", tmp_path / "backups"
    step_database.create_database(live, 300)
    take_backup(live, folder, BackupRules())
    step_database.write_steps(live, 50)
    take_backup(live, folder, BackupRules())
    return Path(shutil.copytree(folder, tmp_path / "away"))


def run_tool(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", folder / "restore.py", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


def list_backups(folder: Path) -> list[Backup]:
    return BackupCatalog(folder).list_backups()


def test_backups_are_listed_oldest_first(copied_folder: Path):
    done = run_tool(copied_folder, "list")

    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        one.id for one in list_backups(copied_folder)
    ] and done.returncode == 0


def test_an_empty_file_named_like_a_backup_is_bad_and_never_chosen(
    copied_folder: Path, tmp_path: Path
):
    (copied_folder / "20990101T000000Z-full.backup").touch()

    lines = run_tool(copied_folder, "list").stdout.splitlines()

    assert lines[-1].endswith("its checksum is wrong") and lines[-1].startswith(
        "20990101T000000Z-full"
    )
    assert (
        run_tool(copied_folder, "restore", "--at", FUTURE, tmp_path / "restored.db").returncode == 0
    )
    assert step_database.assert_exact(tmp_path / "restored.db") == 350


def test_a_backup_is_restored_by_its_id(copied_folder: Path, tmp_path: Path):
    full, _ = list_backups(copied_folder)

    done = run_tool(copied_folder, "restore", full.id, tmp_path / "restored.db")

    assert done.returncode == 0, done.stderr
    assert step_database.assert_exact(tmp_path / "restored.db") == 300
    assert {path.name for path in tmp_path.glob("restored*")} == {"restored.db"}


def test_a_restored_file_is_flushed_to_disk(
    copied_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flushed: list[int] = []
    monkeypatch.setattr(tool, "__file__", str(copied_folder / "restore.py"))
    monkeypatch.setattr(tool.os, "fsync", lambda fd: flushed.append(os.fstat(fd).st_ino))

    assert tool.main(["restore", "--at", FUTURE, str(tmp_path / "restored.db")]) == 0
    assert flushed == [(tmp_path / "restored.db").stat().st_ino]


def test_the_newest_backup_up_to_a_time_is_restored(copied_folder: Path, tmp_path: Path):
    _, increment = list_backups(copied_folder)

    assert (
        run_tool(
            copied_folder, "restore", "--at", increment.at, tmp_path / "restored.db"
        ).returncode
        == 0
    )
    assert step_database.assert_exact(tmp_path / "restored.db") == 350
    early = run_tool(copied_folder, "restore", "--at", "2020-01-01T00:00", tmp_path / "early.db")
    assert (
        early.returncode == 1
        and "no good backup up to 20" in early.stderr
        and not (tmp_path / "early.db").exists()
    )


FUTURE = "2100-01-01"


@pytest.fixture
def foreign_backup(copied_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backup:
    """Return a newer backup of another home, copied into the folder."""
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.create_database(other, 3)
    soon = timestamps.utcnow() + timedelta(seconds=5)  # a different second, for a different id
    with monkeypatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        found = take_backup(other, tmp_path / "other" / "backups", BackupRules())
    shutil.copy(found.path, copied_folder)
    return found


def test_the_newest_up_to_a_time_belongs_to_the_folders_home(
    copied_folder: Path, foreign_backup: Backup, tmp_path: Path
):
    done = run_tool(copied_folder, "restore", "--at", FUTURE, tmp_path / "restored.db")

    assert step_database.assert_exact(tmp_path / "restored.db") == 350 and done.returncode == 0
    assert (
        f"skipped, from another home ({tmp_path}/other/live.db): {foreign_backup.id}."
        in done.stderr
    )
    assert (
        run_tool(copied_folder, "restore", foreign_backup.id, tmp_path / "theirs.db").returncode
        == 0
    )
    assert step_database.assert_exact(tmp_path / "theirs.db") == 3
    listed = {
        line.split()[0]: line.split(", of ")[1]
        for line in run_tool(copied_folder, "list").stdout.splitlines()
    }
    assert (
        listed.pop(foreign_backup.id) == f"{tmp_path}/other/live.db"
        and [*listed.values()] == [f"{tmp_path}/live.db"] * 2
    )


@pytest.mark.parametrize("lies", ["in the home", "named for it"])
def test_without_a_manifest_the_location_tells_which_home_owns_the_folder(
    copied_folder: Path, foreign_backup: Backup, tmp_path: Path, lies: str
):
    (copied_folder / "manifest.jsonl").unlink()
    (tmp_path / "disk").mkdir()
    folder = copied_folder.rename(
        tmp_path / "disk" / tool.make_folder_name(str(tmp_path))
        if lies == "named for it"
        else tmp_path / "moved"
    )

    assert run_tool(folder, "restore", "--at", FUTURE, tmp_path / "restored.db").returncode == 0
    assert step_database.assert_exact(tmp_path / "restored.db") == 350


def test_no_backup_is_chosen_when_the_owner_of_the_folder_is_unknown(
    copied_folder: Path, foreign_backup: Backup, tmp_path: Path
):
    (copied_folder / "manifest.jsonl").unlink()
    (tmp_path / "elsewhere").mkdir()
    folder = copied_folder.rename(tmp_path / "elsewhere" / "backups")
    full, increment = (one for one in list_backups(folder) if one.id != foreign_backup.id)

    done = run_tool(folder, "restore", "--at", FUTURE, tmp_path / "restored.db")

    assert done.returncode == 1 and not (tmp_path / "restored.db").exists()
    assert "there are backups of 2 homes here" in done.stderr
    assert (
        f"{increment.id} of {tmp_path}/live.db" in done.stderr
        and f"{foreign_backup.id} of {tmp_path}/other/live.db" in done.stderr
    )
    assert run_tool(folder, "restore", full.id, tmp_path / "restored.db").returncode == 0


def test_existing_files_are_never_overwritten(copied_folder: Path, tmp_path: Path):
    (tmp_path / "mine").write_text("mine")

    done = run_tool(copied_folder, "restore", list_backups(copied_folder)[0].id, tmp_path / "mine")

    assert done.returncode == 1 and (tmp_path / "mine").read_text() == "mine"
    assert done.stderr == f"restore.py: {tmp_path}/mine is there already: choose another name\n"
    (tmp_path / "x.db-wal").write_text("of another")
    done = run_tool(copied_folder, "restore", list_backups(copied_folder)[0].id, tmp_path / "x.db")
    assert (
        done.returncode == 1
        and "x.db-wal is there already" in done.stderr
        and not (tmp_path / "x.db").exists()
    )


def test_a_missing_target_folder_is_named_and_nothing_is_left_behind(
    copied_folder: Path, tmp_path: Path
):
    done = run_tool(
        copied_folder, "restore", list_backups(copied_folder)[0].id, tmp_path / "nodir" / "x.db"
    )

    assert (
        done.returncode == 1
        and done.stderr == f"restore.py: there is no folder {tmp_path}/nodir: make it first\n"
    )
    assert run_tool(copied_folder, "restore", "--at", FUTURE, tmp_path / "x.db").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"x.db"} and not list(
        tmp_path.glob(".restore-*")
    )


def test_an_empty_folder_is_reported(copied_folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    shutil.copy(copied_folder / "restore.py", tmp_path / "empty")

    for words in (["list"], ["verify"], ["restore", "--at", FUTURE, tmp_path / "x.db"]):
        done = run_tool(tmp_path / "empty", *words)
        assert (done.returncode, done.stdout) == (
            1,
            "",
        ) and done.stderr == f"restore.py: there is no backup in {tmp_path}/empty\n"


def test_a_prefix_or_file_selects_a_backup_but_never_a_foreign_one(
    copied_folder: Path, tmp_path: Path
):
    full, increment = list_backups(copied_folder)

    named = [
        run_tool(copied_folder, "verify", word)
        for word in (increment.id[:-3], f"{full.id}.backup", copied_folder / f"{full.id}.backup")
    ]
    several, elsewhere = (
        run_tool(copied_folder, "verify", full.id[:8]),
        run_tool(copied_folder, "verify", tmp_path / "backups" / f"{full.id}.backup"),
    )

    assert [done.returncode for done in named] == [0, 0, 0], named
    assert (
        several.returncode == 1
        and f"2 backups begin with {full.id[:8]} ({full.id}, {increment.id})" in several.stderr
    )
    assert elsewhere.returncode == 1 and "use the restore.py beside it" in elsewhere.stderr


NOW = datetime(2026, 11, 26, 2, 34, 20).astimezone()


PAST_TIMES = [
    ("02:34", "2026-11-26T02:34:59.999999"),
    ("2:34:07", "2026-11-26T02:34:07.999999"),
    ("02:35", "2026-11-25T02:35:59.999999"),
    ("now", "2026-11-26T02:34:20"),
    ("yesterday", "2026-11-25T23:59:59.999999"),
    ("Yesterday 10:00", "2026-11-25T10:00:59.999999"),
    ("today 01:00", "2026-11-26T01:00:59.999999"),
    ("5m", "2026-11-26T02:29:20"),
    ("1h30m ago", "2026-11-26T01:04:20"),
    ("2d", "2026-11-24T02:34:20"),
    ("2026-01-31", "2026-01-31T23:59:59.999999"),
    ("2026-01-31T08:00", "2026-01-31T08:00:59.999999"),
    ("2026-01-31 08:00:05.25", "2026-01-31T08:00:05.250000"),
    ("2026-01-31T08:00+02:00", "2026-01-31T06:00:59.999999+00:00"),
    ("2026-01-31T08:00:00.5Z", "2026-01-31T08:00:00.500000+00:00"),
]


@pytest.mark.parametrize(("text", "means"), PAST_TIMES)
def test_a_time_covers_its_whole_day_minute_or_second_and_is_over(text: str, means: str):
    assert tool.parse_past_time(text, NOW) == timestamps.format_time(datetime.fromisoformat(means))


@pytest.mark.parametrize("text", [text for text, _ in PAST_TIMES])
def test_every_past_time_means_the_same_in_other_options(text: str):
    begin, end = units.parse_past_period(text, NOW)

    last = timestamps.parse_time(tool.parse_past_time(text, NOW))

    assert begin <= last and last < max(end, begin + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("day", "end"),
    [("2026-10-25", "22:59:59"), ("2026-03-29", "21:59:59"), ("2026-06-01", "21:59:59")],
)
def test_a_day_with_a_clock_change_ends_at_its_midnight(
    day: str, end: str, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as there:
        there.setenv("TZ", "Europe/Berlin")
        time.tzset()
        found = tool.parse_past_time(day, NOW)
    time.tzset()

    assert found == f"{day}T{end}.999999Z"


def test_a_time_skipped_in_spring_moves_forward(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as there:
        there.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        found = tool.parse_past_time("2026-03-29 02:30", NOW)
    time.tzset()

    assert found == "2026-03-29T01:30:59.999999Z"


def test_a_year_long_ago_is_before_all_backups():
    assert tool.parse_past_time("0300-01-31T08:00:00.5Z", NOW) == "0300-01-31T08:00:00.500000Z"


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "in 2h", "30", "25:00", "2026-13-01", "1..5h", "+02:00", "ago",
        "today yesterday", "9999-12-31",
        "0001-01-01T00:00:00+14:00", "99999999999d",
    ],
)  # fmt: skip
def test_an_invalid_time_is_refused_with_the_right_format(text: str):
    with pytest.raises(
        tool.RestoreError,
        match='10:00, "yesterday 10:00", 2026-01-31T08:00, or 2h for two hours ago',
    ):
        tool.parse_past_time(text, NOW)


def test_the_minute_of_a_backup_finds_the_backup(copied_folder: Path, tmp_path: Path):
    _, increment = list_backups(copied_folder)

    done = run_tool(
        copied_folder,
        "restore",
        "--at",
        f"{timestamps.parse_time(increment.at).astimezone():%H:%M}",
        tmp_path / "x.db",
    )

    assert done.returncode == 0, done.stderr
    assert step_database.assert_exact(tmp_path / "x.db") == 350


def test_a_bad_backup_is_named_and_not_restored(copied_folder: Path, tmp_path: Path):
    assert run_tool(copied_folder, "verify").stdout == "2 checked, no faults\n"
    full, increment = list_backups(copied_folder)
    trials.flip_bit(full.path, Random(3))

    all_, one = run_tool(copied_folder, "verify"), run_tool(copied_folder, "verify", increment.id)
    restored = run_tool(copied_folder, "restore", increment.id, tmp_path / "restored.db")

    assert (all_.returncode, one.returncode, restored.returncode) == (5, 5, 5)
    assert (
        f"{full.id}: its checksum is wrong" in all_.stdout
        and full.id in one.stdout
        and full.id in restored.stderr
    )
    assert not (tmp_path / "restored.db").exists()


def test_another_backup_under_the_same_file_name_is_not_restored(
    copied_folder: Path, tmp_path: Path
):
    full, increment = list_backups(copied_folder)
    os.rename(full.path, tmp_path / "full")
    os.rename(increment.path, full.path)
    os.rename(tmp_path / "full", increment.path)

    for one in (full, increment):
        with pytest.raises(tool.DamagedBackupError):
            tool.rebuild([(str(one.path), "")], str(tmp_path / "image"))
        assert run_tool(copied_folder, "restore", one.id, tmp_path / "restored.db").returncode == 5
    assert not (tmp_path / "restored.db").exists() and not (tmp_path / "image").exists()


def test_a_backup_that_differs_from_the_recorded_one_is_not_restored(
    copied_folder: Path, tmp_path: Path
):
    full, _ = list_backups(copied_folder)
    (file,) = tool.find_chain(tool.list_entries(str(copied_folder)), full.id)

    tool.rebuild([file], str(tmp_path / "image"))
    with pytest.raises(tool.DamagedBackupError, match="its checksum is wrong"):
        tool.rebuild([(file[0], "0" * 64)], str(tmp_path / "other"))


def test_every_zstd_decompressor_gives_the_same_bytes():
    data = step_database.make_text(7).encode() * 4000
    frame = compress(data)
    ways = [
        way
        for way in (tool._load_module(), tool._load_library(), tool._find_program())
        if way is not None
    ]

    assert ways and all(way(frame, len(data)) == data for way in ways)
    for way in ways:
        with pytest.raises(ValueError):
            way(b"no zstd at all", 10)


def test_without_any_zstd_the_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool, "_decoder", [])
    for way in ("_load_module", "_load_library", "_find_program"):
        monkeypatch.setattr(tool, way, lambda: None)

    with pytest.raises(tool.RestoreError, match="libzstd1 or zstd"):
        tool.decompress(b"", 0)


@pytest.mark.parametrize("name", ["manifest.jsonl", "*-full.backup", "*-increment.backup"])
@pytest.mark.parametrize("odd", ["pipe", "device"])
def test_a_pipe_or_device_in_place_of_a_file_is_refused_unread(
    copied_folder: Path, tmp_path: Path, name: str, odd: str
):
    (path,) = copied_folder.glob(name)
    path.unlink()
    os.mkfifo(path) if odd == "pipe" else path.symlink_to("/dev/zero")

    done = run_tool(copied_folder, "verify")

    assert (
        done.returncode == (1 if name == "manifest.jsonl" else 5) and "Traceback" not in done.stderr
    )
    assert (path.name.split(".")[0] in done.stdout) or "manifest.jsonl" in done.stderr
    with (
        pytest.raises(Storage, match=r"no regular file \(.*/manifest\.jsonl\)")
        if name == "manifest.jsonl"
        else nullcontext()
    ):
        assert take_backup(tmp_path / "live.db", copied_folder, BackupRules()) is not None
