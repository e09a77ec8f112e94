"""Restoring a home whose work went on since the backup: nothing runs twice, nothing is forgotten, no number comes again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict
from app.home.lock import held, hold_lock
from app.offline.restore import restore_to
from app.service.database import backups
from db import timestamps
from tests.acceptance.acceptance_home import House
from tests.runtime_process import Living, alive, until
from tests.service.calls import submitted

Td = Callable[..., Any]


class Worked:
    """A home with a backup of three held tasks. Since then one ran, one runs until told to go, and two were submitted, one of which ran."""

    def __init__(self, living: Living) -> None:
        self.living = living
        self.submit("first")
        self.living.submit("sh", "-c", "echo second >> ran; until test -e go; do sleep 0.1; done; echo done >> ran", hold=True)
        self.submit("third")
        self.living.call("db.backup")
        self.living.call("release", ids=["1", "2"])
        self.living.ended("1")
        until(lambda: "second" in self.ran, "the second task began")
        self.submit("fourth", hold=False)
        self.living.ended("4")
        self.submit("fifth")

    def submit(self, word: str, hold: bool = True) -> str:
        """A task that leaves a word each time that it runs."""
        return self.living.submit("sh", "-c", f"echo {word} >> ran", hold=hold)

    @property
    def ran(self) -> list[str]:
        file = self.living.home / "ran"
        return sorted(file.read_text().split()) if file.exists() else []

    def stop(self) -> None:
        """End the runtime, as `taskdeck stop` does."""
        pid = self.living.pid
        self.living.call("stop")
        until(lambda: not alive(pid), "the runtime gone")

    def go_on(self, *more: str) -> None:
        """Bring a runtime up, let what runs end, and release these."""
        self.living.start()
        (self.living.home / "go").touch()
        if more:
            self.living.call("release", ids=list(more))


@pytest.fixture
def worked(runtime: Living) -> Worked:
    return Worked(runtime)


def test_nothing_runs_twice_nothing_is_forgotten_and_no_number_comes_again(worked: Worked, td: Td):
    up = td("db", "restore", "--yes")
    assert up.returncode == 4 and "First: taskdeck" in up.stderr and " stop" in up.stderr
    assert f"a runtime already has this home: pid {worked.living.pid}" in up.stderr
    tried = td("db", "restore", "--dry-run")
    assert tried.returncode == 0 and "2 tasks submitted since are brought over: #4 #5" in tried.stdout
    worked.stop()
    unasked = td("db", "restore")
    assert unasked.returncode == 2 and "Nothing was done" in unasked.stderr
    assert not list(worked.living.home.glob("*restor*"))
    said = td("db", "restore", "--dry-run").stdout
    assert "2 tasks submitted since are brought over: #4 #5" in said and "1 task ended since and is not run again: #1" in said
    assert "1 run goes on" in said and "the next task will be #6" in said

    done = json.loads(td("db", "restore", "--yes", "--json").stdout)
    worked.go_on("3", "5")
    ended = worked.living.ended("1", "2", "3", "4", "5")

    assert done["restored"] and Path(done["kept"]).exists() and done["carried"]["whole"]
    assert [task["status"] for task in ended] == ["succeeded"] * 5
    assert worked.submit("sixth", hold=False) == "6" and worked.living.ended("6")
    assert worked.ran == sorted(["first", "second", "done", "third", "fourth", "fifth", "sixth"])
    assert worked.living.call("db.check") == {"ok": True, "problems": []}


def test_with_the_database_gone_to_pieces_the_run_is_adopted_and_what_may_have_run_is_told(worked: Worked, td: Td):
    worked.stop()
    database = worked.living.home / "taskdeck.db"
    database.write_bytes(b"\xff" * database.stat().st_size)
    started = td("serve", "--detach")
    assert started.returncode == 5 and "Newest good backup" in started.stderr and "db restore --dry-run" in started.stderr

    done = json.loads(td("db", "restore", "--yes", "--json").stdout)
    worked.go_on()
    worked.living.ended("2")

    assert done["before"] is None and done["carried"]["alive"] == 1 and done["carried"]["unknown"] == 2
    assert [worked.living.show(number)["status"] for number in "123"] == ["held", "succeeded", "held"]
    assert int(worked.submit("later")) > 5
    assert worked.ran == ["done", "first", "fourth", "second"]


def test_with_the_database_gone_a_job_that_the_backup_does_not_know_is_seen_and_can_be_cancelled(worked: Worked, td: Td):
    living = worked.living
    number = living.submit("sh", "-c", "echo since >> ran; exec sleep 300")
    until(lambda: "since" in worked.ran, "it began")
    worked.stop()
    for path in living.home.glob("taskdeck.db*"):
        path.unlink()

    said = td("db", "restore", "--yes").stdout
    worked.go_on()

    assert f"1 job goes on whose task is lost, made anew as #{number}; to end one: taskdeck cancel TASK" in said
    until(lambda: (run := living.show(number)["instances"][0])["status"] == "running" and alive(run["pid"]), "it is seen")
    living.call("cancel", ids=[number])
    (ended,) = living.ended(number)
    assert ended["status"] == "cancelled" and not alive(living.show(number)["instances"][0]["pid"])
    assert living.call("db.check") == {"ok": True, "problems": []}


def test_a_backup_can_be_restored_into_a_file_beside_a_runtime(runtime: Living, td: Td):
    runtime.ended(runtime.submit("true"))
    runtime.call("db.backup")
    pid, file = runtime.pid, runtime.home / "then.db"

    first, again = td("db", "restore", "--to", str(file)), td("db", "restore", "--to", str(file))
    none, both = td("db", "restore", "nothing", "--dry-run"), td("db", "restore", "x", "--at", "10:00")
    nowhere = td("db", "restore", "--to", str(runtime.home / "nodir" / "then.db"))

    (runtime.home / "lost").mkdir()
    refused = td("db", "restore", "--to", str(runtime.home / "lost" / "taskdeck.db"))
    assert refused.returncode == 4 and "would be a file of a home. Nothing was restored." in refused.stderr
    for inside in ("lost/taskdeck.db", "run/x", "backups/20260101T000000Z-full.backup"):
        with pytest.raises(Conflict, match="would be a file of a home. Nothing was restored."):
            restore_to(str(runtime.home), None, None, str(runtime.home / inside))
        assert not (runtime.home / inside).exists()
    assert nowhere.returncode == 3 and f"there is no folder {runtime.home}/nodir. Nothing was restored." in nowhere.stderr
    assert [path.name for path in runtime.home.glob("then.db*")] == ["then.db"]
    assert first.returncode == 0 and "1 task (1 succeeded)" in first.stdout and file.exists()
    assert again.returncode == 4 and "is there already" in again.stderr
    assert (none.returncode, both.returncode) == (3, 2) and runtime.pid == pid


def test_a_file_that_was_restored_to_is_no_backup_and_can_be_looked_into(idle: House):
    idle.here(lambda call: submitted(call, name="mine", hold=True))
    idle.here(backups.backup)
    idle.ok("db", "restore", "--to", "then.db")

    refused = idle.td("db", "restore", "then.db", "--yes")

    assert refused.returncode == 3 and "then.db is a database and no backup. Nothing was restored." in refused.stderr
    looked = refused.stderr.strip().rpartition("To look into the file: ")[2]
    assert "mine" in idle.shell(looked).stdout
    assert "there is no backup nosuch.db" in idle.td("db", "restore", "nosuch.db", "--yes").stderr


def test_another_command_that_has_the_home_is_not_to_be_stopped_but_waited_for(saved: House):
    with hold_lock(saved.home):
        done = saved.td("db", "restore", "--yes")

    assert done.returncode == 4 and f"has this home: pid {os.getpid()}" in done.stderr
    assert "Try again in a moment." in done.stderr and "stop" not in done.stderr and "already" not in done.stderr


def test_what_does_not_exist_is_said_before_anything_is_asked(saved: House):
    wrong, unasked = saved.td("db", "restore", "nonsense"), saved.td("db", "restore")

    assert wrong.returncode == 3 and "there is no backup nonsense" in wrong.stderr
    assert unasked.returncode == 2 and "Z-full in the place of the database. Nothing was done." in unasked.stderr
    assert "ID …" not in saved.td("db", "restore", "--help").stdout and "[ID]" in saved.td("db", "verify", "--help").stdout


def test_the_minute_that_the_list_shows_is_understood(idle: House):
    taken = idle.here(backups.backup)

    minute = f"{timestamps.parse(taken['at']).astimezone():%H:%M}"

    for said in (minute, "today"):
        assert taken["id"] in idle.td("db", "restore", "--dry-run", "--at", said).stdout, said
    early, wrong = idle.td("db", "restore", "--dry-run", "--at", "yesterday"), idle.td("db", "restore", "--dry-run", "--at", "tomorrow")
    assert early.returncode == 3 and "; the oldest is of " in early.stderr
    assert wrong.returncode == 2 and "must be a time that is over, such as 10:00" in wrong.stderr


def test_numbers_are_passed_over_only_where_some_may_have_been_given(idle: House):
    idle.ok("db", "backup")

    for next_one in (2, 2):
        (idle.home / "taskdeck.db").unlink()
        assert idle.json("db", "restore", "--yes")["carried"]["next"] == next_one
        idle.ok("db", "backup")
    idle.ok("serve", "--detach")
    idle.ok("stop")
    (idle.home / "taskdeck.db").unlink()

    assert idle.json("db", "restore", "--yes")["carried"]["next"] == 1002


def lost_and_restored(house: House) -> dict[str, Any]:
    """The database goes to pieces while no runtime is up, and the newest backup takes its place; what was carried over."""
    house.ok("stop")
    database = house.home / "taskdeck.db"
    database.write_bytes(b"\xff" * database.stat().st_size)
    carried = house.json("db", "restore", "--yes")["carried"]
    house.ok("serve", "--detach")
    return carried


def test_no_number_comes_again_of_more_tasks_than_a_restore_passes_over_though_the_database_is_lost_again_before_the_next_backup(
    saved: House,
):
    saved.ok("serve", "--detach")
    saved.ok("submit", "--each", "--hold", "--", "true", input="".join(f"{n}\n" for n in range(1500)))
    given = [*range(1, 1502)]

    for _ in range(2):
        carried = lost_and_restored(saved)
        assert carried["lost"] == given[1:] and carried["next"] > max(given)
        given.append(int(saved.submit("--hold", "--", "true")))

    assert len({*given}) == len(given) == 1503


def test_on_a_terminal_it_says_what_would_change_and_asks(saved: House):
    for answer, code, kept in (("n", 2, 0), ("y", 0, 1)):
        with saved.terminal("db", "restore", columns=160) as terminal:
            terminal.wait("Put it in the place of the database? [y/N]")
            assert not held(saved.home)
            terminal.type(f"{answer}\r")
            assert terminal.end() == code
        assert "the next task will be #2" in terminal.text
        assert len(list(saved.home.glob("taskdeck.db.before-restore-*"))) == kept
