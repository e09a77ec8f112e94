"""restore.py in the folder of the backups: alone with Python, it lists, checks and restores."""

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

from db import timestamps
from db.backup import restore_tool as tool
from db.backup.catalog import Backup, Store
from db.backup.create import Rules, compress, take
from db.errors import Storage
from tests.long.backup import step_database, trials


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder of a full backup and an increment, copied to another place."""
    live, folder = tmp_path / "live.db", tmp_path / "backups"
    step_database.make(live, 300)
    take(live, folder, Rules())
    step_database.on(live, 50)
    take(live, folder, Rules())
    return Path(shutil.copytree(folder, tmp_path / "away"))


def restore(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", folder / "restore.py", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


def taken(folder: Path) -> list[Backup]:
    return Store(folder).backups()


def test_it_lists_what_there_is_oldest_first(away: Path):
    done = restore(away, "list")

    assert [line.split()[0] for line in done.stdout.splitlines()] == [one.id for one in taken(away)] and done.returncode == 0


def test_an_empty_file_of_such_a_name_is_listed_as_bad_and_never_chosen(away: Path, tmp_path: Path):
    (away / "20990101T000000Z-full.backup").touch()

    lines = restore(away, "list").stdout.splitlines()

    assert lines[-1].endswith("its checksum is wrong") and lines[-1].startswith("20990101T000000Z-full")
    assert restore(away, "restore", "--at", LATER, tmp_path / "restored.db").returncode == 0
    assert step_database.assert_exact(tmp_path / "restored.db") == 350


def test_it_restores_a_backup_by_its_id(away: Path, tmp_path: Path):
    full, _ = taken(away)

    done = restore(away, "restore", full.id, tmp_path / "restored.db")

    assert done.returncode == 0, done.stderr
    assert step_database.assert_exact(tmp_path / "restored.db") == 300
    assert {path.name for path in tmp_path.glob("restored*")} == {"restored.db"}


def test_it_restores_the_newest_of_a_time(away: Path, tmp_path: Path):
    _, increment = taken(away)

    assert restore(away, "restore", "--at", increment.at, tmp_path / "restored.db").returncode == 0
    assert step_database.assert_exact(tmp_path / "restored.db") == 350
    early = restore(away, "restore", "--at", "2020-01-01T00:00", tmp_path / "early.db")
    assert early.returncode == 1 and "no good backup of 20" in early.stderr and not (tmp_path / "early.db").exists()


LATER = "2100-01-01"


@pytest.fixture
def theirs(away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backup:
    """A newer backup of another home, put among those of one."""
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.make(other, 3)
    soon = timestamps.utcnow() + timedelta(seconds=5)  # else one has the name of the other
    with monkeypatch.context() as later:
        later.setattr(timestamps, "utcnow", lambda: soon)
        found = take(other, tmp_path / "other" / "backups", Rules())
    shutil.copy(found.path, away)
    return found


def test_the_newest_of_a_time_is_of_the_home_whose_folder_it_is(away: Path, theirs: Backup, tmp_path: Path):
    done = restore(away, "restore", "--at", LATER, tmp_path / "restored.db")

    assert step_database.assert_exact(tmp_path / "restored.db") == 350 and done.returncode == 0
    assert f"passed over, of another home ({tmp_path}/other/live.db): {theirs.id}. To restore it, name its ID" in done.stderr
    assert restore(away, "restore", theirs.id, tmp_path / "theirs.db").returncode == 0
    assert step_database.assert_exact(tmp_path / "theirs.db") == 3
    listed = {line.split()[0]: line.split(", of ")[1] for line in restore(away, "list").stdout.splitlines()}
    assert listed.pop(theirs.id) == f"{tmp_path}/other/live.db" and [*listed.values()] == [f"{tmp_path}/live.db"] * 2


@pytest.mark.parametrize("lies", ["in the home", "named for it"])
def test_without_a_manifest_where_the_folder_lies_says_whose_it_is(away: Path, theirs: Backup, tmp_path: Path, lies: str):
    (away / "manifest.jsonl").unlink()
    (tmp_path / "disk").mkdir()
    folder = away.rename(tmp_path / "disk" / tool.folder_name(str(tmp_path)) if lies == "named for it" else tmp_path / "moved")

    assert restore(folder, "restore", "--at", LATER, tmp_path / "restored.db").returncode == 0
    assert step_database.assert_exact(tmp_path / "restored.db") == 350


def test_where_nothing_says_whose_folder_it_is_none_is_chosen(away: Path, theirs: Backup, tmp_path: Path):
    (away / "manifest.jsonl").unlink()
    (tmp_path / "elsewhere").mkdir()
    folder = away.rename(tmp_path / "elsewhere" / "backups")
    full, increment = (one for one in taken(folder) if one.id != theirs.id)

    done = restore(folder, "restore", "--at", LATER, tmp_path / "restored.db")

    assert done.returncode == 1 and not (tmp_path / "restored.db").exists()
    assert "there are backups of 2 homes here: name the one to restore by its ID, see list" in done.stderr
    assert f"{increment.id} of {tmp_path}/live.db" in done.stderr and f"{theirs.id} of {tmp_path}/other/live.db" in done.stderr
    assert restore(folder, "restore", full.id, tmp_path / "restored.db").returncode == 0


def test_it_overwrites_nothing(away: Path, tmp_path: Path):
    (tmp_path / "mine").write_text("mine")

    done = restore(away, "restore", taken(away)[0].id, tmp_path / "mine")

    assert done.returncode == 1 and (tmp_path / "mine").read_text() == "mine"
    assert done.stderr == f"restore.py: {tmp_path}/mine is there already: choose another name\n"
    (tmp_path / "x.db-wal").write_text("of another")
    done = restore(away, "restore", taken(away)[0].id, tmp_path / "x.db")
    assert done.returncode == 1 and "x.db-wal is there already" in done.stderr and not (tmp_path / "x.db").exists()


def test_it_says_which_folder_is_missing_and_leaves_nothing(away: Path, tmp_path: Path):
    done = restore(away, "restore", taken(away)[0].id, tmp_path / "nodir" / "x.db")

    assert done.returncode == 1 and done.stderr == f"restore.py: there is no folder {tmp_path}/nodir: make it first\n"
    assert restore(away, "restore", "--at", LATER, tmp_path / "x.db").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"x.db"} and not list(tmp_path.glob(".restore-*"))


def test_where_there_is_no_backup_it_says_so(away: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    shutil.copy(away / "restore.py", tmp_path / "empty")

    for words in (["list"], ["verify"], ["restore", "--at", LATER, tmp_path / "x.db"]):
        done = restore(tmp_path / "empty", *words)
        assert (done.returncode, done.stdout) == (1, "") and done.stderr == f"restore.py: there is no backup in {tmp_path}/empty\n"


def test_one_is_named_by_its_first_letters_or_its_file_but_never_by_the_folder_of_another(away: Path, tmp_path: Path):
    full, increment = taken(away)

    named = [restore(away, "verify", word) for word in (increment.id[:-3], f"{full.id}.backup", away / f"{full.id}.backup")]
    several, elsewhere = restore(away, "verify", full.id[:8]), restore(away, "verify", tmp_path / "backups" / f"{full.id}.backup")

    assert [done.returncode for done in named] == [0, 0, 0], named
    assert several.returncode == 1 and f"2 backups begin with {full.id[:8]} ({full.id}, {increment.id})" in several.stderr
    assert elsewhere.returncode == 1 and "use the restore.py beside it" in elsewhere.stderr


NOW = datetime(2026, 11, 26, 2, 34, 20).astimezone()


@pytest.mark.parametrize(
    ("text", "means"),
    [
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
    ],
)
def test_a_time_stands_for_all_of_its_day_minute_or_second_and_is_over(text: str, means: str):
    assert tool.stored_time(text, NOW) == timestamps.stamp(datetime.fromisoformat(means))


@pytest.mark.parametrize(("day", "end"), [("2026-10-25", "22:59:59"), ("2026-03-29", "21:59:59"), ("2026-06-01", "21:59:59")])
def test_a_day_on_which_the_clock_changes_ends_at_its_midnight(day: str, end: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as there:
        there.setenv("TZ", "Europe/Berlin")
        time.tzset()
        found = tool.stored_time(day, NOW)
    time.tzset()

    assert found == f"{day}T{end}.999999Z"


def test_a_year_of_long_ago_is_before_all_others():
    assert tool.stored_time("0300-01-31T08:00:00.5Z", NOW) == "0300-01-31T08:00:00.500000Z"


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "in 2h", "30", "25:00", "2026-13-01", "1..5h", "+02:00", "ago", "today yesterday", "9999-12-31",
        "0001-01-01T00:00:00+14:00", "99999999999d",
    ],
)  # fmt: skip
def test_what_is_no_time_is_told_with_how_one_is_written(text: str):
    with pytest.raises(tool.Unknown, match="10:00, \"yesterday 10:00\", 2026-01-31T08:00, or 2h for so long ago"):
        tool.stored_time(text, NOW)


def test_a_minute_in_which_one_was_taken_finds_it(away: Path, tmp_path: Path):
    _, increment = taken(away)

    done = restore(away, "restore", "--at", f"{timestamps.parse(increment.at).astimezone():%H:%M}", tmp_path / "x.db")

    assert done.returncode == 0, done.stderr
    assert step_database.assert_exact(tmp_path / "x.db") == 350


def test_it_says_which_backup_is_bad_and_restores_none_that_is(away: Path, tmp_path: Path):
    assert restore(away, "verify").stdout == "2 checked, all well\n"
    full, increment = taken(away)
    trials.flip(full.path, Random(3))

    all_, one = restore(away, "verify"), restore(away, "verify", increment.id)
    restored = restore(away, "restore", increment.id, tmp_path / "restored.db")

    assert (all_.returncode, one.returncode, restored.returncode) == (5, 5, 5)
    assert f"{full.id}: its checksum is wrong" in all_.stdout and full.id in one.stdout and full.id in restored.stderr
    assert not (tmp_path / "restored.db").exists()


def test_the_file_of_another_backup_under_its_name_is_not_restored(away: Path, tmp_path: Path):
    full, increment = taken(away)
    os.rename(full.path, tmp_path / "full")
    os.rename(increment.path, full.path)
    os.rename(tmp_path / "full", increment.path)

    for one in (full, increment):
        with pytest.raises(tool.Damaged):
            tool.rebuild([(str(one.path), "")], str(tmp_path / "image"))
        assert restore(away, "restore", one.id, tmp_path / "restored.db").returncode == 5
    assert not (tmp_path / "restored.db").exists() and not (tmp_path / "image").exists()


def test_a_backup_of_the_same_name_that_is_not_the_one_that_was_taken_is_not_restored(away: Path, tmp_path: Path):
    full, _ = taken(away)
    (file,) = tool.chain(tool.entries(str(away)), full.id)

    tool.rebuild([file], str(tmp_path / "image"))
    with pytest.raises(tool.Damaged, match="its checksum is wrong"):
        tool.rebuild([(file[0], "0" * 64)], str(tmp_path / "other"))


def test_every_way_to_read_zstd_reads_the_same():
    data = step_database.text(7).encode() * 4000
    frame = compress(data)
    ways = [way for way in (tool._by_module(), tool._by_library(), tool._by_program()) if way is not None]

    assert ways and all(way(frame, len(data)) == data for way in ways)
    for way in ways:
        with pytest.raises(ValueError):
            way(b"no zstd at all", 10)


def test_without_any_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool, "_reader", [])
    for way in ("_by_module", "_by_library", "_by_program"):
        monkeypatch.setattr(tool, way, lambda: None)

    with pytest.raises(tool.Unknown, match="libzstd1 or zstd"):
        tool.decompress(b"", 0)


@pytest.mark.parametrize("name", ["manifest.jsonl", "*-full.backup", "*-increment.backup"])
@pytest.mark.parametrize("odd", ["pipe", "device"])
def test_what_has_no_end_in_the_place_of_a_file_is_told_and_not_read(away: Path, tmp_path: Path, name: str, odd: str):
    (path,) = away.glob(name)
    path.unlink()
    os.mkfifo(path) if odd == "pipe" else path.symlink_to("/dev/zero")

    done = restore(away, "verify")

    assert done.returncode == (1 if name == "manifest.jsonl" else 5) and "Traceback" not in done.stderr
    assert (path.name.split(".")[0] in done.stdout) or "manifest.jsonl" in done.stderr
    with pytest.raises(Storage, match=r"no regular file \(.*/manifest\.jsonl\)") if name == "manifest.jsonl" else nullcontext():
        assert take(tmp_path / "live.db", away, Rules()) is not None
