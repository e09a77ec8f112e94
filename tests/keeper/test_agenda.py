"""Tests of the agenda, and of the signal before a deadline."""

import signal

import pytest

from app.keeper.agenda import Agenda
from app.keeper.journal import Journal
from app.keeper.run import Run
from tests.runtime_process import wait_until

SCRIPT = "trap 'echo checkpoint' USR1; echo up; while :; do sleep 0.01; done"


def count_checkpoints(keeper_home, run: str) -> int:
    return keeper_home.get_log_path(run).read_text().count("checkpoint")


def test_the_signal_comes_once_also_after_the_death_of_the_keeper(keeper_home):
    early = [signal.SIGUSR1, 59.3]
    run = keeper_home.spawn("sh", "-c", SCRIPT, timeout=60, early=early)
    wait_until(lambda: count_checkpoints(keeper_home, run) == 1, "the signal")

    keeper_home.kill_one("pid")
    keeper_home.send("early", run=run)
    keeper_home.send("stop", run=run, reason="cancel", grace=0)
    keeper_home.wait_for_event("ended", run)

    assert count_checkpoints(keeper_home, run) == 1


def test_a_program_without_a_handler_runs_on(keeper_home):
    run = keeper_home.spawn("sh", "-c", f'sh -c "{SCRIPT}"', timeout=99, early=[10, 1])
    log = keeper_home.get_log_path(run)
    wait_until(lambda: "up" in log.read_text(), "the inner shell")

    keeper_home.send("early", run=run)

    wait_until(lambda: count_checkpoints(keeper_home, run) == 1, "the signal")
    assert keeper_home.find_known(run) is None or keeper_home.find_known(run)["is"] == "started"


def test_a_run_that_stops_gets_no_early_signal(keeper_home):
    run = keeper_home.spawn("sh", "-c", SCRIPT, timeout=99, early=[10, 1])
    wait_until(lambda: "up" in keeper_home.get_log_path(run).read_text(), "the program")

    keeper_home.send("stop", run=run, reason="cancel", grace=0)
    keeper_home.send("early", run=run)
    keeper_home.wait_for_event("ended", run)

    assert count_checkpoints(keeper_home, run) == 0


@pytest.mark.unit
def test_timers_of_ended_runs_are_removed():
    agenda = Agenda(Journal(-1, ""), lambda: 0)

    for number in range(1000):
        agenda.plan(1e9, Run(str(number)), 0)

    assert len(agenda.timers) <= 64
