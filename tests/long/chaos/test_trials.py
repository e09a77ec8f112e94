"""Short form of the single chaos trials; a trial that the machine does not allow is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.long.chaos import journal_writes, reused_pids, supervisor_deaths
from tests.long.chaos.results import TrialResult, format_table, open_runtime
from tests.runtime_process import RuntimeProcess


def check_all_met(rows: Iterable[TrialResult]) -> list[TrialResult]:
    """Check that every row was met, and return the rows."""
    found = list(rows)
    assert all(row.met for row in found), format_table(found)
    return found


@pytest.fixture(scope="module")
def trial_runtime() -> Iterator[RuntimeProcess]:
    """Yield a home for trials that leave its runtime running; each has its own job."""
    with open_runtime() as living:
        yield living


def test_the_keeper_may_die_before_and_after_each_record():
    if why := journal_writes.find_obstacle():
        pytest.skip(why)

    rows = check_all_met(journal_writes.run_trials())

    assert len(rows) == 2 * len(journal_writes.WRITES) + 2


@pytest.mark.parametrize(
    "trial",
    [
        reused_pids.run_both_dead,
        reused_pids.run_runtime_dead_and_cancelled,
        reused_pids.run_session_of_a_daemon,
    ],
)
def test_a_stranger_with_a_runs_pid_is_left_alone(trial: Callable[[RuntimeProcess], TrialResult]):
    if why := reused_pids.find_obstacle():
        pytest.skip(why)
    check_all_met([reused_pids.run_trial(trial)])


@pytest.mark.parametrize(
    "trial",
    [
        supervisor_deaths.run_ended_unwatched,
        supervisor_deaths.run_stopped_later,
        supervisor_deaths.run_other_journal,
    ],
)
def test_a_run_of_unknown_end_is_lost_with_a_reason(
    trial_runtime: RuntimeProcess, trial: Callable[[RuntimeProcess], TrialResult]
):
    check_all_met([trial(trial_runtime)])


def test_another_boot_id_ends_a_run_as_lost(trial_runtime: RuntimeProcess):
    if why := supervisor_deaths.find_obstacle():
        pytest.skip(why)
    check_all_met([supervisor_deaths.run_other_boot(trial_runtime)])


def test_an_impossible_trial_is_reported_and_does_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_writes, "STRACE", None)

    (row,) = journal_writes.run_trials()

    assert row.met is None and "strace is not installed" in format_table([row])
    assert format_table([row]).endswith(
        "0 met, 0 not met, 1 not possible on this machine and so not shown"
    )
