"""Acceptance tests of `taskdeck db backup`, `backups` and `verify`."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from app.service.database import backups
from app.service.definitions import queues
from db import timestamps
from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.long.backup.trials import flip_last_byte


def get_only_backup(saved: AcceptanceHome) -> Path:
    (path,) = (saved.home / "backups").glob("*.backup")
    return path


def test_an_offline_backup_takes_the_lock_and_starts_no_runtime(unstarted_home: AcceptanceHome):
    taken = unstarted_home.run_json("db", "backup")

    assert (taken["kind"], taken["verified"]) == ("full", True) and Path(taken["path"]).is_file()
    assert unstarted_home.run_json("db", "backups") == [
        {name: taken[name] for name in taken if name != "after"}
    ]
    assert unstarted_home.call_verb("status")["runtime"]["state"] != "running"
    assert unstarted_home.run_ok("db", "verify") == "1 backup checked, all good\n"


def test_an_unused_home_says_so(acceptance_home: AcceptanceHome):
    refused = acceptance_home.run_cli("db", "backup")

    assert refused.returncode == 3 and "no database" in refused.stderr
    assert (
        acceptance_home.run_ok("db", "backups") == ""
        and acceptance_home.run_ok("db", "verify") == "no backups yet\n"
        and not acceptance_home.home.exists()
    )


def test_tasks_run_during_backups_that_restore_without_taskdeck(
    acceptance_home: AcceptanceHome, tmp_path: Path
):
    acceptance_home.submit("--", "true")
    acceptance_home.run_ok("wait", "1")

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(
            lambda: [
                acceptance_home.run_json("db", "backup", *full) for full in ([], [], ["--full"])
            ]
        )
        numbers = [acceptance_home.submit("--", "true") for _ in range(5)]
        acceptance_home.run_ok("wait", *numbers)
        taken = taking.result()

    away = shutil.copytree(acceptance_home.home / "backups", tmp_path / "away")
    for one in taken:
        target = tmp_path / f"{one['id']}.db"
        argv = [sys.executable, "-I", "-S", away / "restore.py", "restore", one["id"], target]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
        assert target.stat().st_size > 0
    assert [one["kind"] for one in taken][0] == "full" and taken[-1]["kind"] == "full"
    assert any(row["verb"] == "db backup" for row in acceptance_home.run_json("operations"))


@pytest.mark.parametrize(("said", "code"), [('kep = "14d"', 0), ('folder = "there"', 2)])
def test_invalid_settings_are_reported_once(unstarted_home: AcceptanceHome, said: str, code: int):
    config = unstarted_home.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backup]\n{said}\n")

    for words in (["db", "backup"], ["db", "backups"], ["db", "verify"]):
        done = unstarted_home.run_cli(*words)
        assert done.returncode == code and done.stderr.count(f"{config}, line 2: backup") == 1, (
            done.stderr
        )
        assert ("Ignored" in done.stderr) == (code == 0)


def test_a_bad_backup_exits_5_and_is_listed_as_bad(backed_up_home: AcceptanceHome):
    path = get_only_backup(backed_up_home)
    flip_last_byte(path)
    manifest = (path.parent / "manifest.jsonl").read_bytes()

    looked = backed_up_home.run_cli("--read-only", "db", "verify")
    assert (
        looked.returncode == 5 and looked.stdout == f"{path.stem} is bad: its checksum is wrong\n"
    )
    assert (
        "--read-only: the bad backup was not marked" in looked.stderr
        and "bad backups are ignored. " not in looked.stderr
    )
    assert (path.parent / "manifest.jsonl").read_bytes() == manifest

    checked = backed_up_home.run_cli("db", "verify")

    assert (
        checked.returncode == 5 and checked.stdout == f"{path.stem} is bad: its checksum is wrong\n"
    )
    assert "bad backups are ignored. Take a new one: taskdeck db backup --full" in checked.stderr
    assert backed_up_home.run_cli("db", "verify", path.stem, "--json").returncode == 5
    listed = backed_up_home.run_ok("db", "backups")
    assert f"{path.stem}" in listed and "bad: its checksum is wrong" in listed
    assert backed_up_home.run_cli("db", "verify", "nonesuch").returncode == 3


def test_backups_are_listed_and_verified_with_a_damaged_database(backed_up_home: AcceptanceHome):
    taken = get_only_backup(backed_up_home).stem
    (backed_up_home.home / "taskdeck.db").write_bytes(b"not a database" * 1000)

    assert [one["id"] for one in backed_up_home.run_json("db", "backups")] == [taken]
    assert backed_up_home.run_ok("db", "verify", taken) == "1 backup checked, all good\n"
    refused = backed_up_home.run_cli("db", "backup")
    assert refused.returncode == 5 and "Traceback" not in refused.stderr


@pytest.mark.parametrize("has_runtime", [True, False])
def test_damage_during_a_backup_is_blamed_on_the_database(
    backed_up_home: AcceptanceHome, has_runtime: bool
):
    taken = get_only_backup(backed_up_home).stem
    database = backed_up_home.home / "taskdeck.db"
    with closing(sqlite3.connect(database)) as c:
        (page,) = c.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'idx_tasks_name'"
        ).fetchone()
    if has_runtime:
        backed_up_home.run_ok("serve", "--detach")
    with database.open("r+b") as file:  # a page that no statement of a backup reads
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)

    refused = backed_up_home.run_cli("db", "backup", "--full")

    assert refused.returncode == 5 and refused.stderr.startswith(
        "taskdeck: the database is damaged ("
    ), refused.stderr
    assert (
        "Newest good backup: " in refused.stderr
        and "taskdeck db restore --dry-run" in refused.stderr
    )
    assert len(refused.stderr.splitlines()) == 1 and "is bad" not in refused.stderr
    assert [one["id"] for one in backed_up_home.run_json("db", "backups")] == [taken]


@pytest.mark.parametrize("has_runtime", [True, False])
def test_a_failing_after_program_is_reported_once_with_exit_1(
    unstarted_home: AcceptanceHome, has_runtime: bool
):
    config = unstarted_home.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[backup]\nafter = ["/bin/sh", "-c", "echo no such host >&2; exit 3"]\n')
    if has_runtime:
        unstarted_home.run_ok("serve", "--detach")

    done = unstarted_home.run_cli("db", "backup")

    assert done.returncode == 1 and "test-restored without errors" in done.stdout
    assert done.stderr == "taskdeck: /bin/sh, which is run after a backup, exited 3: no such host\n"
    assert (
        any(row["verb"] == "db backup after" for row in unstarted_home.call_verb("operations"))
        is has_runtime
    )


def start_waiting_backup(house: AcceptanceHome) -> subprocess.Popen[str]:
    """Start a backup and wait until it waits for its after program."""
    line, pipe = [PROGRAM, "db", "backup"], subprocess.PIPE
    taking = subprocess.Popen(
        line,
        env=house.env,
        cwd=house.work,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    assert taking.stderr and "waiting for the after-program /bin/sh" in taking.stderr.readline()
    return taking


def test_after_programs_run_one_at_a_time_without_a_runtime(
    unstarted_home: AcceptanceHome, tmp_path: Path
):
    config, seen, gate = (
        unstarted_home.work.parent / "config" / "taskdeck" / "config.toml",
        tmp_path / "seen",
        tmp_path / "gate",
    )
    config.parent.mkdir(parents=True)
    os.mkfifo(gate)
    config.write_text(
        f"""[backup]\nafter = ["/bin/sh", "-c", "echo begun >> {seen}; read word < {gate}; """
        f"""echo ended >> {seen}"]\n"""
    )

    with (
        start_waiting_backup(unstarted_home) as first,
        start_waiting_backup(unstarted_home) as second,
    ):
        both = seen.read_text()
        os.close(os.open(gate, os.O_RDWR))  # unblocks a reader that waits at the gate
        assert first.wait(30) == 0
        if both == "begun\n":
            gate.write_text("go\n")
        assert second.wait(30) == 0

    assert both == "begun\n" and seen.read_text() == "begun\nended\nbegun\nended\n"


