"""The short form of the single trials of `python -m tests.long.chaos`. Where a machine does not allow one, the test says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.long.chaos import journal_writes, reused_pids, supervisor_deaths
from tests.long.chaos.results import Row, opened, table
from tests.runtime_process import Living


def met(rows: Iterable[Row]) -> list[Row]:
    """The rows, each of which must be met."""
    found = list(rows)
    assert all(row.met for row in found), table(found)
    return found


@pytest.fixture(scope="module")
def living() -> Iterator[Living]:
    """A home for the trials after which its runtime is up: each has a job of its own."""
    with opened() as living:
        yield living


def test_the_keeper_may_die_before_and_after_each_kind_of_record():
    if why := journal_writes.impossible():
        pytest.skip(why)

    rows = met(journal_writes.trials())

    assert len(rows) == 2 * len(journal_writes.WRITES) + 2


@pytest.mark.parametrize("trial", [reused_pids.both_dead, reused_pids.runtime_dead_and_cancelled, reused_pids.session_of_a_daemon])
def test_a_stranger_with_the_pid_of_a_run_is_let_alone(trial: Callable[[Living], Row]):
    if why := reused_pids.impossible():
        pytest.skip(why)
    met([reused_pids.tried(trial)])


@pytest.mark.parametrize("trial", [supervisor_deaths.ended_meanwhile, supervisor_deaths.stopped_later, supervisor_deaths.other_journal])
def test_a_run_that_nobody_can_know_the_end_of_is_lost_and_says_why(living: Living, trial: Callable[[Living], Row]):
    met([trial(living)])


def test_another_boot_id_ends_a_run_as_lost(living: Living):
    if why := supervisor_deaths.impossible():
        pytest.skip(why)
    met([supervisor_deaths.other_boot(living)])


def test_what_a_machine_does_not_allow_is_said_and_counts_as_neither(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_writes, "STRACE", None)

    (row,) = journal_writes.trials()

    assert row.met is None and "strace is not installed" in table([row])
    assert table([row]).endswith("0 met, 0 not met, 1 not possible on this machine and so not shown")
