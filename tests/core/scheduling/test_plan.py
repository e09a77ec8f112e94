"""The dispatch decision: order, limits, and places that nothing may delay."""

from dataclasses import replace
from itertools import chain, combinations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.plan import Active, Plan, View, Waiting, fits, plan, rank
from tests.core.scheduling.builders import a_pool, a_queue, a_run, a_task, a_view, is_open, views, within_limits
from tests.core.scheduling.simulator import Job, moments


def room_for(view: View, task: Waiting, held: list[Active | Waiting]) -> bool:
    """Whether a task has a slot and fits its pool beside these."""
    queue = next(queue for queue in view.queues if queue.name == task.queue)
    pool = next(pool for pool in view.pools if pool.name == queue.pool)
    beside = [run for run in held if next(q.pool for q in view.queues if q.name == run.queue) == pool.name]
    return (
        sum(run.queue == queue.name for run in held) < queue.capacity
        and fits(task.cpu, pool.total_cpu - sum(run.cpu for run in beside))
        and fits(task.memory, pool.total_memory - sum(run.memory for run in beside))
    )


def order(view: View, task: Waiting) -> tuple[int, ...]:
    return (-next(queue.priority for queue in view.queues if queue.name == task.queue), *rank(task))


def heads(view: View, decided: Plan) -> list[tuple[Waiting, float]]:
    """The tasks with a place, and when it begins."""
    tasks = {task.uuid: task for queue in view.queues for task in queue.waiting}
    return [(tasks[r.uuid], inf if r.starts_in is None else r.starts_in) for r in decided.reservations]


def numbers(decided: Plan) -> list[int]:
    return [task.number for task in decided.starts]


@given(views())
@settings(max_examples=300, deadline=None)
def test_a_plan_never_exceeds_a_capacity_or_a_pool_and_starts_only_what_is_open(view: View):
    starts = plan(view).starts

    assert within_limits(view, starts)
    assert all(is_open(view, task) for task in starts)
    assert len({task.uuid for task in starts}) == len(starts)
    assert [order(view, task) for task in starts] == sorted(order(view, task) for task in starts)


@given(views())
@settings(max_examples=300, deadline=None)
def test_nothing_that_could_start_is_left_waiting_unless_a_place_stands_in_its_way(view: View):
    decided = plan(view)
    kept = {reservation.pool for reservation in decided.reservations}
    held = [*view.active, *decided.starts]

    for queue in view.queues:
        for task in queue.waiting:
            if task not in decided.starts and is_open(view, task) and queue.pool not in kept:
                pool = next(pool for pool in view.pools if pool.name == queue.pool)
                too_big = task.cpu > pool.total_cpu or task.memory > pool.total_memory
                assert too_big or not room_for(view, task, held)


@given(views())
@settings(max_examples=300, deadline=None)
def test_a_place_is_free_when_it_begins_whatever_was_started_before_it(view: View):
    decided = plan(view)

    for head, begins in heads(view, decided):
        runs = [run for run in view.active if run.ends_in is None or run.ends_in <= 0 or run.ends_in > begins]
        tasks = [task for task in decided.starts if task.expected is None or task.expected > begins]
        assert begins == inf or room_for(view, head, [*runs, *tasks])
        assert not room_for(view, head, [*view.active, *decided.starts])


@given(views())
@settings(max_examples=300, deadline=None)
def test_without_a_known_end_no_late_start_takes_what_the_first_task_may_get_when_any_runs_end(view: View):
    decided = plan(view)

    for head, begins in heads(view, decided):
        before = [task for task in decided.starts if order(view, task) < order(view, head)]
        if begins == inf:
            for left in chain.from_iterable(combinations(view.active, n) for n in range(len(view.active) + 1)):
                if room_for(view, head, [*left, *before]):
                    assert room_for(view, head, [*left, *decided.starts])


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(0, 10), st.integers(1, 4), st.integers(0, 4)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=200, deadline=None)
def test_the_first_in_line_never_starts_later_than_promised_when_runs_take_no_longer_than_expected(sizes):
    jobs = [Job(n, submit, run, run + slack, cpu, memory) for n, (submit, run, slack, cpu, memory) in enumerate(sizes)]
    promised: dict[int, float] = {}
    begun: dict[int, float] = {}

    for moment in moments(jobs, cpu=4, memory=4):
        for head, begins in heads(moment.view, moment.plan):
            assert moment.now + begins <= promised.setdefault(head.number, moment.now + begins) < inf
        begun |= {task.number: moment.now for task in moment.plan.starts}

    assert begun.keys() == {job.number for job in jobs}
    assert all(begun[number] <= promised[number] for number in promised)


def test_starts_go_by_queue_priority_then_front_then_priority_then_age():
    urgent = a_queue("urgent", a_task(9, "urgent"), priority=5)
    plain = a_queue("plain", a_task(8, "plain", front=1), a_task(2, "plain", priority=3), a_task(4, "plain"))
    other = a_queue("other", a_task(3, "other", priority=3), a_task(1, "other"))

    assert numbers(plan(a_view(a_pool(cpu=10), other, plain, urgent))) == [9, 8, 2, 3, 1, 4]


