"""Tests of the replay of a trace in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.order import FIFO, POLICIES, SHORTEST, WAIT_WEIGHT
from app.core.scheduling.plan import make_plan
from tests.trials.replays.replay import (
    ESTIMATES,
    PERFECT,
    PRIORITY,
    ReplayOptions,
    TraceJob,
    TraceReplay,
    compute_figures,
)

JOBS = st.lists(
    st.builds(
        TraceJob,
        number=st.integers(0, 5),
        submit=st.integers(0, 20),
        run=st.integers(1, 9),
        limit=st.none() | st.integers(1, 12),
        needs=st.fixed_dictionaries({"cpu": st.integers(1, 4), "memory": st.integers(0, 4)}),
        priority=st.integers(0, 2),
    ),
    max_size=25,
)


def run(*jobs: TraceJob, policy: str = FIFO, cpu: float = 4, backfills: bool = True) -> TraceReplay:
    """Return a finished replay with perfect estimates."""
    replay = TraceReplay(jobs, {"cpu": cpu}, ReplayOptions(policy, PERFECT, backfills))
    list(replay)
    return replay


def make_job(number: int, submit: float, run: float, cpu: float, priority: float = 0) -> TraceJob:
    return TraceJob(number, submit, run, None, {"cpu": cpu}, priority)


def map_starts(replay: TraceReplay) -> dict[int, float]:
    return {replay.jobs[at].number: start for at, start in replay.starts.items()}


@given(JOBS, st.sampled_from(POLICIES), st.sampled_from(ESTIMATES))
@settings(max_examples=60, deadline=None)
def test_each_decision_is_that_of_the_plan_over_all_waiting_tasks(jobs, policy, estimates):
    totals = {"cpu": 4.0, "memory": 4.0}
    replay = TraceReplay(jobs, totals, ReplayOptions(policy, estimates))

    while replay.advance():
        view = replay.make_view()
        chosen = replay.start()
        assert chosen == list(make_plan(view).starts)
        held = [*view.active, *chosen]
        assert all(sum(one.needs[name] for one in held) <= totals[name] for name in totals)

    assert len(replay.starts) == len(jobs)


def test_a_later_job_is_backfilled_unless_it_delays_the_first():
    jobs = make_job(1, 0, 10, 3), make_job(2, 1, 5, 4), make_job(3, 2, 9, 1), make_job(4, 3, 7, 1)

    assert map_starts(run(*jobs)) == {1: 0, 4: 3, 2: 10, 3: 15}
    assert map_starts(run(*jobs, backfills=False)) == {1: 0, 2: 10, 3: 15, 4: 15}


def test_the_priority_policy_starts_urgent_jobs_first():
    jobs = make_job(1, 0, 10, 4), make_job(2, 1, 5, 4), make_job(3, 2, 5, 4, priority=1)

    assert map_starts(run(*jobs, policy=PRIORITY)) == {1: 0, 3: 10, 2: 15}
    assert map_starts(run(*jobs, policy=FIFO)) == {1: 0, 2: 10, 3: 15}


def test_shortest_first_overtakes_a_long_job_only_for_a_while():
    long, busy = make_job(1, 1, 10, 4), make_job(0, 0, 2, 4)
    stream = [make_job(2 + at, 1 + at, 1, 4) for at in range(300)]

    starts = map_starts(run(busy, long, *stream, policy=SHORTEST))

    first_behind = min(number for number, start in starts.items() if number and start > starts[1])
    assert starts[2] < starts[1] <= 1 + WAIT_WEIGHT * 10 + 2
    assert first_behind > 80


def test_the_figures_count_waits_from_the_submission():
    figures = compute_figures(
        run(make_job(1, 5, 20, 4), make_job(2, 10, 5, 2), make_job(3, 10, 5, 2))
    )

    assert (figures.jobs, figures.makespan) == (3, 25)
    assert (figures.mean_wait, figures.p95_wait) == (10, 15)
    assert (figures.longest_wait, figures.longest_number) == (15, 2)
    assert figures.mean_slowdown == pytest.approx((1 + 2 + 2) / 3)
    assert figures.utilisation == {"cpu": 1.0}


def test_a_replay_of_nothing_has_no_waits():
    figures = compute_figures(run())

    assert (figures.jobs, figures.longest_wait, figures.utilisation) == (0, 0, {"cpu": 0.0})


def run_with_ageing(ageing: float, *old: TraceJob) -> dict[int, float]:
    """Return starts beside two streams of urgent jobs, each of which comes as one ends."""
    urgent = [make_job(n, max(0, 10 * (n // 2) - 1), 10, 2, priority=9) for n in range(20)]
    options = ReplayOptions(PRIORITY, PERFECT, ageing=ageing)
    replay = TraceReplay([*urgent, *old], {"cpu": 4.0}, options)
    list(replay)
    assert len(replay.starts) == len(replay.jobs)
    return map_starts(replay)


@pytest.mark.parametrize("ageing, start", [(0.0, 100), (30.0, 40), (500.0, 100)])
def test_the_oldest_job_goes_first_once_it_is_old(ageing: float, start: float):
    assert run_with_ageing(ageing, make_job(99, 0, 10, 4))[99] == start


def test_of_old_jobs_one_at_a_time_goes_first():
    starts = run_with_ageing(30.0, make_job(98, 0, 20, 2), make_job(99, 0, 10, 2))

    assert (starts[98], starts[99]) == (40, 60)
