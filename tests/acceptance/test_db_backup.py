"""`taskdeck db backup`, `backups` and `verify` as a person types them, with a runtime and without."""

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
from tests.acceptance.acceptance_home import PROGRAM, House


def backup_in(saved: House) -> Path:
    """The only one that there is."""
    (path,) = (saved.home / "backups").glob("*.backup")
    return path


def test_without_a_runtime_a_backup_is_taken_under_its_lock_and_none_is_started(idle: House):
    taken = idle.json("db", "backup")

    assert (taken["kind"], taken["verified"]) == ("full", True) and Path(taken["path"]).is_file()
    assert idle.json("db", "backups") == [{name: taken[name] for name in taken if name != "after"}]
    assert idle.ask("status")["runtime"]["state"] != "running"
    assert idle.ok("db", "verify") == "1 backup checked, all well\n"


def test_a_home_that_was_never_used_says_so(house: House):
    refused = house.td("db", "backup")

    assert refused.returncode == 3 and "no database" in refused.stderr
    assert house.ok("db", "backups") == "" and house.ok("db", "verify") == "no backup yet\n" and not house.home.exists()


def test_while_a_runtime_is_up_tasks_run_beside_backups_and_each_is_restored_without_taskdeck(house: House, tmp_path: Path):
    house.submit("--", "true")
    house.ok("wait", "1")

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(lambda: [house.json("db", "backup", *full) for full in ([], [], ["--full"])])
        numbers = [house.submit("--", "true") for _ in range(5)]
        house.ok("wait", *numbers)
        taken = taking.result()

    away = shutil.copytree(house.home / "backups", tmp_path / "away")
    for one in taken:
        target = tmp_path / f"{one['id']}.db"
        argv = [sys.executable, "-I", "-S", away / "restore.py", "restore", one["id"], target]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
        assert target.stat().st_size > 0
    assert [one["kind"] for one in taken][0] == "full" and taken[-1]["kind"] == "full"
    assert any(row["verb"] == "db backup" for row in house.json("operations"))


@pytest.mark.parametrize(("said", "code"), [('kep = "14d"', 0), ('folder = "there"', 2)])
def test_what_is_wrong_in_the_settings_is_told_once(idle: House, said: str, code: int):
    config = idle.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backup]\n{said}\n")

    for words in (["db", "backup"], ["db", "backups"], ["db", "verify"]):
        done = idle.td(*words)
        assert done.returncode == code and done.stderr.count(f"{config}, line 2: backup") == 1, done.stderr
        assert ("That was passed over" in done.stderr) == (code == 0)


def test_a_bad_one_is_said_with_exit_5_and_listed_as_bad(saved: House):
    path = backup_in(saved)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    manifest = (path.parent / "manifest.jsonl").read_bytes()

    looked = saved.td("--read-only", "db", "verify")
    assert looked.returncode == 5 and looked.stdout == f"{path.stem} is bad: its checksum is wrong\n"
    assert "--read-only: that it is bad was not written down" in looked.stderr and "counts no more. " not in looked.stderr
    assert (path.parent / "manifest.jsonl").read_bytes() == manifest

    checked = saved.td("db", "verify")

    assert checked.returncode == 5 and checked.stdout == f"{path.stem} is bad: its checksum is wrong\n"
    assert "what is bad counts no more. Take a new one: taskdeck db backup --full" in checked.stderr
    assert saved.td("db", "verify", path.stem, "--json").returncode == 5
    listed = saved.ok("db", "backups")
    assert f"{path.stem}" in listed and "bad: its checksum is wrong" in listed
    assert saved.td("db", "verify", "nonesuch").returncode == 3


def test_backups_can_be_listed_and_checked_though_the_database_is_damaged(saved: House):
    taken = backup_in(saved).stem
    (saved.home / "taskdeck.db").write_bytes(b"not a database" * 1000)

    assert [one["id"] for one in saved.json("db", "backups")] == [taken]
    assert saved.ok("db", "verify", taken) == "1 backup checked, all well\n"
    refused = saved.td("db", "backup")
    assert refused.returncode == 5 and "Traceback" not in refused.stderr


@pytest.mark.parametrize("up", [True, False])
def test_damage_that_a_backup_meets_is_the_databases_and_leaves_no_bad_backup(saved: House, up: bool):
    taken = backup_in(saved).stem
    database = saved.home / "taskdeck.db"
    with closing(sqlite3.connect(database)) as c:
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_tasks_name'").fetchone()
    if up:
        saved.ok("serve", "--detach")
    with database.open("r+b") as file:  # what no statement of a backup reads
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)

    refused = saved.td("db", "backup", "--full")

    assert refused.returncode == 5 and refused.stderr.startswith("taskdeck: the database is damaged ("), refused.stderr
    assert "Newest good backup: " in refused.stderr and "taskdeck db restore --dry-run" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1 and "is bad" not in refused.stderr
    assert [one["id"] for one in saved.json("db", "backups")] == [taken]