@pytest.mark.parametrize("status", ["paused", "draining"])
def test_a_closed_queue_or_pool_starts_nothing_but_its_runs_still_hold_what_they_have(status: str):
    closed = a_queue("closed", a_task(1, "closed"), status=status)
    also_open = a_queue("open", a_task(2, "open"), a_task(3, "open"))
    view = a_view(closed, also_open, a_run(7, "closed", cpu=3))

    assert numbers(plan(view)) == [2]
    assert plan(replace(view, pools=(a_pool(status=status),))) == Plan((), ())


def test_nothing_starts_while_everything_is_halted():
    assert plan(a_view(a_queue("q", a_task(1)), halted="disk full since 10:31")) == Plan((), ())


@pytest.mark.parametrize("tenths", [3, 10, 17])
def test_tenths_of_a_core_fill_a_pool_exactly(tenths: int):
    tasks = [a_task(n, cpu=0.1, memory=0.1) for n in range(tenths + 2)]

    decided = plan(a_view(a_pool(cpu=tenths / 10, memory=tenths / 10), a_queue("q", *tasks)))

    assert numbers(decided) == list(range(tenths))
    assert [r.number for r in decided.reservations] == [tenths]


def test_tasks_that_need_nothing_are_limited_by_the_capacity_alone():
    tasks = [a_task(n, cpu=0, memory=0) for n in range(5)]
    overfull = a_run(99, "busy", cpu=9, memory=9999)

    assert numbers(plan(a_view(a_queue("q", *tasks, capacity=3), a_queue("busy"), overfull))) == [0, 1, 2]


def test_a_big_task_gets_its_place_when_enough_has_ended_and_only_short_tasks_pass_it():
    line = [a_task(1, cpu=4), a_task(2, expected=61.0), a_task(3, expected=60.0), a_task(4)]
    runs = [a_run(10, cpu=1, ends_in=60.0), a_run(11, cpu=1, ends_in=20.0)]

    decided = plan(a_view(a_queue("q", *line), *runs))

    assert numbers(decided) == [3]
    assert [(r.number, r.pool, r.starts_in, r.cpu) for r in decided.reservations] == [(1, "p", 60.0, 4)]


def test_what_fits_beside_the_big_task_may_pass_it_without_end_until_that_is_used_up():
    line = [a_task(1, cpu=3), a_task(2), a_task(3)]

    decided = plan(a_view(a_pool(cpu=4), a_queue("q", *line), a_run(10, cpu=2, ends_in=60.0)))

    assert numbers(decided) == [2]


def test_all_that_ends_at_the_moment_of_the_place_is_free_beside_it():
    runs = [a_run(10, cpu=1, ends_in=60.0), a_run(11, cpu=1, ends_in=60.0)]

    decided = plan(a_view(a_queue("q", a_task(1, cpu=3), a_task(2)), *runs))

    assert numbers(decided) == [2]


def test_a_task_started_by_this_very_plan_counts_for_the_place_that_is_kept():
    line = [a_task(1, cpu=2, expected=30.0), a_task(2, cpu=4)]

    assert [r.starts_in for r in plan(a_view(a_queue("q", *line))).reservations] == [30.0]


def test_when_no_end_is_known_only_what_is_free_beside_the_big_task_passes_it():
    line = [a_task(1, cpu=4), a_task(2, expected=1.0), a_task(3, cpu=0, memory=8)]

    decided = plan(a_view(a_queue("q", *line), a_run(10)))

    assert numbers(decided) == [3]
    assert [r.starts_in for r in decided.reservations] == [None]


def test_when_a_run_without_a_known_end_decides_the_known_ends_are_not_waited_for():
    line = [a_task(1, cpu=2, memory=600), a_task(2, expected=5.0)]
    runs = [a_run(10, cpu=0, memory=500), a_run(11, cpu=2, ends_in=60.0)]

    assert numbers(plan(a_view(a_queue("q", *line), *runs))) == []


def test_an_overdue_run_counts_as_one_without_a_known_end():
    line = [a_task(1, cpu=4), a_task(2, expected=1.0)]

    decided = plan(a_view(a_queue("q", *line), a_run(10, ends_in=-240.0)))

    assert numbers(decided) == []
    assert [r.starts_in for r in decided.reservations] == [None]


def test_a_full_queue_keeps_no_place_in_the_pool():
    full = a_queue("full", a_task(1, "full", cpu=4), capacity=1, priority=5)
    view = a_view(full, a_queue("q", a_task(2)), a_run(10, "full", ends_in=60.0))

    assert plan(view) == Plan((a_task(2),), ())


def test_the_last_slot_of_its_queue_is_left_to_the_task_with_the_place():
    line = [a_task(1, cpu=4), a_task(2, expected=1.0)]
    other = a_queue("other", a_task(3, "other", expected=1.0))
    view = a_view(a_queue("q", *line, capacity=1, priority=1), other, a_run(10, "other", ends_in=60.0))

    assert numbers(plan(view)) == [3]


def test_a_task_larger_than_its_pool_holds_up_nobody():
    decided = plan(a_view(a_queue("q", a_task(1, cpu=5), a_task(2))))

    assert decided == Plan((a_task(2),), ())


def test_pools_do_not_wait_for_each_other():
    full = a_queue("a", a_task(1, "a", cpu=2), pool="a", priority=9)
    free = a_queue("b", a_task(2, "b", cpu=2), pool="b")

    decided = plan(a_view(a_pool(2, name="a"), a_pool(2, name="b"), full, free, a_run(10, "a", ends_in=5.0)))

    assert numbers(decided) == [2]
    assert [(r.number, r.pool) for r in decided.reservations] == [(1, "a")]
