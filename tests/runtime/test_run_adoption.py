"""A runtime that dies loses nothing: the next one finds every run, started or not, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.home import setup
from db.engine import write_engine
from db.queries import transitions
from tests.db.builders import Made
from tests.long.chaos.results import opened
from tests.runtime_process import MARK, Living, alive, until


def gated(living: Living, name: str, code: int) -> tuple[str, Path]:
    """A job that ends with this code once its gate is there."""
    gate = living.home / name
    return living.submit("sh", "-c", f"until [ -e '{gate}' ]; do sleep 0.05; done; exit {code}", cpu=0), gate


class Killed:
    """A home whose runtime was killed while four jobs ran, and whose next one is up."""

    def __init__(self, living: Living) -> None:
        self.living = living
        living.call("queue.set", name="default", capacity=9)
        (self.ended, end), (self.goes_on, self.gate), (self.cancelled, _), (self.paused, self.go) = (
            gated(living, name, code) for name, code in (("ended", 7), ("goes on", 0), ("cancelled", 0), ("paused", 0))
        )
        tasks = (self.ended, self.goes_on, self.cancelled, self.paused)
        self.runs = {task: living.reach(task, "running")["instances"][0] for task in tasks}
        uuid = living.show(self.cancelled)["uuid"]
        living.call("pause", ids=[self.paused])
        until(lambda: stat(self.runs[self.paused]["pid"]) in "TD", "the job or its child stands still")

        living.kill()
        assert setup.unsure(living.home)  # the next one looks the database over
        end.touch()
        until(lambda: not alive(self.runs[self.ended]["pid"]), "the job has ended")
        engine = write_engine(living.home / "taskdeck.db")
        with engine.begin() as c:
            transitions.cancel(c, [uuid], "ann")
        engine.dispose()
        living.start()


def stat(pid: int) -> str:
    """The state letter of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    with opened() as living:
        yield Killed(living)


def test_an_exit_while_no_runtime_was_up_is_kept(killed: Killed):
    assert [end["code"] for end in killed.living.ended(killed.ended)] == [7]
    (run,) = killed.living.show(killed.ended)["instances"]
    assert (run["exit_code"], run["status"], run["attempt"]) == (7, "failed", 1)
    assert run["run_seconds"] is not None and run["end_time"] > run["start_time"]


def test_a_cancel_that_was_stored_is_carried_out_by_the_next_runtime(killed: Killed):
    ((end),) = killed.living.ended(killed.cancelled)
    assert (end["status"], end["reason"]) == ("cancelled", "cancelled by ann")
    assert not alive(killed.runs[killed.cancelled]["pid"])


def test_a_pause_survives_the_runtime(killed: Killed):
    killed.go.touch()
    assert killed.living.show(killed.paused)["instances"][0]["status"] == "paused"

    killed.living.call("resume", ids=[killed.paused])

    assert killed.living.ended(killed.paused)[0]["code"] == 0


def test_a_run_that_outlives_its_runtime_twice_is_taken_over(killed: Killed):
    living, before = killed.living, killed.runs[killed.goes_on]
    living.kill()
    living.start()
    assert [(run["runid"], run["pid"]) for run in living.show(killed.goes_on)["instances"]] == [(before["runid"], before["pid"])]
    assert alive(before["pid"])

    killed.gate.touch()

    assert [end["code"] for end in living.ended(killed.goes_on)] == [0]
    assert len(living.show(killed.goes_on)["instances"]) == 1


def test_a_keeper_that_dies_takes_no_run_with_it(killed: Killed):
    living = killed.living
    task, gate = gated(living, "keeper", 3)
    living.reach(task, "running")
    os.kill(living.call("status")["keeper"]["pid"], signal.SIGKILL)
    gate.touch()

    assert [end["code"] for end in living.ended(task)] == [3]
    assert living.ended(living.submit("true"))[0]["code"] == 0


def prepared(living: Living, boot: str = "", **more) -> str:
    """A task that a runtime claimed before it died: the keeper was never told of its run. With a `boot` it was seen to start in that."""
    engine = write_engine(living.home / "taskdeck.db")
    env = {"PATH": os.environ["PATH"], MARK: os.fspath(living.home)}
    with engine.begin() as c:
        made = Made(c)
        uuid = made.task(env=env, cpu=0, **more)
        (runid,) = made.claim(uuid)
        if boot:
            made.started(runid, boot=boot)
    engine.dispose()
    return uuid


def test_a_claimed_run_runs_once_and_one_that_the_keeper_does_not_know_again_only_after_a_restart_of_the_machine(living: Living):
    setup.prepare(living.home)
    claimed = prepared(living)
    started = prepared(living, Path("/proc/sys/kernel/random/boot_id").read_text().strip(), retries=1, retry_delay=0.0)
    before = prepared(living, "that of yesterday", retries=1, retry_delay=0.0)

    living.start()

    assert [end["code"] for end in living.ended(claimed)] == [0]
    row = living.show(claimed)
    assert (len(row["instances"]), row["attempts"]) == (1, 1)
    ((end),) = living.ended(started)
    assert (end["status"], end["code"]) == ("lost", 125)
    assert "no record" in end["reason"]
    assert [run["status"] for run in living.show(started)["instances"]] == ["lost"]
    assert [end["code"] for end in living.ended(before)] == [0]
    assert [(run["status"], run["reason"]) for run in living.show(before)["instances"]] == [("lost", "host restarted"), ("succeeded", None)]


def test_many_runs_end_once_each_across_kills_of_the_runtime(killed: Killed):
    runtime = killed.living
    runtime.call("queue.set", name="default", capacity=50)
    numbers = [runtime.submit("sh", "-c", f"exit {at % 3}", cpu=0) for at in range(40)]
    for _ in range(2):
        runtime.kill()
        runtime.start()

    assert [end["code"] for end in runtime.ended(*numbers)] == [at % 3 for at in range(40)]
    assert all(len(runtime.show(number)["instances"]) == 1 for number in numbers)


def test_what_may_run_on_in_the_home_that_was_copied_is_not_started_again_in_the_copy(killed: Killed, tmp_path: Path):
    living = killed.living
    task = living.submit("sleep", "600", retries=3, retry_delay=0.0, cpu=0)
    job = living.reach(task, "running")["instances"][0]["pid"]
    living.kill()
    copy = Living(tmp_path / "copy")
    subprocess.run(["cp", "-a", living.home, copy.home], check=True)

    try:
        copy.start()
        (end,) = copy.ended(task)
        assert (end["status"], end["reason"]) == ("lost", "the home was copied, or moved to another disk, while it ran")
        assert len(copy.show(task)["instances"]) == 1 and alive(job)
    finally:
        copy.end()
