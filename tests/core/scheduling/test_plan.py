"""Tests of the dispatch decision: order, limits and reservations."""

from dataclasses import replace
from itertools import chain, combinations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.amounts import can_fit
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    Plan,
    QueuedTask,
    get_sort_key,
    make_plan,
    split_view,
)
from app.core.scheduling.resources import make_amounts
from tests.core.scheduling.builders import (
    is_open,
    is_within_limits,
    make_pool,
    make_queue,
    make_run,
    make_task,
    make_view,
    random_views,
)
from tests.trials.replays.replay import TraceJob, TraceReplay


def has_room(view: DispatchView, task: QueuedTask, held: list[ActiveRun | QueuedTask]) -> bool:
    """Return true if a task has a slot and fits its pool beside the held ones."""
    queue = next(queue for queue in view.queues if queue.name == task.queue)
    pool = next(pool for pool in view.pools if pool.name == queue.pool)
    beside = [
        run for run in held if next(q.pool for q in view.queues if q.name == run.queue) == pool.name
    ]
    return (
        sum(run.queue == queue.name for run in held) < queue.capacity
        and all(
            can_fit(need, pool.totals[name] - sum(run.needs.get(name, 0) for run in beside))
            for name, need in task.needs.items()
            if name in pool.totals or name not in view.shared
        )
        and all(
            can_fit(task.needs.get(name, 0), total - sum(run.needs.get(name, 0) for run in held))
            for name, total in view.shared.items()
        )
    )


def get_order(view: DispatchView, task: QueuedTask) -> tuple[float, ...]:
    return (
        -next(queue.priority for queue in view.queues if queue.name == task.queue),
        *get_sort_key(task),
    )


def list_reservations(view: DispatchView, decided: Plan) -> list[tuple[QueuedTask, float]]:
    """Return the reserved tasks with their start times."""
    tasks = {task.uuid: task for queue in view.queues for task in queue.waiting}
    return [
        (tasks[r.uuid], inf if r.starts_in is None else r.starts_in) for r in decided.reservations
    ]


def list_started(decided: Plan) -> list[int]:
    return [task.number for task in decided.starts]


@given(random_views())
@settings(max_examples=100, deadline=None)
def test_a_plan_respects_all_limits_and_starts_only_open_work(view: DispatchView):
    starts = make_plan(view).starts

    assert is_within_limits(view, starts)
    assert all(is_open(view, task) for task in starts)
    assert len({task.uuid for task in starts}) == len(starts)
    assert [get_order(view, task) for task in starts] == sorted(
        get_order(view, task) for task in starts
    )


@given(random_views())
@settings(max_examples=100, deadline=None)
def test_only_a_reservation_keeps_a_startable_task_waiting(view: DispatchView):
    decided = make_plan(view)
    kept = {reservation.pool for reservation in decided.reservations}
    shared = any(one.needs.get("licence") for one in decided.reservations)
    held = [*view.active, *decided.starts]

    for queue in view.queues:
        for task in queue.waiting:
            if shared and task.needs.get("licence"):  # reserved for a task of any pool
                continue
            if task not in decided.starts and is_open(view, task) and queue.pool not in kept:
                pool = next(pool for pool in view.pools if pool.name == queue.pool)
                too_big = any(
                    need > min(pool.totals.get(name, inf), view.shared.get(name, inf))
                    for name, need in task.needs.items()
                )
                assert too_big or not has_room(view, task, held)


@given(random_views())
@settings(max_examples=100, deadline=None)
def test_a_reservation_is_free_when_it_begins(view: DispatchView):
    decided = make_plan(view)

    for head, begins in list_reservations(view, decided):
        runs = [
            run
            for run in view.active
            if run.ends_in is None or run.ends_in <= 0 or run.ends_in > begins
        ]
        tasks = [task for task in decided.starts if task.expected is None or task.expected > begins]
        assert begins == inf or has_room(view, head, [*runs, *tasks])
        assert not has_room(view, head, [*view.active, *decided.starts])


