"""Backups: taken beside a writer, restored as they were, good only when they are."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from db import timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import BadBackup, NoBackup, Store
from db.backup.create import Rules, due, take
from db.errors import DamagedDatabase, DiskFull, Storage
from tests.long.backup import step_database, trials

ALWAYS = Rules(full=1e9, increment=1.0)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A database at step 800."""
    path = tmp_path / "live.db"
    step_database.make(path, 800)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock: hours since the beginning."""

    def hours(since: float) -> None:
        monkeypatch.setattr(timestamps, "utcnow", lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=since))

    hours(0)
    return hours


def test_each_backup_beside_a_writer_is_restored_exactly_as_the_database_was_at_its_point(live: Path, folder: Path):
    with step_database.writer(live):
        taken = [take(live, folder, ALWAYS) for _ in range(8)]

    steps = trials.all_exact(folder)

    assert [one.kind for one in taken][:2] == ["full", "increment"]
    assert len(steps) == 8 and steps == sorted(steps) and steps[-1] > steps[0] >= 800
    assert [one.facts["rows"]["steps"] for one in taken] == steps


def test_nothing_but_what_belongs_to_backups_is_in_the_folder_and_nobody_else_may_read_it(live: Path, folder: Path):
    take(live, folder, ALWAYS, beside={"config": b"theme = 'dark'\n", "definitions": b""})

    names = {path.name.partition("-")[0].partition(".")[0] for path in folder.iterdir()}
    assert names == {"config", "definitions", "manifest", "restore", Store(folder).find().id.partition("-")[0]}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600} and folder.stat().st_mode & 0o777 == 0o700


def test_a_process_killed_at_any_moment_leaves_only_backups_that_are_exact(live: Path, folder: Path):
    dice = Random(5)
    with step_database.writer(live), trials.takers(live, folder) as kill_one:
        for _ in range(10):
            kill_one(dice)
        last = take(live, folder, ALWAYS)

    assert trials.leftovers(folder) == set() and len(trials.all_exact(folder)) > 3
    assert {said["id"] for said in tool.manifest(str(folder))[0]} == {one.id for one in Store(folder).good()} and last.verified


THEIRS = ("notes.part", "cat.image", "a.image-journal", "config-mine.toml", "definitions-v2.toml", ".mine.image", "20260101T000000Z.part")


def test_files_of_others_in_the_folder_stay_and_their_folders_are_in_nobodys_way(live: Path, folder: Path):
    folder.mkdir()
    for name in (*THEIRS, "restore.py"):
        (folder / name).write_text("theirs")
    for name in ("a.part", "b.image", ".copying.image", ".checking.image", f"{IDENT}.backup.part", f"config-{IDENT}.toml"):
        (folder / name).mkdir()
    before = {path.name for path in folder.iterdir()}

    assert [take(live, folder, ALWAYS).kind for _ in range(2)] == ["full", "increment"]

    assert before <= {path.name for path in folder.iterdir()}
    assert {(folder / name).read_text() for name in (*THEIRS, "restore.py")} == {"theirs"}


IDENT = "20250101T000000Z-increment-2"


def test_what_one_that_was_killed_left_behind_is_removed(live: Path, folder: Path):
    folder.mkdir()
    images = (".copying.image", ".checking.image", ".copying.image-journal", ".verifying.image")
    for name in (*images, f"{IDENT}.backup.part", f"config-{IDENT}.toml", f"definitions-{IDENT}.toml.part", "restore.py.part"):
        (folder / name).write_text("ours")

    take(live, folder, ALWAYS)

    assert trials.leftovers(folder) == set()


@pytest.mark.parametrize(
    "name",
    ["notes", "{} (copy)", "{}-copy", ".{}", "99999999T999999Z-full", "20260101T000000Z-full\n", "\u0662\u0660260101T000000Z-full", ""],
)
def test_a_stray_file_that_ends_as_a_backup_does_is_none(live: Path, folder: Path, name: str):
    taken = take(live, folder, ALWAYS)
    stray = folder / (name.format(taken.id) + tool.SUFFIX)
    stray.write_bytes(b"theirs")

    assert Store(folder).backups() == [taken] and not due(Store(folder).backups(), Rules())
    assert take(live, folder, Rules()).base == taken.id and stray.read_bytes() == b"theirs"


def test_one_that_was_finished_but_not_yet_told_of_is_told_by_its_own_header(live: Path, folder: Path):
    taken = take(live, folder, ALWAYS)
    (folder / tool.MANIFEST).unlink()

    assert Store(folder).backups() == [taken]
    assert take(live, folder, ALWAYS).base == taken.id
    assert [said["id"] for said in tool.manifest(str(folder))[0]][0] == taken.id


@pytest.mark.parametrize("odd", ["empty", "pipe"])
def test_what_cannot_be_read_as_a_backup_is_bad_and_never_the_newest_nor_one_of_those_that_stay(
    live: Path, folder: Path, at: Callable[[float], None], odd: str
):  # fmt: skip
    real = take(live, folder, Rules())
    at(2.0)
    for ident in ("20260101T010000Z-full", "20260101T015900Z-full"):
        path = Path(tool.path_of(str(folder), ident))
        os.mkfifo(path) if odd == "pipe" else path.touch()
    strays = [one for one in Store(folder).backups() if one.id != real.id]

    assert [one.verified for one in strays] == [False, False] and {one.problem for one in strays} <= {
        "its checksum is wrong", "its file cannot be read: it is no regular file",
    }  # fmt: skip
    assert Store(folder).find() == real and due(Store(folder).backups(), Rules()), "one that was put there is none that was taken"
    at(100.0)
    taken = take(live, folder, Rules(keep=3600))
    assert Store(folder).good() == [real, taken] and taken.kind == "full"


def test_every_flipped_bit_is_noticed(live: Path, folder: Path):
    for _ in range(3):
        take(live, folder, ALWAYS, beside={"config": b"theme = 'dark'\n"})
        step_database.on(live, 20)

    assert trials.unnoticed_flips(folder, 60, Random(7)) == []


def test_a_torn_last_line_of_the_manifest_costs_only_that_line_and_is_told_anew_with_the_next_backup(live: Path, folder: Path):
    first, second = take(live, folder, ALWAYS), take(live, folder, ALWAYS)
    manifest = folder / tool.MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-20])

    store = Store(folder)
    assert store.damaged_lines() == [2]
    assert store.backups() == [first, second]
    third = take(live, folder, ALWAYS)
    assert store.backups() == [first, second, third] and store.damaged_lines() == []
    assert [said["id"] for said in tool.manifest(str(folder))[0] if said["what"] == "taken"] == [first.id, second.id, third.id]


def test_a_base_that_rotted_is_marked_bad_and_a_full_one_is_taken_in_its_place(live: Path, folder: Path):
    first, second = take(live, folder, ALWAYS), take(live, folder, ALWAYS)
    trials.flip(first.path, Random(1))

    third = take(live, folder, ALWAYS)

    found = {one.id: one.problem for one in Store(folder).backups()}
    assert third.kind == "full" and found[third.id] is None
    assert found[first.id] == "its checksum is wrong" and found[second.id] == f"its base {first.id} is bad: its checksum is wrong"


def test_a_database_that_is_not_in_order_is_told_and_the_backup_is_not_blamed(live: Path, folder: Path):
    good = take(live, folder, ALWAYS)
    with closing(sqlite3.connect(live)) as c:
        c.execute("CREATE TABLE of_steps (step INTEGER REFERENCES steps (id))")
        c.execute("INSERT INTO of_steps VALUES (999999)")
        c.commit()

    with pytest.raises(Storage, match=r"the database is not in order \(row 1 of of_steps refers to a missing row of steps\)") as told:
        take(live, folder, ALWAYS)

    assert not isinstance(told.value, BadBackup) and "db check --repair" in told.value.hint
    assert Store(folder).backups() == [good] and trials.leftovers(folder) == set()


def test_a_damaged_database_is_said_to_be_damaged_and_no_bad_backup_is_left(live: Path, folder: Path):
    good = take(live, folder, ALWAYS)
    with closing(sqlite3.connect(live)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'steps'").fetchone()
    with live.open("r+b") as file:  # cells that point nowhere: what counts the rows by another page is none the wiser
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 200)

    for full in (False, True):
        with pytest.raises(DamagedDatabase, match="the database is damaged") as told:
            take(live, folder, ALWAYS, full)
        assert str(live) in told.value.message and "\n" not in told.value.message and "backup" not in told.value.message.split(":")[0]
    assert Store(folder).backups() == [good] and trials.leftovers(folder) == set()


def test_rows_that_break_a_rule_are_the_databases_damage(live: Path, folder: Path):
    with closing(sqlite3.connect(live)) as c:
        c.execute("CREATE TABLE ruled (word TEXT CHECK (word IN ('a', 'b')))")
        c.execute("PRAGMA ignore_check_constraints=ON")
        c.execute("INSERT INTO ruled VALUES ('c')")
        c.commit()

    with pytest.raises(DamagedDatabase, match=r"the database is damaged \(1 row breaks the rule of ruled: word IN \('a', 'b'\)\)"):
        take(live, folder, ALWAYS)
    assert Store(folder).backups() == [] and trials.leftovers(folder) == set()


def test_damage_that_only_a_check_finds_is_the_databases_too(live: Path, folder: Path):
    with closing(sqlite3.connect(live)) as c:
        c.execute("CREATE TABLE apart (word TEXT)")
        c.execute("CREATE INDEX apart_word ON apart (word)")
        c.execute("INSERT INTO apart VALUES ('aaaa'), ('bbbb')")
        c.commit()
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'apart_word'").fetchone()
    data = bytearray(live.read_bytes())
    at = data.index(b"bbbb", (page - 1) * 4096)
    data[at : at + 4] = b"0000"
    live.write_bytes(data)

    with pytest.raises(DamagedDatabase, match=r"the database is damaged \(.*apart_word.*\)"):
        take(live, folder, ALWAYS)
    assert Store(folder).backups() == [] and trials.leftovers(folder) == set()


def test_a_new_full_one_is_taken_when_the_increments_pass_the_full_one(live: Path, folder: Path):
    taken = [take(live, folder, ALWAYS)]
    while len(taken) < 40 and (len(taken) == 1 or taken[-1].kind == "increment"):
        with closing(sqlite3.connect(live)) as c:
            c.execute("UPDATE steps SET said = hex(randomblob(150)) WHERE id < 400")
            c.commit()
        taken.append(take(live, folder, ALWAYS))

    full, *increments, last = taken
    assert last.kind == "full"
    assert sum(one.bytes for one in increments) > full.bytes >= sum(one.bytes for one in increments[:-1])


def test_thirty_five_days_leave_what_the_rules_say(live: Path, folder: Path, at: Callable[[float], None]):
    rules, taken = Rules(full=86400, increment=8 * 3600, keep=30 * 86400), []
    for third in range(35 * 3):
        at(third * 8)
        assert due(Store(folder).backups(), rules)
        taken.append(take(live, folder, rules, beside={"config": b"x = 1\n"}))
        step_database.on(live, 1)

    assert [one.kind for one in taken] == ["full", *["increment"] * 2] * 35
    left = Store(folder).backups()
    oldest = timestamps.stamp(timestamps.utcnow() - timedelta(days=30))
    needed = [one for one in taken if one.at >= oldest]
    first_day = [one for one in taken if one.at < oldest and one.at[:10] == needed[0].at[:10]]
    assert left == first_day + needed and first_day[0].kind == "full"
    assert trials.leftovers(folder) == set() and len(list(folder.glob("config-*"))) == len(left)
    store = Store(folder)
    store.rebuild(left[-1], folder.parent / "restored")
    assert step_database.assert_exact(folder.parent / "restored") == 800 + 104


def test_of_many_that_were_missed_one_is_caught_up(live: Path, folder: Path, at: Callable[[float], None]):
    rules = Rules()
    take(live, folder, rules)
    at(10.5)

    assert due(Store(folder).backups(), rules)
    assert take(live, folder, rules).kind == "increment"
    assert not due(Store(folder).backups(), rules)
    at(11.4)
    assert not due(Store(folder).backups(), rules)
    at(24)
    assert due(Store(folder).backups(), rules) and take(live, folder, rules).kind == "full"


def test_a_bad_one_is_not_tried_again_before_its_next_time(live: Path, folder: Path, at: Callable[[float], None]):
    backup_folder.sweep(Store(_made(folder)))
    backup_folder.mark_bad(folder, "20260101T000000Z-full", "it was not well")

    assert not due(Store(folder).backups(), Rules())
    at(1)
    assert due(Store(folder).backups(), Rules())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_clock_that_was_ahead_does_not_keep_backups_from_being_taken(live: Path, folder: Path, at: Callable[[float], None]):
    at(24 * 365)
    take(live, folder, Rules())
    at(0)

    assert due(Store(folder).backups(), Rules())
    take(live, folder, Rules())
    assert not due(Store(folder).backups(), Rules())


def test_the_last_two_good_full_ones_and_what_is_built_upon_them_stay_however_old_they_are(
    live: Path, folder: Path, at: Callable[[float], None]
):
    first, upon = take(live, folder, Rules()), take(live, folder, Rules())
    at(24 * 90)
    store = Store(folder)

    assert backup_folder.prune(store, 86400) == [] and store.backups() == [first, upon]
    second = take(live, folder, Rules(keep=86400))
    assert store.backups() == [first, upon, second]
    at(24 * 92)
    third = take(live, folder, Rules(keep=86400))
    assert store.backups() == [second, third] and not first.path.exists()


def test_a_clock_that_jumps_ahead_for_a_while_prunes_nothing_that_is_needed(live: Path, folder: Path, at: Callable[[float], None]):
    taken = [take(live, folder, Rules(keep=86400)), take(live, folder, Rules(keep=86400))]
    at(24 * 3650)
    taken.append(take(live, folder, Rules(keep=86400)))
    at(1)

    assert due(Store(folder).backups(), Rules())
    taken.append(take(live, folder, Rules(keep=86400)))
    at(2)
    taken.append(take(live, folder, Rules(keep=86400)))

    assert [one.kind for one in taken] == ["full", "increment", "full", "full", "increment"]
    assert taken[-1].base == taken[-2].id and Store(folder).find() == taken[-1]
    assert Store(folder).backups() == taken and not due(Store(folder).backups(), Rules())


def test_one_of_a_time_to_come_is_none_of_the_last_two(live: Path, folder: Path, at: Callable[[float], None]):
    rules, taken = Rules(keep=86400), []
    for hour in (0, 24, 24 * 58, 24 * 3):
        at(hour)
        taken.append(take(live, folder, rules, full=True))

    assert Store(folder).backups() == taken[1:], "of the last two, one is of a time to come"


def test_what_was_pruned_long_ago_is_left_out_of_the_manifest_and_the_rest_is_as_it_was(
    live: Path, folder: Path, at: Callable[[float], None]
):
    rules, sizes, names = Rules(full=8 * 3600, increment=2 * 3600, keep=86400), [], set()
    for pair in range(12 * 6):
        at(pair * 2)
        names.add(take(live, folder, rules).id)
        sizes.append((folder / tool.MANIFEST).stat().st_size)

    said, store = tool.manifest(str(folder))[0], Store(folder)
    assert max(sizes[48:]) < 1.2 * max(sizes[24:48]), "it does not grow"
    assert len([line for line in said if line["what"] == "shortened"]) == 1
    assert {line["id"] for line in said if line["what"] == "taken"} >= {one.id for one in store.backups()}
    assert all(one.verified for one in store.backups()) and len(names) == 12 * 6 and trials.leftovers(folder) == set()
    assert len(tool.entries(str(folder))) == len(store.backups()) and store.damaged_lines() == []


def test_the_manifest_is_written_anew_once_a_day_at_most_and_only_where_that_is_worth_it(
    live: Path, folder: Path, at: Callable[[float], None]
):
    take(live, folder, Rules())
    before = (folder / tool.MANIFEST).read_bytes()
    backup_folder.shorten(folder, 60.0)
    assert (folder / tool.MANIFEST).read_bytes() == before

    left = []
    for hour in (2, 3, 27):
        backup_folder.append(folder, what="pruned", id=f"20250101T0000{hour:02}Z-full", at="2025-01-01T00:00:00.000000Z")
        at(hour)
        backup_folder.shorten(folder, 60.0)
        left.append(len([line for line in tool.manifest(str(folder))[0] if line["what"] == "pruned"]))
    assert left == [0, 1, 0]


def test_a_file_that_was_to_go_and_lies_there_still_is_not_forgotten(live: Path, folder: Path, at: Callable[[float], None]):
    first = take(live, folder, Rules())
    backup_folder.append(folder, what="pruned", id=first.id, at=first.at)
    backup_folder.append(folder, what="pruned", id="20250101T000000Z-full", at=first.at)
    at(24 * 90)

    backup_folder.shorten(folder, 60.0)

    assert [line["what"] for line in tool.manifest(str(folder))[0]] == ["pruned", "shortened"] and Store(folder).backups() == []


def test_a_manifest_that_cannot_be_written_anew_stays_as_it_was(
    live: Path, folder: Path, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
):
    take(live, folder, Rules())
    backup_folder.append(folder, what="pruned", id="20250101T000000Z-full", at="2025-01-01T00:00:00.000000Z")
    before = (folder / tool.MANIFEST).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(backup_folder, "_write", full)
    with pytest.raises(OSError, match="no space"):
        backup_folder.shorten(folder, 60.0)

    assert (folder / tool.MANIFEST).read_bytes() == before and trials.leftovers(folder) == set()


def test_the_newest_is_the_one_taken_last_whatever_its_clock_said(live: Path, folder: Path, at: Callable[[float], None]):
    at(24 * 365)
    ahead = take(live, folder, ALWAYS)
    at(1)
    right = take(live, folder, ALWAYS)
    store = Store(folder)

    assert store.backups() == [ahead, right] and store.find() == right and store.good()[-1] == right
    (folder / tool.MANIFEST).unlink()
    assert store.backups() == [ahead, right] and store.find(at=ahead.at) == ahead


def test_what_is_outdated_is_pruned_before_so_that_a_full_disk_has_room_again(
    live: Path, folder: Path, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
):
    first = take(live, folder, Rules())
    for day in (1, 2):
        at(24 * day)
        take(live, folder, Rules())
    at(24 * 60)
    require = space_errors.require
    monkeypatch.setattr(space_errors, "require", lambda *args: require(folder, 2**60) if first.path.exists() else require(*args))

    assert take(live, folder, Rules()).kind == "full" and not first.path.exists()


def test_a_disk_without_room_for_even_a_line_is_pruned_too(
    live: Path, folder: Path, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
):
    first = take(live, folder, Rules())
    for day in (1, 2):
        at(24 * day)
        take(live, folder, Rules())
    at(24 * 60)
    append = backup_folder.append

    def full(where: Path, **said: object) -> None:
        if first.path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        append(where, **said)

    monkeypatch.setattr(backup_folder, "append", full)
    last = Store(folder).find()

    assert [last, take(live, folder, Rules())] == Store(folder).backups()


def test_a_pruned_file_that_stayed_behind_is_swept_and_its_name_is_not_given_again(live: Path, folder: Path, at: Callable[[float], None]):
    first = take(live, folder, Rules())
    data = first.path.read_bytes()
    backup_folder.append(folder, what="pruned", id=first.id, at=first.at)
    assert first.path.read_bytes() == data and Store(folder).backups() == []

    second = take(live, folder, Rules())

    assert not first.path.exists() and second.id == f"{first.id}-2"


def test_one_is_found_by_its_id_or_by_the_time_it_must_not_be_after(live: Path, folder: Path, at: Callable[[float], None]):
    first, early = take(live, folder, Rules()), "2025-12-31T00:00:00.000000Z"
    at(2)
    second = take(live, folder, Rules())
    store = Store(folder)

    assert store.find() == second and store.find(first.id) == first and store.find(at="2026-01-01T01:59:00.000000Z") == first
    assert store.find(f"{second.id}.backup") == store.find(str(second.path)) == store.find(second.id[:-4]) == second
    with pytest.raises(NoBackup, match=f"no good backup of {tool.shown(early)} or before; the oldest is of {tool.shown(first.at)}"):
        store.find(at=early)
    with pytest.raises(NoBackup, match=r"2 backups begin with 20260101 \(20260101T000000Z-full, 20260101T020000Z-increment\)"):
        store.find("20260101")
    with pytest.raises(NoBackup, match="no backup yesterday"):
        store.find("yesterday")


def test_what_is_rebuilt_never_takes_the_place_of_a_file(live: Path, folder: Path, tmp_path: Path):
    taken = take(live, folder, ALWAYS)
    there = tmp_path / "there"
    there.write_text("mine")

    with pytest.raises(FileExistsError):
        Store(folder).rebuild(taken, there)
    assert there.read_text() == "mine"


def test_the_folder_of_another_database_is_not_mixed_with_ours(live: Path, tmp_path: Path):
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.make(other, 3)
    shared = tmp_path / "somewhere" / "shared"
    take(live, shared, ALWAYS)

    with pytest.raises(Storage, match=r"backups of another database .* and none of this one: .*-full\.backup\. No backup was") as told:
        take(other, shared, ALWAYS)
    assert len(Store(shared).backups()) == 1 and told.value.hint == "Move them away, or choose another folder for this home."


def test_one_of_another_database_that_was_put_among_ours_stops_none(
    live: Path, folder: Path, tmp_path: Path, at: Callable[[float], None]
):
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.make(other, 3)
    shared = tmp_path / "somewhere" / "shared"
    first = take(live, shared, ALWAYS)
    at(1)
    theirs = Path(shutil.copy(take(other, folder, ALWAYS).path, shared))

    at(2)
    second = take(live, shared, ALWAYS)

    assert second.base == first.id and theirs.exists() and {first.id, second.id} == {one.id for one in Store(shared, live).own()}


def test_a_home_that_is_reached_by_another_name_is_the_same(live: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(live.parent)
    shared = tmp_path / "somewhere" / "shared"
    first = take(live, shared, ALWAYS)

    assert take(tmp_path / "link" / live.name, shared, ALWAYS).base == first.id


def test_too_little_room_is_said_before_anything_is_copied(live: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    free = os.statvfs(folder.parent)
    few = os.statvfs_result((free.f_bsize, 4096, free.f_blocks, 10, 10, *free[5:]))
    monkeypatch.setattr(space_errors.os, "statvfs", lambda path: few)

    with pytest.raises(DiskFull, match=r"needs .* MiB in .*, 0\.1 MiB are free: .* MiB are missing\. No backup was taken"):
        take(live, folder, ALWAYS)
    assert trials.leftovers(folder) == set() and Store(folder).backups() == []


TAKE = """
import sys
from pathlib import Path
from db.backup.create import Rules, take
from db.errors import Problem
try:
    take(Path(sys.argv[1]), Path(sys.argv[2]), Rules(), beside={"config": b"x"})
