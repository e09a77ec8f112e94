"""Counts of a runtime: buckets of durations, and a bounded number of queues."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.runtime_counts import MAX_QUEUES, OTHER, TASK_SECONDS, DurationCounts, RuntimeCounts


@given(st.lists(st.floats(-5, 1e7)))
def test_each_duration_is_in_the_first_bucket_that_holds_it(durations: list[float]):
    counted = DurationCounts(TASK_SECONDS)
    for seconds in durations:
        counted.add(seconds)

    for place, bound in enumerate(TASK_SECONDS):
        expected = sum(seconds <= bound for seconds in durations)
        assert sum(counted.counts[: place + 1]) == expected
    assert sum(counted.counts) == len(durations)
    assert counted.total >= 0


def test_a_bound_belongs_to_its_own_bucket():
    counted = DurationCounts((1, 5))

    for seconds in (1.0, 1.1, 5.0, 5.1):
        counted.add(seconds)

    assert counted.counts == [1, 2, 1]


def test_queues_beyond_the_most_are_counted_together():
    counts = RuntimeCounts()

    for number in range(2 * MAX_QUEUES):
        counts.add_start(f"q{number}", 1.0)
        counts.add_end(f"q{number}", "failed", None)

    assert len(counts.queues) == MAX_QUEUES + 1
    assert counts.queues[OTHER].started == MAX_QUEUES
    assert counts.queues[OTHER].ended == {"failed": MAX_QUEUES}
    assert counts.queues["q0"].started == 1


def test_later_attempts_and_unstarted_runs_have_no_duration():
    counts = RuntimeCounts()

    counts.add_start("q", None)
    counts.add_end("q", "lost", None)

    assert sum(counts.queues["q"].waits.counts) == sum(counts.queues["q"].runs.counts) == 0
