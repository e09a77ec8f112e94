"""A damaged database: never written to, always explained, brought back by a restore."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app import paths
from app.home import database_presence, setup
from app.home.restore_advice import Newest
from app.service.database import backups
from db.errors import DamagedDatabase
from tests.acceptance.acceptance_home import House
from tests.long.corruption import trials
from tests.runtime_process import until
from tests.service.calls import submitted


def test_twenty_random_corruptions_are_told_never_written_to_and_brought_back(tmp_path: Path):
    model, dice = tmp_path / "model", random.Random(20)
    paths.make_home(model)
    trials.furnish(model, 60)

    assert len([trials.trial(model, tmp_path / "home", dice) for _ in range(20)]) == 20


def test_every_command_says_what_to_do(saved: House):
    database = saved.home / "taskdeck.db"
    database.write_bytes(database.read_bytes()[:-9000])
    before = database.read_bytes()

    for words in (["serve", "--detach"], ["ls"], ["db", "check"], ["db", "migrate"], ["db", "check", "--repair"]):
        done = saved.td(*words)
        assert done.returncode == 5 and "Traceback" not in done.stderr, words
        assert "Newest good backup" in done.stderr and "taskdeck db restore --dry-run" in done.stderr, (words, done.stderr)
    assert database.read_bytes() == before


def test_a_check_of_a_damaged_database_ends_with_what_can_be_done(saved: House):
    with closing(sqlite3.connect(saved.home / "taskdeck.db")) as c:
        ((root,),) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_tasks_status'")
    with (saved.home / "taskdeck.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    for words in ([], ["--repair"]):
        done = saved.td("db", "check", *words)
        assert done.returncode == 5 and done.stdout
        assert done.stderr.startswith("taskdeck: the database is damaged. Newest good backup: ")
        assert done.stderr.endswith(" old. See what would change: taskdeck db restore --dry-run\n")


def test_a_database_that_is_gone_is_not_made_anew_where_there_are_backups(saved: House):
    database = saved.home / "taskdeck.db"
    database.unlink()

    alone = [["ls"], ["db", "check", "--repair"], ["db", "backup"], ["db", "cleanup", "--dry-run"]]
    for words in (["serve", "--detach"], ["db", "migrate"], *alone):
        done = saved.td(*words)
        assert done.returncode == 5 and "the database is gone" in done.stderr, (words, done.stderr)
        assert "Newest good backup" in done.stderr and "taskdeck db restore" in done.stderr and not database.exists(), done.stderr
    assert "the next task will be" in saved.ok("db", "restore", "--yes")
    assert "held" in saved.ok("ls")


def test_backups_elsewhere_do_not_keep_another_home_from_its_first_start(home: Path, database: Path, monkeypatch: pytest.MonkeyPatch):
    other = home / "other"
    paths.make_home(other)
    trials.furnish(other, 3)
    there = other / "backups"
    database.unlink()
    monkeypatch.setattr(database_presence, "folder", lambda _: there)
    monkeypatch.setattr(database_presence, "newest", lambda _: Newest("2026-01-02T00:00:00.000000Z", ""))

    setup.look_over(home)
    (home / "run" / database_presence.CLOSED).touch()
    with pytest.raises(DamagedDatabase, match="is gone"):
        setup.prepare(home)

    assert not database.exists()


@pytest.mark.parametrize("sign", ["run/closed", "run/journal2", "runs/a1", "taskdeck.db-wal", "taskdeck.db.before-restore-{}"])
def test_whatever_is_left_of_a_home_shows_that_it_was_used(home: Path, sign: str):
    setup.look_over(home)
    left = home / sign.format("2020-01-02T000000.000000")
    left.touch() if sign.startswith("taskdeck.db") else left.mkdir()

    with pytest.raises(DamagedDatabase, match="is gone.* no good backup of it is within reach") as told:
        setup.look_over(home)
    assert f"To begin anew, move away the home: mv {home} {home}.before" in told.value.hint


def test_a_home_that_is_gone_is_known_by_its_backups_elsewhere(idle: House):
    config = idle.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[backup]\nfolder = "{idle.work.parent}/far"\n')
    taken = idle.here(backups.backup)
    shutil.rmtree(idle.home)

    for words in (["ls"], ["submit", "-c", "true"]):
        done = idle.td(*words)
        assert done.returncode == 5 and "the database is gone" in done.stderr and "Newest good backup" in done.stderr, done.stderr
        assert f"To begin anew, move away its backups: {Path(taken['path']).parent}." in done.stderr
    assert idle.td("ls", TASKDECK_HOME=f"{idle.home}2").returncode == 0, "another home never had any"
    idle.ok("db", "restore", "--yes")
    assert idle.standing() == {1: "held"}


def test_a_home_that_was_used_is_not_begun_anew_though_its_backups_are_out_of_reach(saved: House):
    backups, aside = saved.home / "backups", saved.home.parent / "aside"
    backups.rename(aside)
    backups.symlink_to(saved.home / "nowhere")
    for file in saved.home.glob("taskdeck.db*"):
        file.unlink()

    for words in (["ls"], ["serve", "--detach"]):
        done = saved.td(*words)
        assert done.returncode == 5 and "the database is gone" in done.stderr and "no good backup of it is within reach" in done.stderr
        assert f"To begin anew, move away the home: mv {saved.home} {saved.home}.before" in done.stderr, done.stderr
    backups.unlink()
    aside.rename(backups)
    saved.ok("db", "restore", "--yes")
    assert saved.standing() == {1: "held"}

    saved.shell(f"mv {saved.home} {saved.home}.before")
    assert saved.submit("--hold", "-c", "true") == "1"


def test_settings_that_are_wrong_hide_no_backup(idle: House):
    config = idle.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    well = f'[backup]\nfolder = "{idle.work.parent}/far"\n'
    config.write_text(well)
    idle.here(backups.backup)
    for file in idle.home.glob("taskdeck.db*"):
        file.unlink()
    config.write_text(well.replace("folder", "foldr"))

    for words in (["serve", "--detach"], ["ls"]):
        done = idle.td(*words)
        assert done.returncode == 5 and "the database is gone" in done.stderr and f"{config}, line 2" in done.stderr, done.stderr
        assert "no good backup" not in done.stderr
    done = idle.td("db", "restore", "--yes")
    assert done.returncode == 2 and "not known where the backups lie" in done.stderr, done.stderr

    config.write_text(f'theme = "nope"\n{well}')
    idle.ok("db", "restore", "--yes")
    assert idle.standing() == {1: "held"}


def test_an_empty_file_in_its_place_is_told_and_restored_over(saved: House):
    (saved.home / "taskdeck.db").write_bytes(b"")

    said = saved.ok("db", "restore", "--dry-run")

    assert "now     cannot be read (empty)" in said
    saved.ok("db", "restore", "--yes")
    assert saved.standing() == {1: "held"}


def test_after_a_stop_in_peace_nothing_is_read_again(home: Path, database: Path, monkeypatch: pytest.MonkeyPatch):
    assert setup.unsure(home)
    with setup.let_go_in_peace(home, []):
        assert setup.unsure(home)
    assert not setup.unsure(home)
    monkeypatch.setattr(setup.check, "quick", lambda path: pytest.fail("read once more"))
    setup.look_over(home)

    with pytest.raises(RuntimeError), setup.let_go_in_peace(home, []):
        raise RuntimeError("killed")
    assert setup.unsure(home)


def test_damage_that_a_write_meets_ends_all_writing_and_the_next_start_looks_again(saved: House):
    database = saved.home / "taskdeck.db"
    with closing(sqlite3.connect(database)) as c:
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'environments'").fetchone()
    with database.open("r+b") as file:  # only a task with other variables than the one before writes there
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    mark = saved.home / "run" / database_presence.CLOSED
    inode, size, _ = mark.read_text().split()
    mark.write_text(f"{inode} {size} {database.stat().st_mtime_ns}")  # as if the runtime had let go of it like this

    saved.ok("serve", "--detach")
    told = [saved.td("submit", "-c", "true", NEW="1"), saved.td("hold", "1"), saved.td("submit", "-c", "true")]
    before = database.read_bytes()

    for done in told:
        assert done.returncode == 5 and "Newest good backup" in done.stderr and "db restore" in done.stderr, done.stderr
    until(lambda: "database damaged since" in saved.ok("status"), "the runtime says why nothing starts")
    saved.ok("stop")
    assert saved.td("serve", "--detach").returncode == 5
    assert database.read_bytes() == before


def test_a_database_that_is_removed_under_the_runtime_takes_nothing_more_and_what_was_in_it_is_saved(house: House):
    known = [house.submit("--hold", "-c", "true"), house.submit("--hold", "-c", "false")]
    database = house.home / "taskdeck.db"
    database.unlink()

    at_once = house.td("submit", "-c", "true")
    until(lambda: list(house.home.glob("taskdeck.db.rescued-*")), "it is saved")
    later = until(lambda: (done := house.td("submit", "-c", "true")) and "is saved" in done.stderr and done, "that is told")
    assert (at_once.returncode, at_once.stdout, later.returncode, later.stdout) == (5, "", 5, "")
    assert "GONE" in house.ok("status") and not database.exists()

    house.ok("stop")
    still = house.td("ls")
    assert still.returncode == 5 and "has saved" in still.stderr, still.stderr
    assert later.stderr.partition("taskdeck stop && ")[2] == still.stderr.partition("Put it back: ")[2]
    house.shell(still.stderr.partition("Put it back: ")[2])
    house.ok("serve", "--detach")
    assert sorted(str(row["number"]) for row in house.json("ls")) == known


def test_a_deck_over_a_damaged_database_says_so_and_that_the_runtime_lives_and_once_that_is_stopped_all_is_restored(idle: House):
    idle.here(lambda call: submitted(call, hold=True, name="to be seen"))
    idle.here(backups.backup)
    idle.ok("serve", "--detach")
    with idle.terminal(columns=80, rows=24) as shown:
        shown.wait("to be seen")
        with (idle.home / "taskdeck.db").open("r+b") as file:
            file.seek(2 * 4096)
            file.write(random.Random(2).randbytes((idle.home / "taskdeck.db").stat().st_size - 2 * 4096))
        refused = idle.td("submit", "-c", "true")
        assert refused.returncode == 5 and "db restore" in refused.stderr
        shown.wait(lambda t: "DATABASE DAMAGED" in t.text and "taskdeck db restore --dry-run" in t.text and "NO RUNTIME" not in t.text)
        shown.wait("to be seen")
        shown.type("5").wait(lambda t: "5 Tasks" in t.text and "DATABASE DAMAGED" in t.text and "taskdeck db restore --dry-run" in t.text)
        shown.type("q").wait("3 Running 0")
        idle.ok("stop")
        shown.wait(lambda t: "NO RUNTIME" in t.text and "DATABASE DAMAGED" in t.text)
        shown.wait(lambda t: "to be seen" in t.text and re.search(r"3 Running 0  as of \d\d:\d\d:\d\d, \d+s old", t.text)).type("q").end()

    idle.ok("db", "restore", "--yes")
    assert idle.standing() == {1: "held", 2: "held"}