@given(random_views())
@settings(max_examples=100, deadline=None)
def test_without_a_known_end_no_backfill_takes_the_reserved_room(view: DispatchView):
    decided = make_plan(view)

    for head, begins in list_reservations(view, decided):
        before = [task for task in decided.starts if get_order(view, task) < get_order(view, head)]
        if begins == inf:
            for left in chain.from_iterable(
                combinations(view.active, n) for n in range(len(view.active) + 1)
            ):
                if has_room(view, head, [*left, *before]):
                    assert has_room(view, head, [*left, *decided.starts])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(1, 20),
            st.integers(0, 10),
            st.integers(1, 4),
            st.integers(0, 4),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=100, deadline=None)
def test_the_first_task_starts_as_promised_if_runs_keep_their_time(sizes):
    replay = TraceReplay(
        [
            TraceJob(n, submit, run, run + slack, make_amounts(cpu, memory, None))
            for n, (submit, run, slack, cpu, memory) in enumerate(sizes)
        ],
        make_amounts(4, 4, None),
    )
    promised: dict[int, float] = {}

    while replay.advance():
        view = replay.make_view()
        for head, begins in list_reservations(view, make_plan(view)):
            at = replay.now + begins
            assert at <= promised.setdefault(head.number, at) < inf
        replay.start()

    assert len(replay.starts) == len(sizes)
    assert all(replay.starts[number] <= promised[number] for number in promised)


def test_starts_follow_queue_priority_front_priority_and_age():
    urgent = make_queue("urgent", make_task(9, "urgent"), priority=5)
    plain = make_queue(
        "plain",
        make_task(8, "plain", front=1),
        make_task(2, "plain", priority=3),
        make_task(4, "plain"),
    )
    other = make_queue("other", make_task(3, "other", priority=3), make_task(1, "other"))

    assert list_started(make_plan(make_view(make_pool(cpu=10), other, plain, urgent))) == [
        9,
        8,
        2,
        3,
        1,
        4,
    ]


@pytest.mark.parametrize("status", ["paused", "draining"])
def test_a_closed_queue_starts_nothing_but_its_runs_hold_resources(status: str):
    closed = make_queue("closed", make_task(1, "closed"), status=status)
    also_open = make_queue("open", make_task(2, "open"), make_task(3, "open"))
    view = make_view(closed, also_open, make_run(7, "closed", cpu=3))

    assert list_started(make_plan(view)) == [2]
    assert make_plan(replace(view, pools=(make_pool(status=status),))) == Plan((), ())


def test_nothing_starts_while_halted():
    assert make_plan(
        make_view(make_queue("q", make_task(1)), halted="disk full since 10:31")
    ) == Plan((), ())


@pytest.mark.parametrize("tenths", [3, 10, 17])
def test_tenths_of_a_core_fill_a_pool_exactly(tenths: int):
    tasks = [make_task(n, cpu=0.1, memory=0.1) for n in range(tenths + 2)]

    decided = make_plan(
        make_view(make_pool(cpu=tenths / 10, memory=tenths / 10), make_queue("q", *tasks))
    )

    assert list_started(decided) == list(range(tenths))
    assert [r.number for r in decided.reservations] == [tenths]


def test_tasks_without_needs_are_limited_by_capacity_only():
    tasks = [make_task(n, cpu=0, memory=0) for n in range(5)]
    overfull = make_run(99, "busy", cpu=9, memory=9999)

    assert list_started(
        make_plan(make_view(make_queue("q", *tasks, capacity=3), make_queue("busy"), overfull))
    ) == [0, 1, 2]


def test_a_big_task_reserves_its_start_and_only_short_tasks_backfill():
    line = [
        make_task(1, cpu=4),
        make_task(2, expected=61.0),
        make_task(3, expected=60.0),
        make_task(4),
    ]
    runs = [make_run(10, cpu=1, ends_in=60.0), make_run(11, cpu=1, ends_in=20.0)]

    decided = make_plan(make_view(make_queue("q", *line), *runs))

    assert list_started(decided) == [3]
    assert [(r.number, r.pool, r.starts_in, r.needs["cpu"]) for r in decided.reservations] == [
        (1, "p", 60.0, 4)
    ]


def test_tasks_that_fit_beside_the_reservation_may_backfill():
    line = [make_task(1, cpu=3), make_task(2), make_task(3)]

    decided = make_plan(
        make_view(make_pool(cpu=4), make_queue("q", *line), make_run(10, cpu=2, ends_in=60.0))
    )

    assert list_started(decided) == [2]


