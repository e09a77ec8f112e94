"""Backups: taken beside a writer, restored exactly, and valid only when they are sound."""

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
from db.backup import create, space_errors
from db.backup import folder as folder_module
from db.backup import restore_tool as tool
from db.backup.catalog import BackupCatalog, BadBackup, NoBackup
from db.backup.create import BackupRules, is_due, take_backup
from db.errors import DamagedDatabase, DiskFull, Storage
from tests.long.backup import step_database, trials

ALWAYS = BackupRules(full=1e9, increment=1.0)


@pytest.fixture
def live_database(tmp_path: Path) -> Path:
    path = tmp_path / "live.db"
    step_database.create_database(path, 800)
    return path


@pytest.fixture
def backup_folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock to a number of hours after the start."""

    def hours(since: float) -> None:
        monkeypatch.setattr(
            timestamps, "utcnow", lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=since)
        )

    hours(0)
    return hours


def test_each_backup_taken_beside_a_writer_restores_its_exact_point(
    live_database: Path, backup_folder: Path
):
    with step_database.run_writer(live_database):
        taken = [take_backup(live_database, backup_folder, ALWAYS) for _ in range(8)]

    steps = trials.verify_all(backup_folder)

    assert [one.kind for one in taken][:2] == ["full", "increment"]
    assert len(steps) == 8 and steps == sorted(steps) and steps[-1] > steps[0] >= 800
    assert [one.facts["rows"]["steps"] for one in taken] == steps


def test_the_folder_holds_only_private_backup_files(live_database: Path, backup_folder: Path):
    take_backup(
        live_database,
        backup_folder,
        ALWAYS,
        companions={"config": b"theme = 'dark'\n", "definitions": b""},
    )

    names = {path.name.partition("-")[0].partition(".")[0] for path in backup_folder.iterdir()}
    assert names == {
        "config",
        "definitions",
        "manifest",
        "restore",
        BackupCatalog(backup_folder).find_backup().id.partition("-")[0],
    }
    assert {path.stat().st_mode & 0o777 for path in backup_folder.iterdir()} == {
        0o600
    } and backup_folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.process
def test_a_process_killed_at_any_moment_leaves_only_exact_backups(
    live_database: Path, backup_folder: Path
):
    dice = Random(5)
    with (
        step_database.run_writer(live_database),
        trials.run_workers(live_database, backup_folder) as kill_one,
    ):
        for _ in range(10):
            kill_one(dice)
        last = take_backup(live_database, backup_folder, ALWAYS)

    assert (
        trials.find_leftovers(backup_folder) == set() and len(trials.verify_all(backup_folder)) > 3
    )
    assert {said["id"] for said in tool.read_manifest(str(backup_folder))[0]} == {
        one.id for one in BackupCatalog(backup_folder).list_good()
    } and last.verified


FOREIGN_FILES = (
    "notes.part",
    "cat.image",
    "a.image-journal",
    "config-mine.toml",
    "definitions-v2.toml",
    ".mine.image",
    "20260101T000000Z.part",
)


def test_foreign_files_in_the_folder_stay_and_do_not_interfere(
    live_database: Path, backup_folder: Path
):
    backup_folder.mkdir()
    for name in (*FOREIGN_FILES, "restore.py"):
        (backup_folder / name).write_text("theirs")
    for name in (
        "a.part",
        "b.image",
        ".copying.image",
        ".verifying.image",
        f"{BACKUP_ID}.backup.part",
        f"config-{BACKUP_ID}.toml",
    ):
        (backup_folder / name).mkdir()
    before = {path.name for path in backup_folder.iterdir()}

    assert [take_backup(live_database, backup_folder, ALWAYS).kind for _ in range(2)] == [
        "full",
        "increment",
    ]

    assert before <= {path.name for path in backup_folder.iterdir()}
    assert {(backup_folder / name).read_text() for name in (*FOREIGN_FILES, "restore.py")} == {
        "theirs"
    }


BACKUP_ID = "20250101T000000Z-increment-2"


def test_leftovers_of_a_killed_backup_are_removed(live_database: Path, backup_folder: Path):
    backup_folder.mkdir()
    images = (".copying.image", ".copying.image-journal", ".verifying.image")
    for name in (
        *images,
        f"{BACKUP_ID}.backup.part",
        f"config-{BACKUP_ID}.toml",
        f"definitions-{BACKUP_ID}.toml.part",
        "restore.py.part",
    ):
        (backup_folder / name).write_text("ours")

    take_backup(live_database, backup_folder, ALWAYS)

    assert trials.find_leftovers(backup_folder) == set()


@pytest.mark.parametrize(
    "name",
    [
        "notes",
        "{} (copy)",
        "{}-copy",
        ".{}",
        "99999999T999999Z-full",
        "20260101T000000Z-full\n",
        "\u0662\u0660260101T000000Z-full",
        "",
    ],
)
def test_a_stray_file_with_a_backup_suffix_is_not_a_backup(
    live_database: Path, backup_folder: Path, name: str
):
    taken = take_backup(live_database, backup_folder, ALWAYS)
    stray = backup_folder / (name.format(taken.id) + tool.SUFFIX)
    stray.write_bytes(b"theirs")

    assert BackupCatalog(backup_folder).list_backups() == [taken] and not is_due(
        BackupCatalog(backup_folder).list_backups(), BackupRules()
    )
    assert (
        take_backup(live_database, backup_folder, BackupRules()).base == taken.id
        and stray.read_bytes() == b"theirs"
    )


def test_a_finished_backup_missing_from_the_manifest_is_read_from_its_header(
    live_database: Path, backup_folder: Path
):
    taken = take_backup(live_database, backup_folder, ALWAYS)
    (backup_folder / tool.MANIFEST).unlink()

    assert BackupCatalog(backup_folder).list_backups() == [taken]
    assert take_backup(live_database, backup_folder, ALWAYS).base == taken.id
    assert [said["id"] for said in tool.read_manifest(str(backup_folder))[0]][0] == taken.id


@pytest.mark.parametrize("odd", ["empty", "pipe"])
def test_an_unreadable_backup_is_bad_and_never_newest_or_protected(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None], odd: str
):  # fmt: skip
    real = take_backup(live_database, backup_folder, BackupRules())
    set_clock(2.0)
    for ident in ("20260101T010000Z-full", "20260101T015900Z-full"):
        path = Path(tool.get_path(str(backup_folder), ident))
        os.mkfifo(path) if odd == "pipe" else path.touch()
    strays = [one for one in BackupCatalog(backup_folder).list_backups() if one.id != real.id]

    assert [one.verified for one in strays] == [False,
    False] and {one.problem for one in strays} <= {
        "its checksum is wrong", "its file cannot be read: it is no regular file",
    }  # fmt: skip
    assert BackupCatalog(backup_folder).find_backup() == real and is_due(
        BackupCatalog(backup_folder).list_backups(), BackupRules()
    ), "one that was put there is none that was taken"
    set_clock(100.0)
    taken = take_backup(live_database, backup_folder, BackupRules(keep=3600))
    assert BackupCatalog(backup_folder).list_good() == [real, taken] and taken.kind == "full"


def test_every_flipped_bit_is_detected(live_database: Path, backup_folder: Path):
    for _ in range(3):
        take_backup(
            live_database, backup_folder, ALWAYS, companions={"config": b"theme = 'dark'\n"}
        )
        step_database.write_steps(live_database, 20)

    assert trials.find_unnoticed_flips(backup_folder, 60, Random(7)) == []


def test_a_torn_last_manifest_line_costs_only_that_line(live_database: Path, backup_folder: Path):
    first, second = (
        take_backup(live_database, backup_folder, ALWAYS),
        take_backup(live_database, backup_folder, ALWAYS),
    )
    manifest = backup_folder / tool.MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-20])

    store = BackupCatalog(backup_folder)
    assert store.find_damaged_lines() == [2]
    assert store.list_backups() == [first, second]
    third = take_backup(live_database, backup_folder, ALWAYS)
    assert store.list_backups() == [first, second, third] and store.find_damaged_lines() == []
    assert [
        said["id"] for said in tool.read_manifest(str(backup_folder))[0] if said["what"] == "taken"
    ] == [first.id, second.id, third.id]


def test_a_decayed_base_is_marked_bad_and_replaced_by_a_full_backup(
    live_database: Path, backup_folder: Path
):
    first, second = (
        take_backup(live_database, backup_folder, ALWAYS),
        take_backup(live_database, backup_folder, ALWAYS),
    )
    trials.flip_bit(first.path, Random(1))

    third = take_backup(live_database, backup_folder, ALWAYS)

    found = {one.id: one.problem for one in BackupCatalog(backup_folder).list_backups()}
    assert third.kind == "full" and found[third.id] is None
    assert (
        found[first.id] == "its checksum is wrong"
        and found[second.id] == f"its base {first.id} is bad: its checksum is wrong"
    )


def test_an_inconsistent_database_is_reported_and_the_backup_stays_good(
    live_database: Path, backup_folder: Path
):
    good = take_backup(live_database, backup_folder, ALWAYS)
    with closing(sqlite3.connect(live_database)) as c:
        c.execute("CREATE TABLE of_steps (step INTEGER REFERENCES steps (id))")
        c.execute("INSERT INTO of_steps VALUES (999999)")
        c.commit()

    with pytest.raises(
        Storage,
        match=(
            r"the database is not in order \(row 1 of of_steps refers to a missing row of steps\)"
        ),
    ) as told:
        take_backup(live_database, backup_folder, ALWAYS)

    assert not isinstance(told.value, BadBackup) and "db check --repair" in told.value.hint
    assert (
        BackupCatalog(backup_folder).list_backups() == [good]
        and trials.find_leftovers(backup_folder) == set()
    )


def test_a_damaged_database_is_reported_and_leaves_no_bad_backup(
    live_database: Path, backup_folder: Path
):
    good = take_backup(live_database, backup_folder, ALWAYS)
    with closing(sqlite3.connect(live_database)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'steps'").fetchone()
    # Broken cell pointers: counting rows by another page does not notice them.
    with live_database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 200)

    for full in (False, True):
        with pytest.raises(DamagedDatabase, match="the database is damaged") as told:
            take_backup(live_database, backup_folder, ALWAYS, full)
        assert (
            str(live_database) in told.value.message
            and "\n" not in told.value.message
            and "backup" not in told.value.message.split(":")[0]
        )
    assert (
        BackupCatalog(backup_folder).list_backups() == [good]
        and trials.find_leftovers(backup_folder) == set()
    )


def test_rows_that_break_a_constraint_are_damage_of_the_database(
    live_database: Path, backup_folder: Path
):
    with closing(sqlite3.connect(live_database)) as c:
        c.execute("CREATE TABLE ruled (word TEXT CHECK (word IN ('a', 'b')))")
        c.execute("PRAGMA ignore_check_constraints=ON")
        c.execute("INSERT INTO ruled VALUES ('c')")
        c.commit()

    with pytest.raises(
        DamagedDatabase,
        match=r"the database is damaged \(1 row breaks the rule of ruled: word IN \('a', 'b'\)\)",
    ):
        take_backup(live_database, backup_folder, ALWAYS)
    assert (
        BackupCatalog(backup_folder).list_backups() == []
        and trials.find_leftovers(backup_folder) == set()
    )


def test_damage_found_only_by_a_check_is_damage_of_the_database(
    live_database: Path, backup_folder: Path
):
    with closing(sqlite3.connect(live_database)) as c:
        c.execute("CREATE TABLE apart (word TEXT)")
        c.execute("CREATE INDEX apart_word ON apart (word)")
        c.execute("INSERT INTO apart VALUES ('aaaa'), ('bbbb')")
        c.commit()
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = c.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'apart_word'"
        ).fetchone()
    data = bytearray(live_database.read_bytes())
    at = data.index(b"bbbb", (page - 1) * 4096)
    data[at : at + 4] = b"0000"
    live_database.write_bytes(data)

    with pytest.raises(DamagedDatabase, match=r"the database is damaged \(.*apart_word.*\)"):
        take_backup(live_database, backup_folder, ALWAYS, compare_indexes=True)
    assert (
        BackupCatalog(backup_folder).list_backups() == []
        and trials.find_leftovers(backup_folder) == set()
    )


def test_only_a_full_backup_that_nobody_awaits_compares_indexes_with_rows(
    database_path: Path, backup_folder: Path, tmp_path: Path
):
    take_backup(database_path, backup_folder, ALWAYS)
    step_database.change_behind_index(
        database_path, "idx_queues_priority", "UPDATE queues SET priority = 7"
    )

    store = BackupCatalog(backup_folder)
    for taken in (
        take_backup(database_path, backup_folder, ALWAYS, compare_indexes=True),
        take_backup(database_path, backup_folder, ALWAYS, full=True),
    ):
        assert taken.verified and store.check_backup(taken, tmp_path / "image") == []
    with pytest.raises(DamagedDatabase, match="missing from index idx_queues_priority"):
        take_backup(database_path, backup_folder, ALWAYS, full=True, compare_indexes=True)
    assert [one.kind for one in store.list_backups()] == ["full", "increment", "full"]


def test_each_page_is_hashed_once_and_each_stored_page_once_more(
    live_database: Path, backup_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    hashed: list[int] = []
    hash_pages = tool.hash_pages

    def count(data: bytes, size: int) -> bytes:
        hashed.append(len(data) // size)
        return hash_pages(data, size)

    monkeypatch.setattr(tool, "hash_pages", count)
    monkeypatch.delattr(tool, "rebuild")
    full = take_backup(live_database, backup_folder, ALWAYS)
    assert sum(hashed) == 2 * full.pages
    step_database.write_steps(live_database, 1)
    hashed.clear()
    increment = take_backup(live_database, backup_folder, ALWAYS)

    stored = len(tool.BackupFile(str(increment.path)).stored)
    assert sum(hashed) == increment.pages + stored and 0 < stored < increment.pages / 4


def test_pages_written_wrongly_are_noticed_before_the_backup_counts(
    live_database: Path, backup_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    good = take_backup(live_database, backup_folder, ALWAYS)
    step_database.write_steps(live_database, 5)
    read = create._read_pages
    monkeypatch.setattr(create, "_read_pages", lambda *of: b"x" + read(*of)[1:])

    for full in (False, True):
        with pytest.raises(BadBackup, match="the stored pages differ from the database"):
            take_backup(live_database, backup_folder, ALWAYS, full)

    store = BackupCatalog(backup_folder)
    assert store.list_good() == [good] and len(store.list_backups()) == 3
    assert trials.find_leftovers(backup_folder) == set()


def test_a_full_backup_follows_when_increments_outgrow_the_last_one(
    live_database: Path, backup_folder: Path
):
    taken = [take_backup(live_database, backup_folder, ALWAYS)]
    while len(taken) < 40 and (len(taken) == 1 or taken[-1].kind == "increment"):
        with closing(sqlite3.connect(live_database)) as c:
            c.execute("UPDATE steps SET said = hex(randomblob(150)) WHERE id < 400")
            c.commit()
        taken.append(take_backup(live_database, backup_folder, ALWAYS))

    full, *increments, last = taken
    assert last.kind == "full"
    assert (
        sum(one.bytes for one in increments)
        > full.bytes
        >= sum(one.bytes for one in increments[:-1])
    )


def test_fourteen_days_leave_the_backups_that_the_rules_keep(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    rules, taken = BackupRules(full=86400, increment=8 * 3600, keep=9 * 86400), []
    for third in range(14 * 3):
        set_clock(third * 8)
        assert is_due(BackupCatalog(backup_folder).list_backups(), rules)
        taken.append(
            take_backup(live_database, backup_folder, rules, companions={"config": b"x = 1\n"})
        )
        step_database.write_steps(live_database, 1)

    assert [one.kind for one in taken] == ["full", *["increment"] * 2] * 14
    left = BackupCatalog(backup_folder).list_backups()
    oldest = timestamps.format_time(timestamps.utcnow() - timedelta(days=9))
    needed = [one for one in taken if one.at >= oldest]
    first_day = [one for one in taken if one.at < oldest and one.at[:10] == needed[0].at[:10]]
    assert left == first_day + needed and first_day[0].kind == "full"
    assert trials.find_leftovers(backup_folder) == set() and len(
        list(backup_folder.glob("config-*"))
    ) == len(left)
    store = BackupCatalog(backup_folder)
    store.rebuild(left[-1], backup_folder.parent / "restored")
    assert step_database.assert_exact(backup_folder.parent / "restored") == 800 + 41


def test_only_one_of_many_missed_backups_is_caught_up(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    rules = BackupRules()
    take_backup(live_database, backup_folder, rules)
    set_clock(10.5)

    assert is_due(BackupCatalog(backup_folder).list_backups(), rules)
    assert take_backup(live_database, backup_folder, rules).kind == "increment"
    assert not is_due(BackupCatalog(backup_folder).list_backups(), rules)
    set_clock(11.4)
    assert not is_due(BackupCatalog(backup_folder).list_backups(), rules)
    set_clock(24)
    assert (
        is_due(BackupCatalog(backup_folder).list_backups(), rules)
        and take_backup(live_database, backup_folder, rules).kind == "full"
    )


def test_a_bad_backup_is_not_retried_before_its_next_time(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    folder_module.clean_up(BackupCatalog(_create_folder(backup_folder)))
    folder_module.mark_bad(backup_folder, "20260101T000000Z-full", "it was not well")

    assert not is_due(BackupCatalog(backup_folder).list_backups(), BackupRules())
    set_clock(1)
    assert is_due(BackupCatalog(backup_folder).list_backups(), BackupRules())


def _create_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_clock_that_was_ahead_does_not_stop_backups(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    set_clock(24 * 365)
    take_backup(live_database, backup_folder, BackupRules())
    set_clock(0)

    assert is_due(BackupCatalog(backup_folder).list_backups(), BackupRules())
    take_backup(live_database, backup_folder, BackupRules())
    assert not is_due(BackupCatalog(backup_folder).list_backups(), BackupRules())


def test_the_last_two_good_full_backups_and_their_increments_always_stay(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    first, upon = (
        take_backup(live_database, backup_folder, BackupRules()),
        take_backup(live_database, backup_folder, BackupRules()),
    )
    set_clock(24 * 90)
    store = BackupCatalog(backup_folder)

    assert folder_module.prune_backups(store, 86400) == [] and store.list_backups() == [first, upon]
    second = take_backup(live_database, backup_folder, BackupRules(keep=86400))
    assert store.list_backups() == [first, upon, second]
    set_clock(24 * 92)
    third = take_backup(live_database, backup_folder, BackupRules(keep=86400))
    assert store.list_backups() == [second, third] and not first.path.exists()


def test_a_clock_that_is_ahead_for_a_while_prunes_no_needed_backup(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    taken = [
        take_backup(live_database, backup_folder, BackupRules(keep=86400)),
        take_backup(live_database, backup_folder, BackupRules(keep=86400)),
    ]
    set_clock(24 * 3650)
    taken.append(take_backup(live_database, backup_folder, BackupRules(keep=86400)))
    set_clock(1)

    assert is_due(BackupCatalog(backup_folder).list_backups(), BackupRules())
    taken.append(take_backup(live_database, backup_folder, BackupRules(keep=86400)))
    set_clock(2)
    taken.append(take_backup(live_database, backup_folder, BackupRules(keep=86400)))

    assert [one.kind for one in taken] == ["full", "increment", "full", "full", "increment"]
    assert (
        taken[-1].base == taken[-2].id and BackupCatalog(backup_folder).find_backup() == taken[-1]
    )
    assert BackupCatalog(backup_folder).list_backups() == taken and not is_due(
        BackupCatalog(backup_folder).list_backups(), BackupRules()
    )


def test_a_backup_from_the_future_is_not_one_of_the_last_two(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    rules, taken = BackupRules(keep=86400), []
    for hour in (0, 24, 24 * 58, 24 * 3):
        set_clock(hour)
        taken.append(take_backup(live_database, backup_folder, rules, full=True))

    assert BackupCatalog(backup_folder).list_backups() == taken[1:], (
        "of the last two, one is of a time to come"
    )


def test_entries_pruned_long_ago_leave_the_manifest_and_others_stay(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    rules, sizes, names = BackupRules(full=8 * 3600, increment=2 * 3600, keep=86400), [], set()
    for pair in range(12 * 6):
        set_clock(pair * 2)
        names.add(take_backup(live_database, backup_folder, rules).id)
        sizes.append((backup_folder / tool.MANIFEST).stat().st_size)

    said, store = tool.read_manifest(str(backup_folder))[0], BackupCatalog(backup_folder)
    assert max(sizes[48:]) < 1.2 * max(sizes[24:48]), "it does not grow"
    assert len([line for line in said if line["what"] == "shortened"]) == 1
    assert {line["id"] for line in said if line["what"] == "taken"} >= {
        one.id for one in store.list_backups()
    }
    assert (
        all(one.verified for one in store.list_backups())
        and len(names) == 12 * 6
        and trials.find_leftovers(backup_folder) == set()
    )
    assert (
        len(tool.list_entries(str(backup_folder))) == len(store.list_backups())
        and store.find_damaged_lines() == []
    )


def test_the_manifest_is_rewritten_at_most_daily_and_only_when_worthwhile(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    take_backup(live_database, backup_folder, BackupRules())
    before = (backup_folder / tool.MANIFEST).read_bytes()
    folder_module.shorten_manifest(backup_folder, 60.0)
    assert (backup_folder / tool.MANIFEST).read_bytes() == before

    left = []
    for hour in (2, 3, 27):
        folder_module.append_line(
            backup_folder,
            what="pruned",
            id=f"20250101T0000{hour:02}Z-full",
            at="2025-01-01T00:00:00.000000Z",
        )
        set_clock(hour)
        folder_module.shorten_manifest(backup_folder, 60.0)
        left.append(
            len(
                [
                    line
                    for line in tool.read_manifest(str(backup_folder))[0]
                    if line["what"] == "pruned"
                ]
            )
        )
    assert left == [0, 1, 0]


def test_a_pruned_file_that_still_exists_stays_in_the_manifest(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    first = take_backup(live_database, backup_folder, BackupRules())
    folder_module.append_line(backup_folder, what="pruned", id=first.id, at=first.at)
    folder_module.append_line(backup_folder, what="pruned", id="20250101T000000Z-full", at=first.at)
    set_clock(24 * 90)

    folder_module.shorten_manifest(backup_folder, 60.0)

    assert [line["what"] for line in tool.read_manifest(str(backup_folder))[0]] == [
        "pruned",
        "shortened",
    ] and BackupCatalog(backup_folder).list_backups() == []


def test_a_manifest_that_cannot_be_rewritten_stays_unchanged(
    live_database: Path,
    backup_folder: Path,
    set_clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
):
    take_backup(live_database, backup_folder, BackupRules())
    folder_module.append_line(
        backup_folder, what="pruned", id="20250101T000000Z-full", at="2025-01-01T00:00:00.000000Z"
    )
    before = (backup_folder / tool.MANIFEST).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(folder_module, "_write_all", full)
    with pytest.raises(OSError, match="no space"):
        folder_module.shorten_manifest(backup_folder, 60.0)

    assert (backup_folder / tool.MANIFEST).read_bytes() == before and trials.find_leftovers(
        backup_folder
    ) == set()


def test_the_newest_backup_is_the_last_taken_whatever_its_clock_read(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    set_clock(24 * 365)
    ahead = take_backup(live_database, backup_folder, ALWAYS)
    set_clock(1)
    right = take_backup(live_database, backup_folder, ALWAYS)
    store = BackupCatalog(backup_folder)

    assert (
        store.list_backups() == [ahead, right]
        and store.find_backup() == right
        and store.list_good()[-1] == right
    )
    (backup_folder / tool.MANIFEST).unlink()
    assert store.list_backups() == [ahead, right] and store.find_backup(at=ahead.at) == ahead


def test_outdated_backups_are_pruned_first_to_free_a_full_disk(
    live_database: Path,
    backup_folder: Path,
    set_clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
):
    first = take_backup(live_database, backup_folder, BackupRules())
    for day in (1, 2):
        set_clock(24 * day)
        take_backup(live_database, backup_folder, BackupRules())
    set_clock(24 * 60)
    require = space_errors.require_space
    monkeypatch.setattr(
        space_errors,
        "require_space",
        lambda *args: require(backup_folder, 2**60) if first.path.exists() else require(*args),
    )

    assert (
        take_backup(live_database, backup_folder, BackupRules()).kind == "full"
        and not first.path.exists()
    )


def test_a_disk_with_no_room_for_one_line_is_pruned_too(
    live_database: Path,
    backup_folder: Path,
    set_clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
):
    first = take_backup(live_database, backup_folder, BackupRules())
    for day in (1, 2):
        set_clock(24 * day)
        take_backup(live_database, backup_folder, BackupRules())
    set_clock(24 * 60)
    append = folder_module.append_line

    def full(where: Path, **said: object) -> None:
        if first.path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        append(where, **said)

    monkeypatch.setattr(folder_module, "append_line", full)
    last = BackupCatalog(backup_folder).find_backup()

    assert [last, take_backup(live_database, backup_folder, BackupRules())] == BackupCatalog(
        backup_folder
    ).list_backups()


def test_a_pruned_file_left_behind_is_removed_and_its_id_not_reused(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    first = take_backup(live_database, backup_folder, BackupRules())
    data = first.path.read_bytes()
    folder_module.append_line(backup_folder, what="pruned", id=first.id, at=first.at)
    assert first.path.read_bytes() == data and BackupCatalog(backup_folder).list_backups() == []

    second = take_backup(live_database, backup_folder, BackupRules())

    assert not first.path.exists() and second.id == f"{first.id}-2"


def test_a_backup_is_found_by_its_id_or_by_a_latest_time(
    live_database: Path, backup_folder: Path, set_clock: Callable[[float], None]
):
    first, early = (
        take_backup(live_database, backup_folder, BackupRules()),
        "2025-12-31T00:00:00.000000Z",
    )
    set_clock(2)
    second = take_backup(live_database, backup_folder, BackupRules())
    store = BackupCatalog(backup_folder)

    assert (
        store.find_backup() == second
        and store.find_backup(first.id) == first
        and store.find_backup(at="2026-01-01T01:59:00.000000Z") == first
    )
    assert (
        store.find_backup(f"{second.id}.backup")
        == store.find_backup(str(second.path))
        == store.find_backup(second.id[:-4])
        == second
    )
    with pytest.raises(
        NoBackup,
        match=(
            f"no good backup up to {tool.format_local_time(early)}; the oldest is from"
            f" {tool.format_local_time(first.at)}"
        ),
    ):
        store.find_backup(at=early)
    with pytest.raises(
        NoBackup,
        match=(
            r"2 backups begin with 20260101 \(20260101T000000Z-full, 20260101T020000Z-increment\)"
        ),
    ):
        store.find_backup("20260101")
    with pytest.raises(NoBackup, match="no backup yesterday"):
        store.find_backup("yesterday")


def test_a_rebuild_never_overwrites_a_file(
    live_database: Path, backup_folder: Path, tmp_path: Path
):
    taken = take_backup(live_database, backup_folder, ALWAYS)
    there = tmp_path / "there"
    there.write_text("mine")

    with pytest.raises(FileExistsError):
        BackupCatalog(backup_folder).rebuild(taken, there)
    assert there.read_text() == "mine"


def test_the_folder_of_another_database_is_refused(live_database: Path, tmp_path: Path):
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.create_database(other, 3)
    shared = tmp_path / "somewhere" / "shared"
    take_backup(live_database, shared, ALWAYS)

    with pytest.raises(
        Storage,
        match=(
            r"backups of another database .* and none of this one: .*-full\.backup\. No backup was"
        ),
    ) as told:
        take_backup(other, shared, ALWAYS)
    assert (
        len(BackupCatalog(shared).list_backups()) == 1
        and told.value.hint == "Move them away, or choose another folder for this home."
    )


def test_a_backup_of_another_database_in_the_folder_stops_nothing(
    live_database: Path, backup_folder: Path, tmp_path: Path, set_clock: Callable[[float], None]
):
    other = tmp_path / "other" / "live.db"
    other.parent.mkdir()
    step_database.create_database(other, 3)
    shared = tmp_path / "somewhere" / "shared"
    first = take_backup(live_database, shared, ALWAYS)
    set_clock(1)
    theirs = Path(shutil.copy(take_backup(other, backup_folder, ALWAYS).path, shared))

    set_clock(2)
    second = take_backup(live_database, shared, ALWAYS)

    assert (
        second.base == first.id
        and theirs.exists()
        and {first.id, second.id}
        == {one.id for one in BackupCatalog(shared, live_database).list_own()}
    )


def test_a_home_reached_by_another_path_is_the_same_home(live_database: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(live_database.parent)
    shared = tmp_path / "somewhere" / "shared"
    first = take_backup(live_database, shared, ALWAYS)

    assert take_backup(tmp_path / "link" / live_database.name, shared, ALWAYS).base == first.id


def test_too_little_space_is_reported_before_anything_is_copied(
    live_database: Path, backup_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    free = os.statvfs(backup_folder.parent)
    few = os.statvfs_result((free.f_bsize, 4096, free.f_blocks, 10, 10, *free[5:]))
    monkeypatch.setattr(space_errors.os, "statvfs", lambda path: few)

    with pytest.raises(
        DiskFull,
        match=r"needs .* MiB in .*, 0\.1 MiB are free: .* MiB are missing\. No backup was taken",
    ):
        take_backup(live_database, backup_folder, ALWAYS)
    assert (
        trials.find_leftovers(backup_folder) == set()
        and BackupCatalog(backup_folder).list_backups() == []
    )


TAKE_SCRIPT = """
import sys
from pathlib import Path
from db.backup.create import BackupRules, take_backup
from db.errors import Problem
try:
    take_backup(Path(sys.argv[1]), Path(sys.argv[2]), BackupRules(), companions={"config": b"x"})
except Problem as problem:
    print(problem.code, problem.exit_code)
"""


@pytest.mark.process
@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_disk_that_fills_up_leaves_only_a_clear_error(
    live_database: Path, backup_folder: Path, part: float
):
    with closing(sqlite3.connect(live_database)) as c:
        size = c.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()[0]
    limit = int(size * part)

    done = subprocess.run(
        [sys.executable, "-c", TAKE_SCRIPT, live_database, backup_folder], capture_output=True,
        text=True, check=False, cwd=Path(__file__).parents[3],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip

    assert done.stdout.split() in (["disk-full", "5"], ["storage", "5"]) and done.stderr == ""
    assert (
        BackupCatalog(backup_folder).list_backups() == []
        and trials.find_leftovers(backup_folder) == set()
    )
    assert take_backup(live_database, backup_folder, ALWAYS).verified