@pytest.mark.parametrize("up", [True, False])
def test_a_program_after_a_backup_that_fails_is_said_once_with_exit_1(idle: House, up: bool):
    config = idle.work.parent / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[backup]\nafter = ["/bin/sh", "-c", "echo no such host >&2; exit 3"]\n')
    if up:
        idle.ok("serve", "--detach")

    done = idle.td("db", "backup")

    assert done.returncode == 1 and "restored once and well" in done.stdout
    assert done.stderr == "taskdeck: /bin/sh, which is run after a backup, exited 3: no such host\n"
    assert any(row["verb"] == "db backup after" for row in idle.ask("operations")) is up


def waiting(house: House) -> subprocess.Popen[str]:
    """A backup that is taken and says that it waits for the program after it."""
    line, pipe = [PROGRAM, "db", "backup"], subprocess.PIPE
    taking = subprocess.Popen(line, env=house.env, cwd=house.work, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
    assert taking.stderr and "waiting for /bin/sh" in taking.stderr.readline()
    return taking


def test_programs_after_backups_run_one_after_the_other_without_a_runtime_too(idle: House, tmp_path: Path):
    config, seen, gate = idle.work.parent / "config" / "taskdeck" / "config.toml", tmp_path / "seen", tmp_path / "gate"
    config.parent.mkdir(parents=True)
    os.mkfifo(gate)
    config.write_text(f"""[backup]\nafter = ["/bin/sh", "-c", "echo begun >> {seen}; read word < {gate}; echo ended >> {seen}"]\n""")

    with waiting(idle) as first, waiting(idle) as second:
        both = seen.read_text()
        os.close(os.open(gate, os.O_RDWR))  # whoever waits at it goes on
        assert first.wait(30) == 0
        if both == "begun\n":
            gate.write_text("go\n")
        assert second.wait(30) == 0

    assert both == "begun\n" and seen.read_text() == "begun\nended\nbegun\nended\n"


def test_an_id_is_never_cut_and_seconds_tell_those_of_a_minute_apart(idle: House):
    taken = [idle.here(partial(backups.backup, full=True))["id"] for _ in range(2)]
    path = idle.home / "backups" / f"{taken[0]}.backup"
    path.write_bytes(path.read_bytes()[:-1])

    with idle.terminal("db", "backups", columns=80) as terminal:
        assert terminal.end() == 0

    for one in taken:
        line = next(line for line in terminal.text.splitlines() if f"{one} " in line)
        assert f"{timestamps.parse(f'{one[:4]}-{one[4:6]}-{one[6:11]}:{one[11:13]}:{one[13:15]}Z').astimezone():%H:%M:%S}" in line
    assert "bad: " in terminal.text


def test_what_restores_put_aside_is_told_with_the_backups_and_can_be_gone_back_to(saved: House):
    first = backup_in(saved).stem
    saved.here(lambda call: queues.queue_create(call, name="night", capacity=1))
    assert saved.td("db", "backups").stderr == ""
    said = saved.ok("db", "restore", first[:20], "--yes")
    assert "not brought over, made since: queue night" in said and "1 operation since is not in its log" in said
    (kept,) = saved.home.glob("taskdeck.db.before-restore-*")

    told = saved.td("db", "backups")
    assert "a database that a restore or an upgrade kept lies in the home" in told.stderr
    assert "all but the newest go after 30d" in told.stderr
    assert f"taskdeck db restore {kept.name}\n" in told.stderr and saved.td("db", "backups", "-o", "name").stderr == ""
    assert "night" not in str(saved.ask("queue.ls"))
    saved.ok("db", "restore", kept.name, "--yes")

    assert "night" in str(saved.ask("queue.ls")) and kept.exists()


def test_it_goes_to_another_folder_and_as_lines_for_programs(idle: House):
    said = json.loads(idle.ok("db", "backup", "--to", "elsewhere", "--jsonl"))

    assert Path(said["path"]).parent == idle.work / "elsewhere" and (idle.work / "elsewhere" / "restore.py").is_file()
    assert idle.json("db", "backups") == []
    idle.here(backups.backup)
    assert idle.ok("db", "backups", "-o", "name").strip().endswith("-full")


def test_what_is_odd_about_the_folder_is_told_by_the_program(saved: House):
    manifest = saved.home / "backups" / "manifest.jsonl"
    manifest.write_bytes(b"x" + manifest.read_bytes())

    assert saved.td("db", "backup").stderr.startswith(f"taskdeck: lines [1] of {manifest} were damaged; ")