def test_releases_at_the_reserved_moment_count_as_free():
    runs = [make_run(10, cpu=1, ends_in=60.0), make_run(11, cpu=1, ends_in=60.0)]

    decided = make_plan(make_view(make_queue("q", make_task(1, cpu=3), make_task(2)), *runs))

    assert list_started(decided) == [2]


def test_a_task_started_in_the_same_plan_counts_for_the_reservation():
    line = [make_task(1, cpu=2, expected=30.0), make_task(2, cpu=4)]

    assert [r.starts_in for r in make_plan(make_view(make_queue("q", *line))).reservations] == [
        30.0
    ]


def test_with_unknown_ends_only_unreserved_room_is_used():
    line = [make_task(1, cpu=4), make_task(2, expected=1.0), make_task(3, cpu=0, memory=8)]

    decided = make_plan(make_view(make_queue("q", *line), make_run(10)))

    assert list_started(decided) == [3]
    assert [r.starts_in for r in decided.reservations] == [None]


def test_a_decisive_unknown_end_ignores_known_ends():
    line = [make_task(1, cpu=2, memory=600), make_task(2, expected=5.0)]
    runs = [make_run(10, cpu=0, memory=500), make_run(11, cpu=2, ends_in=60.0)]

    assert list_started(make_plan(make_view(make_queue("q", *line), *runs))) == []


def test_an_overdue_run_has_no_known_end():
    line = [make_task(1, cpu=4), make_task(2, expected=1.0)]

    decided = make_plan(make_view(make_queue("q", *line), make_run(10, ends_in=-240.0)))

    assert list_started(decided) == []
    assert [r.starts_in for r in decided.reservations] == [None]


def test_a_full_queue_reserves_nothing_in_the_pool():
    full = make_queue("full", make_task(1, "full", cpu=4), capacity=1, priority=5)
    view = make_view(full, make_queue("q", make_task(2)), make_run(10, "full", ends_in=60.0))

    assert make_plan(view) == Plan((make_task(2),), ())


def test_the_last_slot_is_kept_for_the_reserved_task():
    line = [make_task(1, cpu=4), make_task(2, expected=1.0)]
    other = make_queue("other", make_task(3, "other", expected=1.0))
    view = make_view(
        make_queue("q", *line, capacity=1, priority=1), other, make_run(10, "other", ends_in=60.0)
    )

    assert list_started(make_plan(view)) == [3]


def test_an_oversized_task_delays_nobody():
    decided = make_plan(make_view(make_queue("q", make_task(1, cpu=5), make_task(2))))

    assert decided == Plan((make_task(2),), ())


def test_pools_are_independent():
    full = make_queue("a", make_task(1, "a", cpu=2), pool="a", priority=9)
    free = make_queue("b", make_task(2, "b", cpu=2), pool="b")

    decided = make_plan(
        make_view(
            make_pool(2, name="a"),
            make_pool(2, name="b"),
            full,
            free,
            make_run(10, "a", ends_in=5.0),
        )
    )

    assert list_started(decided) == [2]
    assert [(r.number, r.pool) for r in decided.reservations] == [(1, "a")]


def test_a_short_task_takes_the_last_slot_before_a_reservation():
    line = [make_task(2, cpu=2.0), make_task(3, expected=5.0, limit=5.0)]
    view = make_view(
        make_pool(cpu=2), make_queue("q", *line, capacity=2), make_run(1, ends_in=100.0)
    )

    assert list_started(make_plan(view)) == [3]
    assert list_reservations(view, make_plan(view)) == [(line[0], 100.0)]


@pytest.mark.parametrize("limit", [None, 101.0])
def test_only_a_limit_opens_the_last_slot_before_a_reservation(limit: float | None):
    line = [make_task(2, cpu=3.0), make_task(3, expected=5.0, limit=limit)]
    view = make_view(
        make_pool(cpu=4), make_queue("q", *line, capacity=2), make_run(1, cpu=2.0, ends_in=100.0)
    )

    assert list_started(make_plan(view)) == []


