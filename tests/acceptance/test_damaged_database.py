"""Acceptance tests of a damaged database: no writes, clear messages, restore."""

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
from app.home.restore_advice import RestoreCandidate
from app.service.database import backups
from db.errors import DamagedDatabase
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.long.corruption import trials
from tests.runtime_process import wait_until
from tests.service.calls import submit_task


def test_random_corruptions_are_reported_not_written_and_restored(tmp_path: Path):
    model, dice = tmp_path / "model", random.Random(20)
    paths.make_home(model)
    trials.fill_home(model, 60)

    assert len([trials.run_trial(model, tmp_path / "home", dice) for _ in range(20)]) == 20


def test_every_command_names_the_remedy(backed_up_home: AcceptanceHome):
    database = backed_up_home.home / "taskdeck.db"
    database.write_bytes(database.read_bytes()[:-9000])
    before = database.read_bytes()

    for words in (
        ["serve", "--detach"],
        ["ls"],
        ["db", "check"],
        ["db", "migrate"],
        ["db", "check", "--repair"],
    ):
        done = backed_up_home.run_cli(*words)
        assert done.returncode == 5 and "Traceback" not in done.stderr, words
        assert (
            "Newest good backup" in done.stderr and "taskdeck db restore --dry-run" in done.stderr
        ), (words, done.stderr)
    assert database.read_bytes() == before


