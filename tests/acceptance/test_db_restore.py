"""Acceptance tests of restoring a home whose work continued after the backup."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict
from app.home.lock import hold_lock, is_held
from app.offline.restore import restore_to_file
from app.service.database import backups
from db import timestamps
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import RuntimeProcess, is_alive, wait_until
from tests.service.calls import submit_task

RunCli = Callable[..., Any]


class WorkSinceBackup:
    """Home with a backup of three held tasks and work done since.

    Since the backup one task has run, one runs until the file `go` exists, and two were submitted,
    of which one has run.
    """

    def __init__(self, living: RuntimeProcess) -> None:
        self.runtime = living
        self.submit("first")
        self.runtime.submit(
            "sh",
            "-c",
            "echo second >> ran; until test -e go; do sleep 0.1; done; echo done >> ran",
            hold=True,
        )
        self.submit("third")
        self.runtime.call("db.backup")
        self.runtime.call("release", ids=["1", "2"])
        self.runtime.wait_for_end("1")
        wait_until(lambda: "second" in self.read_words, "the second task began")
        self.submit("fourth", hold=False)
        self.runtime.wait_for_end("4")
        self.submit("fifth")

    def submit(self, word: str, hold: bool = True) -> str:
        """Submit a task that appends a word each time it runs."""
        return self.runtime.submit("sh", "-c", f"echo {word} >> ran", hold=hold)

    @property
    def read_words(self) -> list[str]:
        file = self.runtime.home / "ran"
        return sorted(file.read_text().split()) if file.exists() else []

    def stop(self) -> None:
        """Stop the runtime like `taskdeck stop`."""
        pid = self.runtime.pid
        self.runtime.call("stop")
        wait_until(lambda: not is_alive(pid), "the runtime gone")

    def resume(self, *more: str) -> None:
        """Start a runtime, let the running task end, and release tasks."""
        self.runtime.start()
        (self.runtime.home / "go").touch()
        if more:
            self.runtime.call("release", ids=list(more))


@pytest.fixture
def work_since_backup(runtime: RuntimeProcess) -> WorkSinceBackup:
    return WorkSinceBackup(runtime)


def test_nothing_runs_twice_nothing_is_lost_and_no_number_is_reused(
    work_since_backup: WorkSinceBackup, run_cli: RunCli
):
    up = run_cli("db", "restore", "--yes")
    assert up.returncode == 4 and "First: taskdeck" in up.stderr and " stop" in up.stderr
    assert f"a runtime already has this home: pid {work_since_backup.runtime.pid}" in up.stderr
    tried = run_cli("db", "restore", "--dry-run")
    assert (
        tried.returncode == 0 and "2 tasks submitted since are carried over: #4 #5" in tried.stdout
    )
    work_since_backup.stop()
    unasked = run_cli("db", "restore")
    assert unasked.returncode == 2 and "Nothing was done" in unasked.stderr
    assert not list(work_since_backup.runtime.home.glob("*restor*"))
    said = run_cli("db", "restore", "--dry-run").stdout
    assert (
        "2 tasks submitted since are carried over: #4 #5" in said
        and "1 task ended since and is not run again: #1" in said
    )
    assert "1 run continues" in said and "the next task will be #6" in said

    done = json.loads(run_cli("db", "restore", "--yes", "--json").stdout)
    work_since_backup.resume("3", "5")
    ended = work_since_backup.runtime.wait_for_end("1", "2", "3", "4", "5")

    assert done["restored"] and Path(done["kept"]).exists() and done["carried"]["whole"]
    assert [task["status"] for task in ended] == ["succeeded"] * 5
    assert work_since_backup.submit(
        "sixth", hold=False
    ) == "6" and work_since_backup.runtime.wait_for_end("6")
    assert work_since_backup.read_words == sorted(
        ["first", "second", "done", "third", "fourth", "fifth", "sixth"]
    )
    assert work_since_backup.runtime.call("db.check") == {"ok": True, "problems": []}


def test_with_a_destroyed_database_the_run_is_adopted_and_doubts_reported(
    work_since_backup: WorkSinceBackup, run_cli: RunCli
):
    work_since_backup.stop()
    database = work_since_backup.runtime.home / "taskdeck.db"
    database.write_bytes(b"\xff" * database.stat().st_size)
    started = run_cli("serve", "--detach")
    assert (
        started.returncode == 5
        and "Newest good backup" in started.stderr
        and "db restore --dry-run" in started.stderr
    )

    done = json.loads(run_cli("db", "restore", "--yes", "--json").stdout)
    work_since_backup.resume()
    work_since_backup.runtime.wait_for_end("2")

    assert (
        done["before"] is None and done["carried"]["alive"] == 1 and done["carried"]["unknown"] == 2
    )
    assert [work_since_backup.runtime.show(number)["status"] for number in "123"] == [
        "held",
        "succeeded",
        "held",
    ]
    assert int(work_since_backup.submit("later")) > 5
    assert work_since_backup.read_words == ["done", "first", "fourth", "second"]


def test_a_job_unknown_to_the_backup_is_listed_and_can_be_cancelled(
    work_since_backup: WorkSinceBackup, run_cli: RunCli
):
    living = work_since_backup.runtime
    number = living.submit("sh", "-c", "echo since >> ran; exec sleep 300")
    wait_until(lambda: "since" in work_since_backup.read_words, "it began")
    work_since_backup.stop()
    for path in living.home.glob("taskdeck.db*"):
        path.unlink()

    said = run_cli("db", "restore", "--yes").stdout
    work_since_backup.resume()

    assert f"1 job of lost tasks continues as #{number}; to end one: taskdeck cancel TASK" in said
    wait_until(
        lambda: (
            (run := living.show(number)["instances"][0])["status"] == "running"
            and is_alive(run["pid"])
        ),
        "it is seen",
    )
    living.call("cancel", ids=[number])
    (ended,) = living.wait_for_end(number)
    assert ended["status"] == "cancelled" and not is_alive(
        living.show(number)["instances"][0]["pid"]
    )
    assert living.call("db.check") == {"ok": True, "problems": []}


def test_a_backup_is_restored_to_a_file_beside_a_runtime(runtime: RuntimeProcess, run_cli: RunCli):
    runtime.wait_for_end(runtime.submit("true"))
    runtime.call("db.backup")
    pid, file = runtime.pid, runtime.home / "then.db"

    first, again = (
        run_cli("db", "restore", "--to", str(file)),
        run_cli("db", "restore", "--to", str(file)),
    )
    none, both = (
        run_cli("db", "restore", "nothing", "--dry-run"),
        run_cli("db", "restore", "x", "--at", "10:00"),
    )
    nowhere = run_cli("db", "restore", "--to", str(runtime.home / "nodir" / "then.db"))

    (runtime.home / "lost").mkdir()
    refused = run_cli("db", "restore", "--to", str(runtime.home / "lost" / "taskdeck.db"))
    assert (
        refused.returncode == 4
        and "would become a file of a home. Nothing was restored." in refused.stderr
    )
    for inside in ("lost/taskdeck.db", "run/x", "backups/20260101T000000Z-full.backup"):
        with pytest.raises(Conflict, match="would become a file of a home. Nothing was restored."):
            restore_to_file(str(runtime.home), None, None, str(runtime.home / inside))
        assert not (runtime.home / inside).exists()
    assert (
        nowhere.returncode == 3
        and f"folder {runtime.home}/nodir does not exist. Nothing was restored." in nowhere.stderr
    )
    assert [path.name for path in runtime.home.glob("then.db*")] == ["then.db"]
    assert first.returncode == 0 and "1 task (1 succeeded)" in first.stdout and file.exists()
    assert again.returncode == 4 and "already exists" in again.stderr
    assert (none.returncode, both.returncode) == (3, 2) and runtime.pid == pid


def test_a_restored_file_is_no_backup_but_can_be_read(unstarted_home: AcceptanceHome):
    unstarted_home.run_offline(lambda call: submit_task(call, name="mine", hold=True))
    unstarted_home.run_offline(backups.backup)
    unstarted_home.run_ok("db", "restore", "--to", "then.db")

    refused = unstarted_home.run_cli("db", "restore", "then.db", "--yes")

    assert (
        refused.returncode == 3
        and "then.db is a database, not a backup. Nothing was restored." in refused.stderr
    )
    looked = refused.stderr.strip().rpartition("To inspect the file: ")[2]
    assert "mine" in unstarted_home.run_shell(looked).stdout
    assert (
        "there is no backup nosuch.db"
        in unstarted_home.run_cli("db", "restore", "nosuch.db", "--yes").stderr
    )


def test_a_lock_of_another_command_suggests_to_try_again(backed_up_home: AcceptanceHome):
    with hold_lock(backed_up_home.home):
        done = backed_up_home.run_cli("db", "restore", "--yes")

    assert done.returncode == 4 and f"has this home: pid {os.getpid()}" in done.stderr
    assert (
        "Try again in a moment." in done.stderr
        and "stop" not in done.stderr
        and "already" not in done.stderr
    )


def test_missing_backups_are_reported_before_the_confirmation(backed_up_home: AcceptanceHome):
    wrong, unasked = (
        backed_up_home.run_cli("db", "restore", "nonsense"),
        backed_up_home.run_cli("db", "restore"),
    )

    assert wrong.returncode == 3 and "there is no backup nonsense" in wrong.stderr
    assert unasked.returncode == 2 and "Z-full. Nothing was done." in unasked.stderr
    assert (
        "ID …" not in backed_up_home.run_cli("db", "restore", "--help").stdout
        and "[ID]" in backed_up_home.run_cli("db", "verify", "--help").stdout
    )


def test_the_listed_minute_is_accepted(unstarted_home: AcceptanceHome):
    taken = unstarted_home.run_offline(backups.backup)

    minute = f"{timestamps.parse_time(taken['at']).astimezone():%H:%M}"

    for said in (minute, "today"):
        assert (
            taken["id"] in unstarted_home.run_cli("db", "restore", "--dry-run", "--at", said).stdout
        ), said
    early, wrong = (
        unstarted_home.run_cli("db", "restore", "--dry-run", "--at", "yesterday"),
        unstarted_home.run_cli("db", "restore", "--dry-run", "--at", "tomorrow"),
    )
    assert early.returncode == 3 and "; the oldest is from " in early.stderr
    assert wrong.returncode == 2 and "must be a past time, such as 10:00" in wrong.stderr


def test_numbers_are_skipped_only_if_some_may_have_been_used(unstarted_home: AcceptanceHome):
    unstarted_home.run_ok("db", "backup")

    for next_one in (2, 2):
        (unstarted_home.home / "taskdeck.db").unlink()
        assert unstarted_home.run_json("db", "restore", "--yes")["carried"]["next"] == next_one
        unstarted_home.run_ok("db", "backup")
    unstarted_home.run_ok("serve", "--detach")
    unstarted_home.run_ok("stop")
    (unstarted_home.home / "taskdeck.db").unlink()

    assert unstarted_home.run_json("db", "restore", "--yes")["carried"]["next"] == 1002


def destroy_and_restore(house: AcceptanceHome) -> dict[str, Any]:
    """Destroy the database while no runtime runs, restore it, and return the result."""
    house.run_ok("stop")
    database = house.home / "taskdeck.db"
    database.write_bytes(b"\xff" * database.stat().st_size)
    carried = house.run_json("db", "restore", "--yes")["carried"]
    house.run_ok("serve", "--detach")
    return carried


def test_no_number_is_reused_when_the_database_is_lost_twice(backed_up_home: AcceptanceHome):
    backed_up_home.run_ok("serve", "--detach")
    backed_up_home.run_ok(
        "submit", "--each", "--hold", "--", "true", input="".join(f"{n}\n" for n in range(1500))
    )
    given = [*range(1, 1502)]

    for _ in range(2):
        carried = destroy_and_restore(backed_up_home)
        assert carried["lost"] == given[1:] and carried["next"] > max(given)
        given.append(int(backed_up_home.submit("--hold", "--", "true")))

    assert len({*given}) == len(given) == 1503


def test_on_a_terminal_it_shows_the_changes_and_asks(backed_up_home: AcceptanceHome):
    for answer, code, kept in (("n", 2, 0), ("y", 0, 1)):
        with backed_up_home.open_terminal("db", "restore", columns=160) as terminal:
            terminal.wait("Replace the database? [y/N]")
            assert not is_held(backed_up_home.home)
            terminal.type(f"{answer}\r")
            assert terminal.end() == code
        assert "the next task will be #2" in terminal.text
        assert len(list(backed_up_home.home.glob("taskdeck.db.before-restore-*"))) == kept
