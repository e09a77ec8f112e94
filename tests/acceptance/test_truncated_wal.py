"""A bit that flipped in the database's log while no runtime was up: SQLite passes over all that was written behind it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_home import House
from tests.runtime_process import alive, until

ALONE = "There is no good backup of it. Take one of what is in it, and bring that up to date: taskdeck db backup && taskdeck db restore\n"


def refused_until_it_is_restored(house: House, *refused: Any, backup: bool) -> None:
    """No mending lets a runtime start, and all say what does."""
    cure = "db restore --dry-run" if backup else "db backup && taskdeck db restore"
    repaired = house.td("db", "check", "--repair")
    assert repaired.returncode == 5 and all(line.startswith("not mended: ") for line in repaired.stdout.splitlines()), repaired.stdout
    for said in (repaired, house.td("db", "migrate"), *refused):
        assert said.returncode == 5 and said.stderr.endswith(f": taskdeck {cure}\n"), said.stderr
        assert backup or said.stderr.endswith(ALONE), said.stderr
    assert house.ask("status")["database"]["state"] == "DAMAGED"
    looked = house.td("doctor", "--json")
    (found,) = [one for one in json.loads(looked.stdout) if one["check"] == "database"]
    assert looked.returncode == 1 and not found["ok"] and found["cure"].replace(f"--home {house.home} ", "") == f"taskdeck {cure}", found


@pytest.mark.parametrize(("left", "backup"), [("no log", "before"), ("an empty log", "after")])
def test_a_log_that_is_gone_is_told_and_what_ran_does_not_run_again(idle: House, tmp_path: Path, left: str, backup: str):
    waiting, ran = "1", tmp_path / "ran"
    idle.ok("serve", "--detach")
    if backup == "before":
        idle.ok("db", "backup")
    idle.ok("release", waiting)
    idle.ok("submit", "--wait", "-c", f"echo ran >> {ran}")
    pid = idle.json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it is killed")
    log = idle.home / "taskdeck.db-wal"
    log.unlink() if left == "no log" else os.truncate(log, 0)

    started, checked = idle.td("serve", "--detach"), idle.td("db", "check")

    for said in (started, checked):
        assert said.returncode == 5 and "what was written last is missing: run " in said.stdout + said.stderr
    if backup == "after":
        refused_until_it_is_restored(idle, started, checked, backup=False)
        shutil.rmtree(idle.home / "backups", ignore_errors=True)
        idle.ok("db", "backup")
    carried = json.loads(idle.ok("db", "restore", "--yes", "--json"))["carried"]
    assert carried["unknown"] == 2 and carried["next"] > 1000
    idle.ok("serve", "--detach")
    assert idle.json("show", waiting)["status"] == "held" and ran.read_text() == "ran\n"


def test_it_is_told_and_what_ran_behind_it_does_not_run_again(saved: House, tmp_path: Path):
    first = "1"
    saved.ok("serve", "--detach")
    log, ran = saved.home / "taskdeck.db-wal", tmp_path / "ran"
    before = log.stat().st_size
    saved.ok("submit", "--wait", "-c", f"echo ran >> {ran}")
    last = saved.submit("--hold", "--", "/bin/true")
    pid = saved.json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it is killed")
    kept = bytearray(log.read_bytes())
    assert len(kept) > before + 2 * 4120
    kept[before + 524] ^= 1
    log.write_bytes(kept)

    started, checked = saved.td("serve", "--detach"), saved.td("db", "check")

    for said in (started, checked):
        assert said.returncode == 5 and "its log is damaged, and what was written last is behind that" in said.stdout + said.stderr
    refused_until_it_is_restored(saved, started, checked, backup=True)
    assert log.read_bytes() == kept, "nothing was written"
    carried = json.loads(saved.ok("db", "restore", "--yes", "--json"))["carried"]
    assert not carried["whole"] and carried["next"] > int(last) + 1
    saved.ok("serve", "--detach")
    assert int(saved.submit("--wait", "--", "/bin/true")) >= carried["next"]
    assert ran.read_text() == "ran\n" and saved.json("show", first)["status"] == "held"
    assert [path.read_bytes() for path in saved.home.glob("taskdeck.db.before-restore-*-wal")] == [bytes(kept)], "it is kept as it was"
