"""A runtime that dies loses nothing: the next one finds every run, started or not, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from app.runtime.fresh import prepare
from db import moves
from db.engine import write_engine
from tests.db.making import Made
from tests.living import MARK, Living, alive, until


def gated(living: Living, name: str, code: int) -> tuple[str, Path]:
    """A job that ends with this code once its gate is there."""
    gate = living.home / name
    return living.submit("sh", "-c", f"until [ -e {gate} ]; do sleep 0.01; done; exit {code}"), gate


def test_an_exit_while_no_runtime_was_up_is_kept(runtime: Living):
    task, gate = gated(runtime, "gate", 7)
    job = runtime.reach(task, "running")["instances"][0]["pid"]
    runtime.kill()
    gate.touch()
    until(lambda: not alive(job), "the job has ended")

    runtime.start()

    assert [end["code"] for end in runtime.ended(task)] == [7]
    (run,) = runtime.show(task)["instances"]
    assert (run["exit_code"], run["status"], run["attempt"]) == (7, "failed", 1)
    assert run["run_seconds"] is not None and run["end_time"] > run["start_time"]


def test_a_run_that_outlives_its_runtime_is_taken_over(runtime: Living):
    task, gate = gated(runtime, "gate", 0)
    before = runtime.reach(task, "running")["instances"]
    for _ in range(2):
        runtime.kill()
        runtime.start()
    assert [(run["runid"], run["pid"]) for run in runtime.show(task)["instances"]] == [
        (before[0]["runid"], before[0]["pid"])
    ]
    assert alive(before[0]["pid"])

    gate.touch()

    assert [end["code"] for end in runtime.ended(task)] == [0]
    assert len(runtime.show(task)["instances"]) == 1


def prepared(living: Living, started: bool, **more) -> str:
    """A task that a runtime claimed before it died: the keeper was never told of its run."""
    prepare(living.home)
    engine = write_engine(living.home / "taskdeck.db")
    env = {"PATH": os.environ["PATH"], MARK: os.fspath(living.home)}
    with engine.begin() as c:
        made = Made(c)
        uuid = made.task(env=env, **more)
        (runid,) = made.claim(uuid)
        if started:
            made.started(runid)
    engine.dispose()
    return uuid


def test_a_run_that_was_claimed_and_never_spawned_goes_back_to_the_queue_and_runs_once(living: Living):
    uuid = prepared(living, started=False)

    living.start()

    assert [end["code"] for end in living.ended(uuid)] == [0]
    row = living.show(uuid)
    assert (len(row["instances"]), row["attempts"]) == (1, 1)


def test_a_run_of_which_the_keeper_knows_nothing_is_lost_and_says_so(living: Living):
    uuid = prepared(living, started=True)

    living.start()

    ((end),) = living.ended(uuid)
    assert (end["status"], end["code"]) == ("lost", 125)
    assert "no record" in end["reason"]


def test_a_lost_run_is_run_again_only_when_the_task_allows_it(living: Living):
    uuid = prepared(living, started=True, retries=1, retry_delay=0.0)

    living.start()

    assert [end["code"] for end in living.ended(uuid)] == [0]
    assert [run["status"] for run in living.show(uuid)["instances"]] == ["lost", "succeeded"]


def test_what_may_run_on_in_the_home_that_was_copied_is_not_started_again_in_the_copy(runtime: Living, tmp_path: Path):
    task = runtime.submit("sleep", "600", retries=3, retry_delay=0.0)
    job = runtime.reach(task, "running")["instances"][0]["pid"]
    runtime.kill()
    copy = Living(tmp_path / "copy")
    subprocess.run(["cp", "-a", runtime.home, copy.home], check=True)

    try:
        copy.start()
        (end,) = copy.ended(task)
        assert (end["status"], end["reason"]) == ("lost", "the home was copied, or moved to another disk, while it ran")
        assert len(copy.show(task)["instances"]) == 1 and alive(job)
    finally:
        copy.end()


def test_a_cancel_that_was_stored_is_carried_out_by_the_next_runtime(runtime: Living):
    uuid = runtime.show(gated(runtime, "gate", 0)[0])["uuid"]
    job = runtime.reach(uuid, "running")["instances"][0]["pid"]
    runtime.kill()
    engine = write_engine(runtime.home / "taskdeck.db")
    with engine.begin() as c:
        moves.cancel(c, [uuid], "ann")
    engine.dispose()

    runtime.start()

    ((end),) = runtime.ended(uuid)
    assert (end["status"], end["reason"]) == ("cancelled", "cancelled by ann")
    assert not alive(job)


def test_a_keeper_that_dies_takes_no_run_with_it(runtime: Living):
    task, gate = gated(runtime, "gate", 3)
    runtime.reach(task, "running")
    os.kill(runtime.call("status")["keeper"]["pid"], signal.SIGKILL)
    gate.touch()

    assert [end["code"] for end in runtime.ended(task)] == [3]
    assert runtime.ended(runtime.submit("true"))[0]["code"] == 0


def test_many_runs_end_once_each_across_kills_of_the_runtime(runtime: Living):
    runtime.call("queue.set", name="default", capacity=50)
    numbers = [runtime.submit("sh", "-c", f"exit {at % 3}", cpu=0) for at in range(40)]
    for _ in range(3):
        runtime.kill()
        runtime.start()

    assert [end["code"] for end in runtime.ended(*numbers)] == [at % 3 for at in range(40)]
    assert all(len(runtime.show(number)["instances"]) == 1 for number in numbers)


def test_a_pause_survives_the_runtime(runtime: Living):
    number, gate = gated(runtime, "gate", 0)
    job = runtime.reach(number, "running")["instances"][0]["pid"]
    runtime.call("pause", ids=[number])
    until(
        lambda: Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[0] in "TD",
        "the job or its child stands still",
    )
    runtime.kill()
    runtime.start()
    gate.touch()
    assert runtime.show(number)["instances"][0]["status"] == "paused"

    runtime.call("resume", ids=[number])

    assert runtime.ended(number)[0]["code"] == 0