def test_a_full_queue_keeps_the_reservation_of_its_first_task():
    head, long, short = (
        make_task(2, cpu=3.0),
        make_task(4, "other", expected=500.0),
        make_task(5, "other", expected=50.0),
    )
    view = make_view(
        make_pool(cpu=3),
        make_queue("q", head, make_task(6, cpu=3.0), capacity=2),
        make_queue("other", long, short),
        make_run(1, ends_in=100.0),
        make_run(3, ends_in=5.0),
    )

    assert list_reservations(view, make_plan(view)) == [(head, 100.0)]
    assert list_started(make_plan(view)) == [5]


# --- named resources and those that pools share ---------------------------------------------


def test_a_named_resource_limits_like_cpu():
    line = [make_task(n, named={"gpu": 1}) for n in range(4)]
    pool = make_pool(cpu=8, named={"gpu": 3})

    decided = make_plan(make_view(pool, make_queue("q", *line)))

    assert list_started(decided) == [0, 1, 2]
    assert [r.number for r in decided.reservations] == [3]


def test_a_pool_without_the_resource_starts_no_task_that_asks_for_it():
    line = [make_task(1, named={"gpu": 1}), make_task(2)]

    decided = make_plan(make_view(make_queue("q", *line)))

    assert list_started(decided) == [2]
    assert decided.reservations == ()


def test_a_shared_resource_limits_all_pools_together():
    pools = make_pool(name="a"), make_pool(name="b", named={"licence": 1})
    first = make_queue("x", *(make_task(n, "x", named={"licence": 1}) for n in (1, 3)), pool="a")
    other = make_queue("y", *(make_task(n, "y", named={"licence": 1}) for n in (2, 4)), pool="b")

    decided = make_plan(make_view(*pools, first, other, shared={"licence": 3}))

    assert list_started(decided) == [1, 2, 3]


def test_a_reservation_of_a_shared_resource_holds_in_other_pools():
    """The reserved task of pool `a` needs both licences, so pool `b` must not take the free one."""
    pools = make_pool(name="a"), make_pool(name="b")
    head = make_task(1, "x", named={"licence": 2})
    late, short = (make_task(n, "y", named={"licence": 1}, **also) for n, also in (
        (2, {"expected": 61.0}), (3, {"expected": 59.0}),
    ))  # fmt: skip
    run = make_run(9, "y", ends_in=60.0, named={"licence": 1})
    queues = make_queue("x", head, pool="a"), make_queue("y", late, short, pool="b")

    decided = make_plan(make_view(*pools, *queues, run, shared={"licence": 2}))

    assert list_started(decided) == [3]
    assert [(r.number, r.pool, r.starts_in) for r in decided.reservations] == [(1, "a", 60.0)]


def test_pools_that_share_nothing_are_parts_of_their_own():
    pools = [make_pool(name=name) for name in "abc"]
    pools[2] = make_pool(name="c", named={"licence": 0})
    queues = [make_queue(name, make_task(n, name), pool=name) for n, name in enumerate("abc")]

    alone = split_view(make_view(*pools, *queues))
    linked = split_view(make_view(*pools, *queues, shared={"licence": 1}))

    assert [[pool.name for pool in part.pools] for part in alone] == [["a"], ["b"], ["c"]]
    assert [[pool.name for pool in part.pools] for part in linked] == [["a", "b"], ["c"]]
    assert [[queue.name for queue in part.queues] for part in linked] == [["a", "b"], ["c"]]


def test_an_outer_pool_starts_any_request_up_to_the_capacity_of_its_queue():
    apart = replace(make_pool(0.0, 0.0, name="big"), is_outer=True)
    tasks = [make_task(n, "sims", cpu=64.0, named={"gpu": 8}) for n in (1, 2)]
    sims = make_queue("sims", *tasks, pool="big", capacity=1)
    mine = make_queue("q", make_task(3, named={"gpu": 1}))

    plan = make_plan(make_view(make_pool(), apart, sims, mine, shared={"gpu": 1}))

    assert [task.number for task in plan.starts] == [1, 3]
    troubled = replace(apart, trouble="Slurm does not answer")
    plan = make_plan(make_view(make_pool(), troubled, sims, mine, shared={"gpu": 1}))
    assert [task.number for task in plan.starts] == [3]
