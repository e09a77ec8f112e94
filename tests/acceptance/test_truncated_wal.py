"""Acceptance tests of a WAL with a flipped bit: SQLite ignores every later commit."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import is_alive, wait_until

NO_BACKUP_ADVICE = (
    "There is no good backup of it. Back up its contents, then restore them: taskdeck "
    "db backup && taskdeck db restore\n"
)


def check_refusal_until_restore(house: AcceptanceHome, *refused: Any, backup: bool) -> None:
    """Check that no repair lets a runtime start, and that each refusal names the remedy."""
    cure = "db restore --dry-run" if backup else "db backup && taskdeck db restore"
    repaired = house.run_cli("db", "check", "--repair")
    assert repaired.returncode == 5 and all(
        line.startswith("not repaired: ") for line in repaired.stdout.splitlines()
    ), repaired.stdout
    for said in (repaired, house.run_cli("db", "migrate"), *refused):
        assert said.returncode == 5 and said.stderr.endswith(f": taskdeck {cure}\n"), said.stderr
        assert backup or said.stderr.endswith(NO_BACKUP_ADVICE), said.stderr
    assert house.call_verb("status")["database"]["state"] == "DAMAGED"
    looked = house.run_cli("doctor", "--json")
    (found,) = [one for one in json.loads(looked.stdout) if one["check"] == "database"]
    assert (
        looked.returncode == 1
        and not found["ok"]
        and found["cure"].replace(f"--home {house.home} ", "") == f"taskdeck {cure}"
    ), found


@pytest.mark.parametrize(("left", "backup"), [("no log", "before"), ("an empty log", "after")])
def test_a_missing_wal_is_reported_and_nothing_runs_twice(
    unstarted_home: AcceptanceHome, tmp_path: Path, left: str, backup: str
):
    waiting, ran = "1", tmp_path / "ran"
    unstarted_home.run_ok("serve", "--detach")
    if backup == "before":
        unstarted_home.run_ok("db", "backup")
    unstarted_home.run_ok("release", waiting)
    unstarted_home.run_ok("submit", "--wait", "-c", f"echo ran >> {ran}")
    pid = unstarted_home.run_json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "it is killed")
    log = unstarted_home.home / "taskdeck.db-wal"
    log.unlink() if left == "no log" else os.truncate(log, 0)

    started, checked = (
        unstarted_home.run_cli("serve", "--detach"),
        unstarted_home.run_cli("db", "check"),
    )

    for said in (started, checked):
        assert (
            said.returncode == 5
            and "the latest writes are missing: run " in said.stdout + said.stderr
        )
    if backup == "after":
        check_refusal_until_restore(unstarted_home, started, checked, backup=False)
        shutil.rmtree(unstarted_home.home / "backups", ignore_errors=True)
        unstarted_home.run_ok("db", "backup")
    carried = json.loads(unstarted_home.run_ok("db", "restore", "--yes", "--json"))["carried"]
    assert carried["unknown"] == 2 and carried["next"] > 1000
    unstarted_home.run_ok("serve", "--detach")
    assert (
        unstarted_home.run_json("show", waiting)["status"] == "held" and ran.read_text() == "ran\n"
    )


def test_a_truncated_wal_is_reported_and_nothing_runs_twice(
    backed_up_home: AcceptanceHome, tmp_path: Path
):
    first = "1"
    backed_up_home.run_ok("serve", "--detach")
    log, ran = backed_up_home.home / "taskdeck.db-wal", tmp_path / "ran"
    before = log.stat().st_size
    backed_up_home.run_ok("submit", "--wait", "-c", f"echo ran >> {ran}")
    last = backed_up_home.submit("--hold", "--", "/bin/true")
    pid = backed_up_home.run_json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "it is killed")
    kept = bytearray(log.read_bytes())
    assert len(kept) > before + 2 * 4120
    kept[before + 524] ^= 1
    log.write_bytes(kept)

    started, checked = (
        backed_up_home.run_cli("serve", "--detach"),
        backed_up_home.run_cli("db", "check"),
    )

    for said in (started, checked):
        assert (
            said.returncode == 5
            and "the latest writes are missing: run " in said.stdout + said.stderr
        )
    check_refusal_until_restore(backed_up_home, started, checked, backup=True)
    assert log.read_bytes() == kept, "nothing was written"
    carried = json.loads(backed_up_home.run_ok("db", "restore", "--yes", "--json"))["carried"]
    assert not carried["whole"] and carried["next"] > int(last) + 1
    backed_up_home.run_ok("serve", "--detach")
    assert int(backed_up_home.submit("--wait", "--", "/bin/true")) >= carried["next"]
    assert ran.read_text() == "ran\n" and backed_up_home.run_json("show", first)["status"] == "held"
    assert [
        path.read_bytes() for path in backed_up_home.home.glob("taskdeck.db.before-restore-*-wal")
    ] == [bytes(kept)], "it is kept as it was"
