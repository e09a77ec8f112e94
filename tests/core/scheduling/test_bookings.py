"""Bookings in the plan, in reasons, forecasts and suggestions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.scheduling.amounts import EPSILON
from app.core.scheduling.bookings import Booking, list_bounds
from app.core.scheduling.explanations.explain import explain
from app.core.scheduling.explanations.suggestion import Facts
from app.core.scheduling.explanations.suggestions import find_suggestions
from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.limits import get_total, list_uses
from app.core.scheduling.plan import ActiveRun, DispatchView, QueuedTask, make_plan
from tests.core.scheduling.builders import make_pool, make_queue, make_run, make_task, make_view
from tests.core.scheduling.test_limits import limited_views, make_state

A, B = ("team=a",), ("team=b",)
HOUR = 3600.0
POOL = make_pool(cpu=100, named={"gpu": 8})


def book(
    gpus: float, begins_in: float, ends_in: float, tag: str = "team=a", name: str = "r1",
    pool: str = "p",
) -> Booking:  # fmt: skip
    return Booking(name, pool, tag, {"gpu": gpus}, begins_in, ends_in)


def ask(number: int, gpus: int, limit: float | None = None, subjects: tuple[str, ...] = ()):
    return make_task(number, named={"gpu": gpus}, limit=limit, expected=limit, subjects=subjects)


def list_starts(*tasks: QueuedTask, runs: Sequence[ActiveRun] = (), bookings: Sequence[Booking]):
    view = make_view(POOL, make_queue("q", *tasks), *runs, bookings=bookings)
    return [task.number for task in make_plan(view).starts]


def test_only_tasks_of_the_tag_get_what_is_reserved_now():
    now = [book(6, -HOUR, HOUR)]

    assert list_starts(ask(1, 2), ask(2, 1), ask(3, 6, None, A), bookings=now) == [1, 3]
    assert list_starts(ask(1, 8, None, A), bookings=now) == [1]
    assert list_starts(ask(1, 3), bookings=[book(6, -HOUR, 0.0)]) == [1]


def test_a_task_that_may_run_into_a_booking_leaves_it_free():
    soon = [book(6, HOUR, 9 * HOUR)]

    assert list_starts(ask(1, 4, 2 * HOUR), ask(2, 4, HOUR), bookings=soon) == [2]
    assert list_starts(ask(1, 4), ask(2, 4, None, A), bookings=soon) == [2]
    held = [make_run(9, named={"gpu": 2})]
    assert list_starts(ask(1, 1), ask(2, 1, HOUR), runs=held, bookings=soon) == [2]
    ending = [make_run(9, named={"gpu": 2}, limit=HOUR, ends_in=HOUR)]
    assert list_starts(ask(1, 1), runs=ending, bookings=soon) == [1]


def test_overlapping_bookings_leave_less_to_tasks_without_their_tags():
    both = [book(3, HOUR, 3 * HOUR), book(3, 2 * HOUR, 4 * HOUR, "team=b", "r2")]

    assert list_starts(ask(1, 3), ask(2, 2), bookings=both) == [2]
    assert list_starts(ask(1, 3, 2 * HOUR), bookings=both) == [1]
    assert list_starts(ask(1, 6, None, A), ask(2, 5, None, A), bookings=both) == [2]
    apart = [both[0], replace(both[1], begins_in=3 * HOUR)]
    assert list_starts(ask(1, 5), bookings=apart) == [1]


def test_a_small_task_takes_nothing_that_the_first_stopped_one_needs():
    soon = [book(4, HOUR, 9 * HOUR)]
    run = make_run(9, named={"gpu": 1})

    assert list_starts(ask(1, 4), ask(2, 1), ask(3, 3, HOUR), runs=[run], bookings=soon) == [3]


def test_a_booking_of_a_shared_resource_binds_all_pools():
    pools = make_pool(name="p"), make_pool(name="other")
    queue = make_queue("q", make_task(1, named={"tape": 2}), pool="other")
    booking = Booking("r1", "p", "team=a", {"tape": 1}, 0.0, HOUR)

    view = make_view(*pools, make_queue("x"), queue, shared={"tape": 2}, bookings=[booking])

    assert make_plan(view).starts == ()


def explain_first(task: QueuedTask, booking: Booking):
    view = make_view(POOL, make_queue("q", task), bookings=[booking], now=0.0)
    return view, explain(view, make_state(task), 0)


def test_a_reason_tells_the_booking_and_the_timeout_that_would_help():
    task = ask(1, 4)
    view, why = explain_first(task, book(6, 3 * HOUR, 9 * HOUR))

    assert [reason.code for reason in why.reasons] == ["booked"]
    text = why.reasons[0].text
    assert text.startswith("6 gpu are reserved for team=a from ")
    assert text.endswith("; a timeout below 3h would let it start now")
    assert why.expected_in == (9 * HOUR, 9 * HOUR)
    (best, *_) = find_suggestions(Facts(view, make_state(task), task, why))
    assert (best.args["fields"], best.worth) == ({"timeout": 9720.0}, 0)


def test_no_timeout_is_named_that_could_not_help():
    """A booking begins too soon, or past runs take longer."""
    slow = replace(ask(1, 4), expected=2.5 * HOUR, likely=(2.5 * HOUR,) * 9)
    for task, booking in ((ask(1, 4), book(6, 18, HOUR)), (slow, book(6, 3 * HOUR, 9 * HOUR))):
        view, why = explain_first(task, booking)

        assert "timeout" not in why.reasons[0].text
        found = find_suggestions(Facts(view, make_state(task), task, why))
        assert "timeout" not in [one.name for one in found]


def test_a_long_timeout_is_suggested_in_days_and_hours():
    task = ask(1, 4)
    view, why = explain_first(task, book(6, 159.9 * HOUR, 999 * HOUR))

    (best, *_) = find_suggestions(Facts(view, make_state(task), task, why))

    assert best.command == ("taskdeck", "set", "1", "--timeout", "5d23h")


def test_a_reason_tells_when_a_current_booking_ends():
    _, why = explain_first(ask(1, 4), book(6, -HOUR, HOUR))

    assert " reserved for team=a until " in why.reasons[0].text
    assert "timeout" not in why.reasons[0].text


def test_a_forecast_starts_tasks_that_end_before_a_booking():
    line = [make_task(n, named={"gpu": 8}, expected=HOUR, limit=HOUR) for n in range(1, 4)]
    soon = [book(8, 2 * HOUR, 5 * HOUR)]

    found = make_forecast(make_view(POOL, make_queue("q", *line), bookings=soon)).may_start

    assert found[1] == (0.0, 0.0) and found[2][1] <= HOUR and found[3][0] == 5 * HOUR


BOOKINGS = st.lists(
    st.builds(
        Booking,
        st.uuids().map(str),
        st.sampled_from(["p0", "p1"]),
        st.sampled_from(["t=a", "t=b"]),
        st.dictionaries(st.sampled_from(["cpu", "gpu", "licence"]), st.integers(1, 2), min_size=1),
        st.integers(-20, 60).map(float),
        st.integers(61, 120).map(float),
    ),
    max_size=3,
)


@st.composite
def booked_views(draw: st.DrawFn) -> DispatchView:
    view = draw(limited_views())
    limits = st.none() | st.integers(1, 150).map(float)
    queues = tuple(
        replace(
            q,
            waiting=tuple(
                replace(t, limit=draw(limits), subjects=t.subjects[:1]) for t in q.waiting
            ),
        )
        for q in view.queues
    )
    active = tuple(
        replace(run, limit=draw(limits), subjects=run.subjects[:1]) for run in view.active
    )
    return replace(view, queues=queues, active=active, bookings=tuple(draw(BOOKINGS)))


def find_most(view: DispatchView, runs: Sequence[ActiveRun | QueuedTask], at: float):
    """Return {(pool, resource): used or reserved} at a time, if each run takes all its time."""
    pool_of = {queue.name: queue.pool for queue in view.queues}
    alive = [run for run in runs if (inf if run.limit is None else run.limit) > at]
    booked = [one for one in view.bookings if one.begins_in <= at < one.ends_in]
    found: dict[tuple[str, str], float] = {}
    for pool in view.pools:
        for name in pool.totals:
            kept = {b.tag: 0.0 for b in booked}
            for one in booked:
                kept[one.tag] += one.needs.get(name, 0.0) if one.pool == pool.name else 0.0
            used = dict.fromkeys([*kept, ""], 0.0)
            for run in alive:
                if pool_of[run.queue] == pool.name:
                    own = next((tag for tag in kept if tag in run.subjects), "")
                    used[own] += run.needs.get(name, 0.0)
            found[pool.name, name] = used[""] + sum(max(kept[tag], used[tag]) for tag in kept)
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(booked_views())
def test_started_tasks_leave_free_what_is_reserved(view: DispatchView):
    starts = make_plan(view).starts
    moments = {0.0, *(one.begins_in for one in view.bookings if one.begins_in > 0)}
    totals = {pool.name: pool.totals for pool in view.pools}

    for at in moments:
        before, after = (
            find_most(view, held, at) for held in (view.active, [*view.active, *starts])
        )
        for (pool, name), most in after.items():
            assert most <= max(totals[pool][name], before[pool, name]) + EPSILON
    assert make_plan(view).starts == starts


@settings(max_examples=6)
@given(booked_views())
def test_a_drain_starts_every_task_that_can_ever_start(view: DispatchView):
    view = replace(
        view,
        queues=tuple(
            replace(
                q, status="active", capacity=max(1, q.capacity),
                waiting=tuple(replace(t, limit=t.limit or 50.0, expected=None) for t in q.waiting),
            )
            for q in view.queues
        ),
        pools=tuple(replace(pool, status="active") for pool in view.pools),
        active=tuple(replace(run, limit=run.limit or 50.0, ends_in=run.limit or 50.0)
                     for run in view.active),
    )  # fmt: skip

    started = make_forecast(view).may_start

    for queue in view.queues:
        totals = next(pool.totals for pool in view.pools if pool.name == queue.pool)
        for task in queue.waiting:
            fits = all(
                need <= totals.get(name, view.shared.get(name, 0.0)) + EPSILON
                and need <= view.shared.get(name, inf)
                for name, need in task.needs.items()
                if need
            ) and not any(
                need > get_total(view.limits, key) + EPSILON
                for key, need in list_uses(view.limits, task)
            )
            assert fits == (task.number in started)


def test_a_week_of_bookings_costs_as_many_bounds():
    weekly = [book(1, n * HOUR, n * HOUR + 1800.0, name=f"r{n}") for n in range(100)]

    assert len(list_bounds(weekly, [POOL], {})) == 100