def test_ids_are_never_truncated_and_times_show_seconds(unstarted_home: AcceptanceHome):
    taken = [unstarted_home.run_offline(partial(backups.backup, full=True))["id"] for _ in range(2)]
    path = unstarted_home.home / "backups" / f"{taken[0]}.backup"
    path.write_bytes(path.read_bytes()[:-1])

    with unstarted_home.open_terminal("db", "backups", columns=80) as terminal:
        assert terminal.end() == 0

    for one in taken:
        line = next(line for line in terminal.text.splitlines() if f"{one} " in line)
        assert (
            f"{timestamps.parse_time(f'{one[:4]}-{one[4:6]}-{one[6:11]}:{one[11:13]}:{one[13:15]}Z').astimezone():%H:%M:%S}"
            in line
        )
    assert "bad: " in terminal.text


def test_a_replaced_database_is_listed_and_restorable(backed_up_home: AcceptanceHome):
    first = get_only_backup(backed_up_home).stem
    backed_up_home.run_offline(lambda call: queues.queue_create(call, name="night", capacity=1))
    assert backed_up_home.run_cli("db", "backups").stderr == ""
    said = backed_up_home.run_ok("db", "restore", first[:20], "--yes")
    assert (
        "not carried over, created since: queue night" in said
        and "1 later operation is missing from its log" in said
    )
    (kept,) = backed_up_home.home.glob("taskdeck.db.before-restore-*")

    told = backed_up_home.run_cli("db", "backups")
    assert "1 database kept by a restore or an upgrade is in the home" in told.stderr
    assert "all but the newest are removed after 30d" in told.stderr
    assert (
        f"taskdeck db restore {kept.name}\n" in told.stderr
        and backed_up_home.run_cli("db", "backups", "-o", "name").stderr == ""
    )
    assert "night" not in str(backed_up_home.call_verb("queue.ls"))
    backed_up_home.run_ok("db", "restore", kept.name, "--yes")

    assert "night" in str(backed_up_home.call_verb("queue.ls")) and kept.exists()


def test_a_backup_goes_to_another_folder_and_prints_jsonl(unstarted_home: AcceptanceHome):
    said = json.loads(unstarted_home.run_ok("db", "backup", "--to", "elsewhere", "--jsonl"))

    assert (
        Path(said["path"]).parent == unstarted_home.work / "elsewhere"
        and (unstarted_home.work / "elsewhere" / "restore.py").is_file()
    )
    assert unstarted_home.run_json("db", "backups") == []
    unstarted_home.run_offline(backups.backup)
    assert unstarted_home.run_ok("db", "backups", "-o", "name").strip().endswith("-full")


def test_folder_problems_are_reported_by_the_restore_program(backed_up_home: AcceptanceHome):
    manifest = backed_up_home.home / "backups" / "manifest.jsonl"
    manifest.write_bytes(b"x" + manifest.read_bytes())

    assert backed_up_home.run_cli("db", "backup").stderr.startswith(
        f"taskdeck: lines [1] of {manifest} were damaged; "
    )