except Problem as problem:
    print(problem.code, problem.exit_code)
"""


@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_disk_that_fills_up_leaves_nothing_but_a_clear_error(live: Path, folder: Path, part: float):
    with closing(sqlite3.connect(live)) as c:
        size = c.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    limit = int(size * part)

    done = subprocess.run(
        [sys.executable, "-c", TAKE, live, folder], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip

    assert done.stdout.split() in (["disk-full", "5"], ["storage", "5"]) and done.stderr == ""
    assert Store(folder).backups() == [] and trials.leftovers(folder) == set()
    assert take(live, folder, ALWAYS).verified


def test_a_backup_with_a_row_that_cannot_be_read_is_not_called_well(database: Path, folder: Path, tmp_path: Path):
    with closing(sqlite3.connect(database, isolation_level=None)) as c:
        c.execute("UPDATE queues SET updated_at = 'never'")

    taken = take(database, folder, ALWAYS)

    assert taken.verified and taken.unreadable == ("1 row of queues without a time in updated_at",)
    (fault,) = Store(folder).check(taken, tmp_path / "image")
    assert (fault.own, fault.why) == (False, "1 row of queues without a time in updated_at; see: taskdeck db check")


def test_an_increment_is_looked_at_for_what_is_in_use_and_cannot_be_read(database: Path, folder: Path):
    assert take(database, folder, Rules()).unreadable == ()
    with closing(sqlite3.connect(database, isolation_level=None)) as c:
        c.execute("UPDATE queues SET updated_at = 'never'")

    taken = take(database, folder, Rules())

    assert (taken.kind, taken.unreadable) == ("increment", ("1 row of queues without a time in updated_at",))
