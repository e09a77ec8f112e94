"""`taskdeck db backup`, `backups` and `verify` as a person types them, with a runtime and without."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.acceptance.house import House


def test_without_a_runtime_a_backup_is_taken_under_its_lock_and_none_is_started(house: House):
    house.ok("db", "migrate")

    taken = house.json("db", "backup")

    assert (taken["kind"], taken["verified"]) == ("full", True) and Path(taken["path"]).is_file()
    assert house.json("db", "backups") == [{name: taken[name] for name in taken if name != "after"}]
    assert house.json("status")["runtime"]["state"] != "running"
    assert house.ok("db", "verify") == "1 backup checked, all well\n"


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


def test_a_bad_one_is_said_with_exit_5_and_listed_as_bad(house: House):
    house.ok("db", "migrate")
    path = Path(house.json("db", "backup")["path"])
    path.write_bytes(path.read_bytes()[:-1] + b"\0")

    checked = house.td("db", "verify")

    assert checked.returncode == 5 and checked.stdout == f"{path.stem} is bad: its checksum is wrong\n"
    assert house.td("db", "verify", path.stem, "--json").returncode == 5
    listed = house.ok("db", "backups")
    assert f"{path.stem}" in listed and "bad: its checksum is wrong" in listed
    assert house.td("db", "verify", "nonesuch").returncode == 3


def test_backups_can_be_listed_and_checked_though_the_database_is_damaged(house: House):
    house.ok("db", "migrate")
    taken = house.json("db", "backup")
    (house.home / "taskdeck.db").write_bytes(b"not a database" * 1000)

    assert [one["id"] for one in house.json("db", "backups")] == [taken["id"]]
    assert house.ok("db", "verify", taken["id"]) == "1 backup checked, all well\n"
    refused = house.td("db", "backup")
    assert refused.returncode == 5 and "Traceback" not in refused.stderr


def test_it_goes_to_another_folder_and_as_lines_for_programs(house: House):
    house.ok("db", "migrate")

    said = json.loads(house.ok("db", "backup", "--to", "elsewhere", "--jsonl"))

    assert Path(said["path"]).parent == house.work / "elsewhere" and (house.work / "elsewhere" / "restore.py").is_file()
    assert house.json("db", "backups") == []
    house.ok("db", "backup")
    assert house.ok("db", "backups", "-o", "name").strip().endswith("-full")
