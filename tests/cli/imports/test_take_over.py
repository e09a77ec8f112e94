"""Tests of the take-over from pueue: nothing is lost, and nothing runs twice.

Imports are stopped before and after each of their steps. Then a stand-in for the daemon of pueue
may run what its state file holds, and the import is repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from app.cli.context import CommandContext
from app.cli.imports import journal as journals
from app.cli.imports import pueue, report, take_over
from app.errors import Conflict
from tests.runtime_process import RuntimeProcess

pytestmark = pytest.mark.process


class Killed(BaseException):
    """End of an import at a step."""


class Steps:
    """Counter of steps, which ends the import before or after one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count, self.last = 0, last

    def wrap(self, step):
        def wrapped(*args, **more):
            self._count()
            found = step(*args, **more)
            self._count()
            return found

        return wrapped

    def _count(self) -> None:
        if self.count == self.last:
            raise Killed
        self.count += 1


class PueueHome:
    """State file of pueue with three tasks, each of which appends its name to a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.output, self.path = folder / "output", folder / "state.json"
        self.path.write_text(
            json.dumps(
                {
                    "tasks": {
                        "4": self._make_task(4, dependencies=[7]),
                        "5": self._make_task(5, group="slow", label="five"),
                        "7": self._make_task(7, priority=3),
                    },
                    "groups": {
                        "default": {"status": "Running", "parallel_tasks": 9},
                        "slow": {"status": "Running", "parallel_tasks": 9},
                    },
                }
            )
        )

    def _make_task(self, number: int, **more):
        return {
            "id": number, "created_at": "2026-03-01T10:00:00+01:00", "path": "/",
            "command": f"echo {number} >> {self.output}", "envs": {"PATH": os.defpath},
            "group": "default", "dependencies": [], "priority": 0, "label": None,
            "status": {"Queued": {"enqueued_at": "2026-03-01T10:00:00+01:00"}},
        } | more  # fmt: skip

    def read_tasks(self) -> dict[str, dict]:
        return json.loads(self.path.read_text())["tasks"]

    def run_daemon(self) -> None:
        """Run what waits, as the daemon would, and store how it ended."""
        state = json.loads(self.path.read_text())
        for task in state["tasks"].values():
            if "Queued" in task["status"]:
                subprocess.run(["sh", "-c", task["command"]], check=True)
                task["status"] = {"Done": {"result": "Success"}}
        self.path.write_text(json.dumps(state))

    def count_runs(self) -> Counter[str]:
        return Counter(self.output.read_text().split() if self.output.exists() else [])


@pytest.fixture
def context(home):
    made = CommandContext(os.fspath(home), lambda: 0, lambda: 0, lambda: [], lambda: 0)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_other_daemon(monkeypatch):
    """Let no daemon of the person who runs the tests stop them."""
    monkeypatch.setattr(pueue, "DAEMON", "no-such-daemon")


def run_import(context: CommandContext, path: Path, last: int | None = None) -> Steps:
    """Import, and stop at a step. Return the steps that were done."""
    steps = Steps(last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "call", steps.wrap(context.call))
        patch.setattr(journals.ImportJournal, "_append", steps.wrap(journals.ImportJournal._append))
        patch.setattr(os, "replace", steps.wrap(os.replace))
        with contextlib.suppress(Killed):
            report = take_over.apply(context, pueue.Pueue(os.fspath(path)))
            if report.unclear:  # as the message says: they have not run there
                context.call("release", ids=report.unclear)
    return steps


def kill_at(call, wanted: str):
    """Return a call that ends the import at one verb."""

    def checked(verb, /, **args):
        if verb == wanted:
            raise Killed
        return call(verb, **args)

    return checked


def finish(runtime: RuntimeProcess) -> None:
    """Wait for all tasks."""
    rows = runtime.call("ls", limit=1000)["tasks"]
    waiting = [row["number"] for row in rows if row["status"] not in ("succeeded", "cancelled")]
    if waiting:
        runtime.wait_for_end(*map(str, waiting))


@pytest.mark.parametrize("is_daemon_started", [False, True])
def test_an_import_may_be_killed_at_any_step(runtime, context, tmp_path, is_daemon_started):
    last, peer_homes = 0, []
    while True:
        peer_home = PueueHome(tmp_path / str(last))
        peer_homes.append(peer_home)
        done = run_import(context, peer_home.path, last)
        if done.count < last:
            break
        if is_daemon_started:
            peer_home.run_daemon()
        run_import(context, peer_home.path)
        last += 1
    finish(runtime)

    assert last > 25
    wrong = {at: peer_home.count_runs() for at, peer_home in enumerate(peer_homes)}
    assert {at: runs for at, runs in wrong.items() if runs != dict.fromkeys("457", 1)} == {}
    assert not journals.has_journal(context.home, "pueue")


def test_tasks_keep_order_queue_and_settings(runtime, context, tmp_path):
    peer_home = PueueHome(tmp_path / "pueue")

    report = take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))
    finish(runtime)

    shown = {n: runtime.show(str(number)) for n, number in report.numbers.items()}
    assert [shown[n]["queue"] for n in (4, 5, 7)] == ["pueue", "slow", "pueue"]
    assert (shown[5]["name"], shown[7]["priority"]) == ("five", 3)
    assert peer_home.output.read_text().split().index(
        "7"
    ) < peer_home.output.read_text().split().index("4")
    assert peer_home.read_tasks() == {}
    (backup,) = peer_home.path.parent.glob("state.json.before-taskdeck-*")
    assert set(json.loads(backup.read_text())["tasks"]) == {"4", "5", "7"}


def test_a_paused_group_becomes_a_paused_queue_even_if_killed(runtime, context, tmp_path, capfd):
    peer_home = PueueHome(tmp_path / "pueue")
    state = json.loads(peer_home.path.read_text())
    state["groups"]["slow"]["status"] = "Paused"
    peer_home.path.write_text(json.dumps(state))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "call", kill_at(context.call, "queue.pause"))
        with pytest.raises(Killed):
            take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))
    found = take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))
    report.print_report(found, "pueue", None, wide=False)

    statuses = {row["name"]: row["status"] for row in runtime.call("queue.ls")}
    assert (statuses["slow"], statuses["pueue"]) == ("paused", "active")
    said = capfd.readouterr().err
    assert "the queue slow is paused, so its tasks wait. To resume it: taskdeck " in said
    assert "queue resume slow\n" in said and "queue resume pueue" not in said


def test_running_tasks_and_what_waits_for_them_stay(runtime, context, tmp_path):
    peer_home = PueueHome(tmp_path / "pueue")
    state = json.loads(peer_home.path.read_text())
    state["tasks"]["7"]["status"] = {"Running": {}}
    peer_home.path.write_text(json.dumps(state))

    report = take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))
    finish(runtime)

    assert report.outcomes == {4: "stays", 5: "created", 7: "stays"}
    assert set(peer_home.read_tasks()) == {"4", "7"}
    assert peer_home.count_runs() == {"5": 1}


def test_stashed_tasks_are_held_or_scheduled(runtime, context, tmp_path):
    peer_home = PueueHome(tmp_path / "pueue")
    state = json.loads(peer_home.path.read_text())
    state["tasks"]["7"]["status"] = {"Stashed": {"enqueue_at": None}}
    state["tasks"]["5"]["status"] = {"Stashed": {"enqueue_at": "2126-03-02T09:00:00.1234567+01:00"}}
    peer_home.path.write_text(json.dumps(state))

    report = take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))

    shown = {n: runtime.show(str(number))["status"] for n, number in report.numbers.items()}
    assert shown == {4: "blocked", 5: "scheduled", 7: "held"}


def test_a_task_that_cannot_run_here_stays(runtime, context, tmp_path):
    peer_home = PueueHome(tmp_path / "pueue")
    state = json.loads(peer_home.path.read_text())
    state["tasks"]["7"]["command"] = "x" * 200_000
    peer_home.path.write_text(json.dumps(state))

    report = take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))

    assert report.outcomes == {4: "stays", 5: "created", 7: "stays"}
    assert "shorter than 128 KiB" in (report.state.items[2].obstacle or "")


def test_a_running_daemon_stops_the_import(runtime, context, tmp_path, monkeypatch):
    monkeypatch.setattr(pueue, "DAEMON", Path("/proc/self/comm").read_text().strip())
    peer_home = PueueHome(tmp_path / "pueue")

    with pytest.raises(Conflict, match="the daemon of pueue runs"):
        take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))

    assert runtime.call("ls")["tasks"] == []
    assert len(peer_home.read_tasks()) == 3


def test_a_second_import_at_the_same_time_is_refused(runtime, context, tmp_path):
    peer_home = PueueHome(tmp_path / "pueue")

    with (
        journals.open_journal(context.home, "pueue"),
        pytest.raises(Conflict, match="another import from there is running"),
    ):
        take_over.apply(context, pueue.Pueue(os.fspath(peer_home.path)))

    assert len(peer_home.read_tasks()) == 3