def test_a_check_of_a_damaged_database_ends_with_advice(backed_up_home: AcceptanceHome):
    with closing(sqlite3.connect(backed_up_home.home / "taskdeck.db")) as c:
        ((root,),) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_tasks_status'")
    with (backed_up_home.home / "taskdeck.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    for words in ([], ["--repair"]):
        done = backed_up_home.run_cli("db", "check", *words)
        assert done.returncode == 5 and done.stdout
        assert done.stderr.startswith("taskdeck: the database is damaged. Newest good backup: ")
        assert done.stderr.endswith(" old. See what would change: taskdeck db restore --dry-run\n")


def test_a_missing_database_is_not_recreated_beside_backups(backed_up_home: AcceptanceHome):
    database = backed_up_home.home / "taskdeck.db"
    database.unlink()

    alone = [["ls"], ["db", "check", "--repair"], ["db", "backup"], ["db", "cleanup", "--dry-run"]]
    for words in (["serve", "--detach"], ["db", "migrate"], *alone):
        done = backed_up_home.run_cli(*words)
        assert done.returncode == 5 and "the database is gone" in done.stderr, (words, done.stderr)
        assert (
            "Newest good backup" in done.stderr
            and "taskdeck db restore" in done.stderr
            and not database.exists()
        ), done.stderr
    assert "the next task will be" in backed_up_home.run_ok("db", "restore", "--yes")
    assert "held" in backed_up_home.run_ok("ls")


def test_foreign_backups_do_not_block_the_first_start(
    home: Path, database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = home / "other"
    paths.make_home(other)
    trials.fill_home(other, 3)
    there = other / "backups"
    database_path.unlink()
    monkeypatch.setattr(database_presence, "find_backup_folder", lambda _: there)
    monkeypatch.setattr(
        database_presence,
        "find_newest_backup",
        lambda _: RestoreCandidate("2026-01-02T00:00:00.000000Z", ""),
    )

    setup.verify_before_start(home)
    (home / "run" / database_presence.CLEAN_SHUTDOWN_FILE).touch()
    with pytest.raises(DamagedDatabase, match="is gone"):
        setup.prepare_database(home)

    assert not database_path.exists()


@pytest.mark.parametrize(
    "sign",
    ["run/closed", "run/journal2", "runs/a1", "taskdeck.db-wal", "taskdeck.db.before-restore-{}"],
)
def test_any_remaining_file_marks_a_used_home(home: Path, sign: str):
    setup.verify_before_start(home)
    left = home / sign.format("2020-01-02T000000.000000")
    left.touch() if sign.startswith("taskdeck.db") else left.mkdir()

    with pytest.raises(
        DamagedDatabase, match="is gone.* no good backup of it is within reach"
    ) as told:
        setup.verify_before_start(home)
    assert f"To start over, move away the home: mv {home} {home}.before" in told.value.hint


def test_a_deleted_home_is_recognized_by_its_external_backups(unstarted_home: AcceptanceHome):
    config = unstarted_home.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[backup]\nfolder = "{unstarted_home.work.parent}/far"\n')
    taken = unstarted_home.run_offline(backups.backup)
    shutil.rmtree(unstarted_home.home)

    for words in (["ls"], ["submit", "-c", "true"]):
        done = unstarted_home.run_cli(*words)
        assert (
            done.returncode == 5
            and "the database is gone" in done.stderr
            and "Newest good backup" in done.stderr
        ), done.stderr
        assert f"To start over, move away its backups: {Path(taken['path']).parent}." in done.stderr
    assert unstarted_home.run_cli("ls", TASKDECK_HOME=f"{unstarted_home.home}2").returncode == 0, (
        "another home never had any"
    )
    unstarted_home.run_ok("db", "restore", "--yes")
    assert unstarted_home.map_statuses() == {1: "held"}


def test_a_used_home_is_not_recreated_while_backups_are_unreachable(backed_up_home: AcceptanceHome):
    backups, aside = backed_up_home.home / "backups", backed_up_home.home.parent / "aside"
    backups.rename(aside)
    backups.symlink_to(backed_up_home.home / "nowhere")
    for file in backed_up_home.home.glob("taskdeck.db*"):
        file.unlink()

    for words in (["ls"], ["serve", "--detach"]):
        done = backed_up_home.run_cli(*words)
        assert (
            done.returncode == 5
            and "the database is gone" in done.stderr
            and "no good backup of it is within reach" in done.stderr
        )
        assert (
            f"To start over, move away the home: mv {backed_up_home.home} "
            f"{backed_up_home.home}.before"
        ) in done.stderr, done.stderr
    backups.unlink()
    aside.rename(backups)
    backed_up_home.run_ok("db", "restore", "--yes")
    assert backed_up_home.map_statuses() == {1: "held"}

    backed_up_home.run_shell(f"mv {backed_up_home.home} {backed_up_home.home}.before")
    assert backed_up_home.submit("--hold", "-c", "true") == "1"


def test_invalid_settings_do_not_hide_backups(unstarted_home: AcceptanceHome):
    config = unstarted_home.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    well = f'[backup]\nfolder = "{unstarted_home.work.parent}/far"\n'
    config.write_text(well)
    unstarted_home.run_offline(backups.backup)
    for file in unstarted_home.home.glob("taskdeck.db*"):
        file.unlink()
    config.write_text(well.replace("folder", "foldr"))

    for words in (["serve", "--detach"], ["ls"]):
        done = unstarted_home.run_cli(*words)
        assert (
            done.returncode == 5
            and "the database is gone" in done.stderr
            and f"{config}, line 2" in done.stderr
        ), done.stderr
        assert "no good backup" not in done.stderr
    done = unstarted_home.run_cli("db", "restore", "--yes")
    assert done.returncode == 2 and "The backup folder is therefore unknown" in done.stderr, (
        done.stderr
    )

    config.write_text(f'theme = "nope"\n{well}')
    unstarted_home.run_ok("db", "restore", "--yes")
    assert unstarted_home.map_statuses() == {1: "held"}


def test_an_empty_database_file_is_reported_and_replaced(backed_up_home: AcceptanceHome):
    (backed_up_home.home / "taskdeck.db").write_bytes(b"")

    said = backed_up_home.run_ok("db", "restore", "--dry-run")

    assert "now     cannot be read (empty)" in said
    backed_up_home.run_ok("db", "restore", "--yes")
    assert backed_up_home.map_statuses() == {1: "held"}


def test_a_clean_shutdown_skips_the_next_check(
    home: Path, database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert setup.was_unclean_shutdown(home)
    with setup.mark_clean_shutdown(home, []):
        assert setup.was_unclean_shutdown(home)
    assert not setup.was_unclean_shutdown(home)
    monkeypatch.setattr(setup.integrity, "check_pages", lambda path: pytest.fail("read once more"))
    setup.verify_before_start(home)

    with pytest.raises(RuntimeError), setup.mark_clean_shutdown(home, []):
        raise RuntimeError("killed")
    assert setup.was_unclean_shutdown(home)


def test_damage_found_by_a_write_stops_writing_until_the_next_check(backed_up_home: AcceptanceHome):
    database = backed_up_home.home / "taskdeck.db"
    with closing(sqlite3.connect(database)) as c:
        (page,) = c.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'environments'"
        ).fetchone()
    with database.open("r+b") as file:  # only a task whose environment is new writes to this table
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    mark = backed_up_home.home / "run" / database_presence.CLEAN_SHUTDOWN_FILE
    inode, size, _ = mark.read_text().split()
    # as if the runtime had closed the database in this state
    mark.write_text(f"{inode} {size} {database.stat().st_mtime_ns}")

    backed_up_home.run_ok("serve", "--detach")
    told = [
        backed_up_home.run_cli("submit", "-c", "true", NEW="1"),
        backed_up_home.run_cli("hold", "1"),
        backed_up_home.run_cli("submit", "-c", "true"),
    ]
    before = database.read_bytes()

    for done in told:
        assert (
            done.returncode == 5
            and "Newest good backup" in done.stderr
            and "db restore" in done.stderr
        ), done.stderr
    wait_until(
        lambda: "database damaged since" in backed_up_home.run_ok("status"),
        "the runtime says why nothing starts",
    )
    backed_up_home.run_ok("stop")
    assert backed_up_home.run_cli("serve", "--detach").returncode == 5
    assert database.read_bytes() == before


def test_a_database_deleted_under_the_runtime_is_rescued(acceptance_home: AcceptanceHome):
    known = [
        acceptance_home.submit("--hold", "-c", "true"),
        acceptance_home.submit("--hold", "-c", "false"),
    ]
    database = acceptance_home.home / "taskdeck.db"
    database.unlink()

    at_once = acceptance_home.run_cli("submit", "-c", "true")
    wait_until(lambda: list(acceptance_home.home.glob("taskdeck.db.rescued-*")), "it is saved")
    later = wait_until(
        lambda: (
            (done := acceptance_home.run_cli("submit", "-c", "true"))
            and "is saved" in done.stderr
            and done
        ),
        "that is told",
    )
    assert (at_once.returncode, at_once.stdout, later.returncode, later.stdout) == (5, "", 5, "")
    assert "GONE" in acceptance_home.run_ok("status") and not database.exists()

    acceptance_home.run_ok("stop")
    still = acceptance_home.run_cli("ls")
    assert still.returncode == 5 and "has saved" in still.stderr, still.stderr
    assert (
        later.stderr.partition("taskdeck stop && ")[2] == still.stderr.partition("Put it back: ")[2]
    )
    acceptance_home.run_shell(still.stderr.partition("Put it back: ")[2])
    acceptance_home.run_ok("serve", "--detach")
    assert sorted(str(row["number"]) for row in acceptance_home.run_json("ls")) == known


def test_a_deck_reports_damage_and_works_until_the_restore(unstarted_home: AcceptanceHome):
    unstarted_home.run_offline(lambda call: submit_task(call, hold=True, name="to be seen"))
    unstarted_home.run_offline(backups.backup)
    unstarted_home.run_ok("serve", "--detach")
    with unstarted_home.open_terminal(columns=80, rows=24) as shown:
        shown.wait("to be seen")
        with (unstarted_home.home / "taskdeck.db").open("r+b") as file:
            file.seek(2 * 4096)
            file.write(
                random.Random(2).randbytes(
                    (unstarted_home.home / "taskdeck.db").stat().st_size - 2 * 4096
                )
            )
        refused = unstarted_home.run_cli("submit", "-c", "true")
        assert refused.returncode == 5 and "db restore" in refused.stderr
        shown.wait(
            lambda t: (
                "DATABASE DAMAGED" in t.text
                and "taskdeck db restore --dry-run" in t.text
                and "NO RUNTIME" not in t.text
            )
        )
        shown.wait("to be seen")
        shown.type("5").wait(
            lambda t: (
                "5 Tasks" in t.text
                and "DATABASE DAMAGED" in t.text
                and "taskdeck db restore --dry-run" in t.text
            )
        )
        shown.type("q").wait("3 Running 0")
        unstarted_home.run_ok("stop")
        shown.wait(lambda t: "NO RUNTIME" in t.text and "DATABASE DAMAGED" in t.text)
        shown.wait(
            lambda t: (
                "to be seen" in t.text
                and re.search(r"3 Running 0  as of \d\d:\d\d:\d\d, \d+s old", t.text)
            )
        ).type("q").end()

    unstarted_home.run_ok("db", "restore", "--yes")
    assert unstarted_home.map_statuses() == {1: "held", 2: "held"}
