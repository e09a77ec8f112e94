"""Runs across a killed runtime: the next runtime finds each run and its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.home import setup
from db.engine import create_write_engine
from db.queries.tasks import transitions
from tests.db.builders import TaskBuilder
from tests.long.chaos.results import open_runtime
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess, is_alive, wait_until


def submit_gated_job(living: RuntimeProcess, name: str, code: int) -> tuple[str, Path]:
    """Submit a job that exits with `code` once its gate file exists."""
    gate = living.home / name
    return living.submit(
        "sh", "-c", f"until [ -e '{gate}' ]; do sleep 0.05; done; exit {code}", cpu=0
    ), gate


class RestartedRuntime:
    """A home whose runtime was killed while four jobs ran, and was started again."""

    def __init__(self, living: RuntimeProcess) -> None:
        self.living = living
        living.call("queue.set", name="default", capacity=9)
        (
            (self.ended, end),
            (self.goes_on, self.gate),
            (self.cancelled, _),
            (self.paused, self.go),
        ) = (
            submit_gated_job(living, name, code)
            for name, code in (("ended", 7), ("goes on", 0), ("cancelled", 0), ("paused", 0))
        )
        tasks = (self.ended, self.goes_on, self.cancelled, self.paused)
        self.runs = {
            task: living.wait_for_status(task, "running")["instances"][0] for task in tasks
        }
        uuid = living.show(self.cancelled)["uuid"]
        living.call("pause", ids=[self.paused])
        wait_until(
            lambda: read_process_state(self.runs[self.paused]["pid"]) in "TD",
            "the job or its child stands still",
        )

        living.kill()
        assert setup.was_unclean_shutdown(living.home)  # the next runtime checks the database
        end.touch()
        wait_until(lambda: not is_alive(self.runs[self.ended]["pid"]), "the job has ended")
        engine = create_write_engine(living.home / "taskdeck.db")
        with engine.begin() as c:
            transitions.cancel(c, [uuid], "ann")
        engine.dispose()
        living.start()


def read_process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(scope="module")
def restarted_runtime() -> Iterator[RestartedRuntime]:
    with open_runtime() as living:
        yield RestartedRuntime(living)


def test_an_exit_while_no_runtime_ran_is_recorded(restarted_runtime: RestartedRuntime):
    assert [
        end["code"] for end in restarted_runtime.living.wait_for_end(restarted_runtime.ended)
    ] == [7]
    (run,) = restarted_runtime.living.show(restarted_runtime.ended)["instances"]
    assert (run["exit_code"], run["status"], run["attempt"]) == (7, "failed", 1)
    assert run["run_seconds"] is not None and run["end_time"] > run["start_time"]


def test_a_stored_cancel_is_carried_out_by_the_next_runtime(restarted_runtime: RestartedRuntime):
    ((end),) = restarted_runtime.living.wait_for_end(restarted_runtime.cancelled)
    assert (end["status"], end["reason"]) == ("cancelled", "cancelled by ann")
    assert not is_alive(restarted_runtime.runs[restarted_runtime.cancelled]["pid"])


def test_a_pause_survives_a_killed_runtime(restarted_runtime: RestartedRuntime):
    restarted_runtime.go.touch()
    assert (
        restarted_runtime.living.show(restarted_runtime.paused)["instances"][0]["status"]
        == "paused"
    )

    restarted_runtime.living.call("resume", ids=[restarted_runtime.paused])

    assert restarted_runtime.living.wait_for_end(restarted_runtime.paused)[0]["code"] == 0


def test_a_run_survives_two_killed_runtimes(restarted_runtime: RestartedRuntime):
    living, before = restarted_runtime.living, restarted_runtime.runs[restarted_runtime.goes_on]
    living.kill()
    living.start()
    assert [
        (run["runid"], run["pid"]) for run in living.show(restarted_runtime.goes_on)["instances"]
    ] == [(before["runid"], before["pid"])]
    assert is_alive(before["pid"])

    restarted_runtime.gate.touch()

    assert [end["code"] for end in living.wait_for_end(restarted_runtime.goes_on)] == [0]
    assert len(living.show(restarted_runtime.goes_on)["instances"]) == 1


def test_a_killed_keeper_takes_no_run_with_it(restarted_runtime: RestartedRuntime):
    living = restarted_runtime.living
    task, gate = submit_gated_job(living, "keeper", 3)
    living.wait_for_status(task, "running")
    os.kill(living.call("status")["keeper"]["pid"], signal.SIGKILL)
    gate.touch()

    assert [end["code"] for end in living.wait_for_end(task)] == [3]
    assert living.wait_for_end(living.submit("true"))[0]["code"] == 0


def claim_task_offline(living: RuntimeProcess, boot: str = "", **more) -> str:
    """Insert a task claimed before the runtime died, without telling the keeper.

    With `boot` its start was also recorded in that boot.
    """
    engine = create_write_engine(living.home / "taskdeck.db")
    env = {"PATH": os.environ["PATH"], HOME_VARIABLE: os.fspath(living.home)}
    with engine.begin() as c:
        made = TaskBuilder(c)
        uuid = made.submit_task(env=env, cpu=0, **more)
        (runid,) = made.claim_tasks(uuid)
        if boot:
            made.record_start(runid, boot=boot)
    engine.dispose()
    return uuid


def test_a_claimed_run_starts_once_unknown_ones_retry_only_after_reboot(
    lazy_runtime: RuntimeProcess,
):
    setup.prepare_database(lazy_runtime.home)
    claimed = claim_task_offline(lazy_runtime)
    started = claim_task_offline(
        lazy_runtime,
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        retries=1,
        retry_delay=0.0,
    )
    before = claim_task_offline(lazy_runtime, "that of yesterday", retries=1, retry_delay=0.0)

    lazy_runtime.start()

    assert [end["code"] for end in lazy_runtime.wait_for_end(claimed)] == [0]
    row = lazy_runtime.show(claimed)
    assert (len(row["instances"]), row["attempts"]) == (1, 1)
    ((end),) = lazy_runtime.wait_for_end(started)
    assert (end["status"], end["code"]) == ("lost", 125)
    assert "no record" in end["reason"]
    assert [run["status"] for run in lazy_runtime.show(started)["instances"]] == ["lost"]
    assert [end["code"] for end in lazy_runtime.wait_for_end(before)] == [0]
    assert [(run["status"], run["reason"]) for run in lazy_runtime.show(before)["instances"]] == [
        ("lost", "host restarted"),
        ("succeeded", None),
    ]


def test_many_runs_end_exactly_once_across_killed_runtimes(restarted_runtime: RestartedRuntime):
    runtime = restarted_runtime.living
    runtime.call("queue.set", name="default", capacity=50)
    numbers = [runtime.submit("sh", "-c", f"exit {at % 3}", cpu=0) for at in range(40)]
    for _ in range(2):
        runtime.kill()
        runtime.start()

    assert [end["code"] for end in runtime.wait_for_end(*numbers)] == [at % 3 for at in range(40)]
    assert all(len(runtime.show(number)["instances"]) == 1 for number in numbers)


def test_a_copied_home_does_not_restart_runs_of_the_original(
    restarted_runtime: RestartedRuntime, tmp_path: Path
):
    living = restarted_runtime.living
    task = living.submit("sleep", "600", retries=3, retry_delay=0.0, cpu=0)
    job = living.wait_for_status(task, "running")["instances"][0]["pid"]
    living.kill()
    copy = RuntimeProcess(tmp_path / "copy")
    subprocess.run(["cp", "-a", living.home, copy.home], check=True)

    try:
        copy.start()
        (end,) = copy.wait_for_end(task)
        assert (end["status"], end["reason"]) == (
            "lost",
            "the home was copied, or moved to another disk, while it ran",
        )
        assert len(copy.show(task)["instances"]) == 1 and is_alive(job)
    finally:
        copy.kill_all()
