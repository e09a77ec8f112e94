"""Builders of dispatch views: with defaults for irrelevant values, and random ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from app.core.scheduling.amounts import EPSILON
from app.core.scheduling.bookings import Booking
from app.core.scheduling.forecasts.run_times import SAMPLES, limit_run_times
from app.core.scheduling.limits import Limits
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    LaterTask,
    PoolView,
    QueuedTask,
    QueueView,
    get_sort_key,
)
from app.core.scheduling.resources import make_amounts

SPREAD = tuple(0.9 + 0.025 * k for k in range(SAMPLES))
"""Likely run times of tests, as shares of the expected one."""
TENTHS = st.integers(0, 30).map(lambda n: n / 10)
SECONDS = st.none() | st.integers(1, 100).map(float)
NAMED = st.fixed_dictionaries({}, optional={"gpu": st.integers(0, 2), "licence": st.integers(0, 2)})
ENDS = st.none() | st.integers(-20, 100).map(float)


def spread(seconds: float, limit: float | None = None) -> tuple[float, ...]:
    """Return likely run times around an expected one."""
    return limit_run_times(tuple(seconds * share for share in SPREAD), limit)


def make_task(number: int, queue: str = "q", **also: Any) -> QueuedTask:
    """Return a waiting task of one core, of unknown duration by default.

    Past runs tell the expected duration, unless `has_past_runs` is false.
    """
    facts: dict[str, Any] = {"priority": 0, "front": 0, "expected": None} | also
    cpu, memory = facts.pop("cpu", 1.0), facts.pop("memory", 0.0)
    facts["needs"] = make_amounts(cpu, memory, facts.pop("named", None))
    if facts.pop("has_past_runs", True) and facts["expected"] is not None:
        facts.setdefault("likely", spread(facts["expected"], facts.get("limit")))
    return QueuedTask(uuid=f"u{number}", number=number, name=f"job-{number}", queue=queue, **facts)


def make_run(
    number: int,
    queue: str = "q",
    cpu: float = 1.0,
    memory: float = 0.0,
    ends_in: float | None = None,
    **also: Any,
) -> ActiveRun:
    """Return an active run of one core without a known end.

    Past runs tell the end, unless `has_past_runs` is false.
    """
    if also.pop("has_past_runs", True) and ends_in is not None and ends_in > 0:
        also.setdefault("likely", spread(ends_in, also.get("limit")))
    needs = make_amounts(cpu, memory, also.pop("named", None))
    return ActiveRun(number, f"job-{number}", queue, needs, ends_in, **also)


def make_queue(name: str = "q", *waiting: QueuedTask, **also: Any) -> QueueView:
    """Return an open queue of pool `p` with capacity 100."""
    facts: dict[str, Any] = {"pool": "p", "capacity": 100, "priority": 0, "status": "active"} | also
    return QueueView(
        name=name,
        waiting=waiting,
        waiting_total=facts.pop("waiting_total", len(waiting)),
        paused_by=facts.pop("paused_by", None),
        paused_since=facts.pop("paused_since", None),
        **facts,
    )


def make_pool(
    cpu: float = 4.0,
    memory: float = 1024.0,
    name: str = "p",
    status: str = "active",
    named: Mapping[str, int] | None = None,
) -> PoolView:
    """Return an open pool `p` of 4 cores and 1 GiB."""
    return PoolView(name, make_amounts(cpu, memory, named), status)


def make_view(
    *parts: PoolView | QueueView | ActiveRun,
    halted: str | None = None,
    now: float | None = None,
    later: tuple[LaterTask, ...] = (),
    shared: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    bookings: Sequence[Booking] = (),
) -> DispatchView:
    """Return a view of the parts, with a default pool if there is none."""
    return DispatchView(
        pools=tuple(part for part in parts if isinstance(part, PoolView)) or (make_pool(),),
        queues=tuple(part for part in parts if isinstance(part, QueueView)),
        active=tuple(part for part in parts if isinstance(part, ActiveRun)),
        halted=halted,
        now=now,
        later=later,
        shared=shared or {},
        limits=limits or {},
        bookings=tuple(bookings),
    )


@st.composite
def random_queues(draw: st.DrawFn, name: str, first: int) -> QueueView:
    """Draw a queue of one of two pools, open or not, with up to eight tasks in order."""
    sizes = draw(
        st.lists(
            st.tuples(TENTHS, TENTHS, SECONDS, st.integers(0, 2), st.integers(0, 1), NAMED),
            max_size=8,
        )
    )
    tasks = [
        make_task(
            first + i,
            name,
            cpu=cpu,
            memory=memory,
            expected=expected,
            priority=priority,
            front=front,
            named=named,
        )
        for i, (cpu, memory, expected, priority, front, named) in enumerate(sizes)
    ]
    return make_queue(
        name,
        *sorted(tasks, key=get_sort_key),
        pool=draw(st.sampled_from(("p0", "p1"))),
        capacity=draw(st.integers(0, 6)),
        priority=draw(st.integers(0, 1)),
        status=draw(st.sampled_from(("active", "active", "active", "paused", "draining"))),
    )


@st.composite
def random_views(draw: st.DrawFn) -> DispatchView:
    """Draw two pools, up to three queues, and active runs within every limit.

    Both pools have GPUs and share a licence; one may have less of it.
    """
    pools = [
        make_pool(
            draw(st.integers(1, 4)),
            draw(st.integers(1, 4)),
            name,
            named={"gpu": draw(st.integers(2, 4))} | ({"licence": 2} if name == "p1" else {}),
        )
        for name in ("p0", "p1")
    ]
    pools[1] = replace(pools[1], status=draw(st.sampled_from(("active", "active", "draining"))))
    lines = [draw(random_queues(f"q{i}", 100 * (i + 1))) for i in range(draw(st.integers(1, 3)))]
    view = make_view(*pools, *lines, shared={"licence": draw(st.integers(2, 3))})
    sizes = st.tuples(st.sampled_from([line.name for line in lines]), TENTHS, TENTHS, ENDS, NAMED)
    for number, (queue, cpu, memory, ends_in, named) in enumerate(
        draw(st.lists(sizes, max_size=8))
    ):
        run = make_run(number, queue, cpu, memory, ends_in, named=named)
        more = replace(view, active=(*view.active, run))
        view = more if is_within_limits(more, ()) else view
    return view


def is_within_limits(view: DispatchView, started: Sequence[QueuedTask]) -> bool:
    """Return true if no queue and no pool exceeds its limit."""
    held = [*view.active, *started]
    pool_of = {queue.name: queue.pool for queue in view.queues}
    return (
        all(sum(run.queue == queue.name for run in held) <= queue.capacity for queue in view.queues)
        and all(
            sum(run.needs.get(name, 0) for run in held if pool_of[run.queue] == pool.name)
            <= total + EPSILON
            for pool in view.pools
            for name, total in pool.totals.items()
        )
        and all(
            sum(run.needs.get(name, 0) for run in held) <= total
            for name, total in view.shared.items()
        )
    )


def is_open(view: DispatchView, task: QueuedTask) -> bool:
    """Return true if the task's queue and pool start tasks."""
    queue = next(queue for queue in view.queues if queue.name == task.queue)
    return (
        queue.status == "active"
        and next(p.status for p in view.pools if p.name == queue.pool) == "active"
    )
