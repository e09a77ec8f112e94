"""Limits of tags in the plan, in reasons, forecasts and suggestions."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from app.core.scheduling import plan
from app.core.scheduling.amounts import can_fit
from app.core.scheduling.bookings import Booking
from app.core.scheduling.explanations.explain import explain
from app.core.scheduling.explanations.suggestion import Facts
from app.core.scheduling.explanations.suggestions import find_suggestions
from app.core.scheduling.explanations.waiting_task import TaskState
from app.core.scheduling.forecasts import forecast
from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.limits import RUNNING, LimitBudget, list_uses
from app.core.scheduling.plan import DispatchView, QueuedTask, decide, make_plan, split_view
from tests.core.scheduling.builders import (
    make_pool,
    make_queue,
    make_run,
    make_task,
    make_view,
    random_views,
)

A = ("team=a",)
FOUR = {"team=a": {RUNNING: 4.0}}


def list_starts(view: DispatchView) -> list[int]:
    return [task.number for task in make_plan(view).starts]


def make_state(task: QueuedTask) -> TaskState:
    return TaskState(
        task.uuid, task.number, task.name, task.queue, "queued", 0, task.needs, None, None, None,
        None, 0, 0, 0, (), subjects=task.subjects,
    )  # fmt: skip


def test_a_task_that_a_limit_stops_delays_no_other_task():
    line = [make_task(n, subjects=A) for n in range(1, 7)] + [make_task(7), make_task(8)]
    view = make_view(make_pool(cpu=7), make_queue("q", *line), make_run(9, subjects=A), limits=FOUR)

    assert list_starts(view) == [1, 2, 3, 7, 8]
    assert make_plan(view).reservations == ()


def test_a_limit_on_a_key_holds_for_each_value_without_its_own():
    limits = {"team": {RUNNING: 1.0}, "team=b": {RUNNING: 2.0}}
    tags = ["a", "a", "b", "b", "b", "c"]
    line = [make_task(n, subjects=(f"team={tag}",)) for n, tag in enumerate(tags)]

    assert list_starts(make_view(make_pool(cpu=9), make_queue("q", *line), limits=limits)) == [
        0, 2, 3, 5,
    ]  # fmt: skip


def test_tasks_of_a_limit_start_in_order_but_pass_an_impossible_one():
    limits = {"team=a": {"gpu": 2.0}}
    pool = make_pool(cpu=9, named={"gpu": 8})
    run = make_run(9, subjects=A, named={"gpu": 1})
    wants = {1: 3, 2: 2, 3: 1}
    line = [make_task(n, subjects=A, named={"gpu": gpus}) for n, gpus in wants.items()]

    assert list_starts(make_view(pool, make_queue("q", *line), run, limits=limits)) == []
    assert list_starts(make_view(pool, make_queue("q", *line), limits=limits)) == [2]
    assert list_starts(make_view(pool, make_queue("q", line[0], line[2]), limits=limits)) == [3]


def test_a_small_task_leaves_the_last_place_to_the_reserved_task():
    limits = {"team=a": {RUNNING: 2.0}}
    run, large = make_run(9, cpu=3, ends_in=60.0, subjects=A), make_task(1, cpu=3, subjects=A)

    for limit, starts in ((None, []), (90.0, []), (60.0, [2])):
        small = make_task(2, expected=50.0, limit=limit, subjects=A)
        view = make_view(make_queue("q", large, small), run, limits=limits)
        assert list_starts(view) == starts


def test_a_reason_tells_the_use_of_a_limit_and_the_next_end():
    waiting = make_task(1, subjects=A)
    runs = [make_run(n, subjects=A, ends_in=100.0 * n) for n in range(2, 6)]
    view = make_view(make_pool(cpu=9), make_queue("q", waiting), *runs, limits=FOUR)

    why = explain(view, make_state(waiting), 0)

    assert [reason.code for reason in why.reasons] == ["limit"]
    assert why.reasons[0].text == "limit team=a: 4 of 4 running; #2 ends in ~3m"
    assert why.reasons[0].short == why.reasons[0].text
    assert why.expected_in and 170 < why.expected_in[0] < why.expected_in[1] < 230


def test_a_limit_below_what_runs_tells_how_many_must_end():
    waiting = make_task(1, subjects=A)
    runs = [make_run(n, subjects=A, limit=60.0 * n, ends_in=60.0 * n) for n in range(2, 6)]
    lowered = {"team=a": {RUNNING: 2.0}}
    view = make_view(make_pool(cpu=9), make_queue("q", waiting), *runs, limits=lowered)

    why = explain(view, make_state(waiting), 0)

    told = "limit team=a: 4 of 2 running; 3 must end, #4 the last in ~4m"
    assert why.reasons[0].text == told
    (best, *_) = find_suggestions(Facts(view, make_state(waiting), waiting, why))
    assert best.command == ("taskdeck", "limit", "set", "team=a", "--running", "5")
    assert best.gain == "it starts at once"


def test_a_reason_names_the_task_that_goes_first():
    line = [make_task(n, subjects=A) for n in (1, 2, 3)]
    view = make_view(make_pool(cpu=9), make_queue("q", *line), limits={"team=a": {RUNNING: 1.0}})

    why = explain(view, make_state(line[1]), 1)

    assert why.reasons[0].text == "limit team=a: 0 of 1 running; #1 goes first"


def test_pools_with_tasks_of_a_limit_are_forecast_together():
    pools = [make_pool(cpu=9, name=name) for name in ("p", "other", "alone")]
    waiting = make_task(1, "r", subjects=A, expected=10.0)
    queues = [
        make_queue("q"), make_queue("r", waiting, pool="other"), make_queue("s", pool="alone"),
    ]  # fmt: skip
    run = make_run(9, ends_in=50.0, subjects=A)
    view = make_view(*pools, *queues, run, limits={"team=a": {RUNNING: 1.0}})

    parts = split_view(view)

    assert [[pool.name for pool in part.pools] for part in parts] == [["p", "other"], ["alone"]]
    assert 40 < make_forecast(parts[0]).may_start[1][0] < 60


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        name: st.fixed_dictionaries(
            {},
            optional={
                RUNNING: st.integers(0, 3).map(float), "cpu": st.integers(0, 4).map(float),
                "gpu": st.integers(0, 3).map(float),
            },
        )
        for name in ("t=a", "t=b", "t", "u")
    },
)  # fmt: skip
SUBJECTS = st.lists(st.sampled_from(["t=a", "t=b", "u=x"]), unique=True, max_size=2).map(tuple)


@st.composite
def limited_views(draw: st.DrawFn) -> DispatchView:
    """Draw a view whose tasks and runs have tags, and limits of them."""
    view = draw(random_views())
    queues = [
        replace(q, waiting=tuple(replace(t, subjects=draw(SUBJECTS)) for t in q.waiting))
        for q in view.queues
    ]
    active = tuple(replace(run, subjects=draw(SUBJECTS)) for run in view.active)
    return replace(view, queues=tuple(queues), active=active, limits=draw(LIMITS))


@settings(max_examples=12)
@given(limited_views())
def test_a_plan_exceeds_no_limit_and_stops_no_task_without_need(view: DispatchView):
    decision = decide(view)
    held, budget = LimitBudget(view.limits), decision.limits
    pools = {queue.name: queue.pool for queue in view.queues}
    for run in view.active:
        held.occupy(run, pools[run.queue])

    for task in decision.starts:
        uses = list_uses(view.limits, task)
        assert all(can_fit(need, held.get_free(key)) for key, need in uses)
        held.occupy(task, pools[task.queue])
    for queue in view.queues:
        for task in queue.waiting:
            if budget and task not in decision.starts:
                first = [budget.firsts.get(key) for key in budget.find_lacking(task, queue.pool)]
                assert task.subjects or not first
                assert all(one is None or one not in decision.starts for one in first)
    assert make_plan(view) == make_plan(view)


@settings(max_examples=12, deadline=None)
@given(limited_views())
def test_passing_over_tasks_of_one_kind_changes_nothing(view: DispatchView):
    queues = tuple(
        replace(
            q, waiting=tuple(replace(t, number=1000 * n + t.number, uuid=f"{n}{t.uuid}")
                             for t in q.waiting for n in range(3))
        ) for q in view.queues
    )  # fmt: skip
    booking = Booking("r1", "p0", "t=a", {"gpu": 1.0}, -60.0, 50.0)
    view = replace(view, queues=queues, bookings=(booking,))

    found = decide(view).starts, make_forecast(view)

    with MonkeyPatch.context() as patch:
        for module in (plan, forecast):
            patch.setattr(module, "map_kinds", lambda tasks: {t.number: t.number for t in tasks})
        assert (decide(view).starts, make_forecast(view)) == found


@settings(max_examples=12)
@given(limited_views())
def test_tasks_without_limits_start_as_if_the_stopped_ones_were_absent(view: DispatchView):
    decision = decide(view)
    budget = decision.limits
    stopped = {
        task.uuid
        for queue in view.queues
        for task in queue.waiting
        if budget and task not in decision.starts and budget.find_lacking(task, queue.pool)
        and not any(find.task.uuid == task.uuid for room in decision.budgets.values()
                    if (find := room.backfill))
    }  # fmt: skip
    queues = tuple(
        replace(q, waiting=tuple(t for t in q.waiting if t.uuid not in stopped))
        for q in view.queues
    )

    assert decide(replace(view, queues=queues)).starts == decision.starts
