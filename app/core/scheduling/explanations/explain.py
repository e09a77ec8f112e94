"""Waiting reasons and expected start of a task, from the same facts as the dispatch plan."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.scheduling.explanations.reasons import find_reasons
from app.core.scheduling.explanations.waiting_task import (
    Explanation,
    Forecaster,
    ParentTask,
    PlanContext,
    TaskState,
    WaitingTask,
    WaitReason,
)
from app.core.scheduling.forecasts.forecast import TimeRange
from app.core.scheduling.plan import ActiveRun, DispatchView, decide, get_known_end
from db.states import WAITING

__all__ = [
    "ParentTask",
    "WaitReason",
    "TaskState",
    "Explanation",
    "build_waiting_task",
    "explain",
    "explain_all",
    "build_context",
]


def explain(
    view: DispatchView,
    subject: TaskState,
    position: int | None,
    forecaster: Forecaster | None = None,
) -> Explanation:
    """Return why the task waits and when it may start.

    `position` is the place in the queue, from 0, and may be beyond the view. A task that does not
    wait has no reasons.
    """
    return _explain_task(build_context(view, [subject], forecaster), subject, position)


def explain_all(
    view: DispatchView,
    subjects: Sequence[tuple[TaskState, int | None]],
    forecaster: Forecaster | None = None,
) -> tuple[Explanation, ...]:
    """Explain several tasks with one plan and one forecast per pool."""
    context = build_context(view, [subject for subject, _ in subjects], forecaster)
    return tuple(_explain_task(context, subject, position) for subject, position in subjects)


def build_context(
    view: DispatchView, subjects: Sequence[TaskState], forecaster: Forecaster | None = None
) -> PlanContext:
    """Compute the plan and its context for these tasks."""
    decision = decide(view)
    queues = {queue.name: queue for queue in view.queues}
    holders: dict[str, list[ActiveRun]] = {pool.name: [] for pool in view.pools}
    for run in sorted(view.active, key=lambda run: get_known_end(run.ends_in)):
        holders[queues[run.queue].pool].append(run)
    heads = [budget.backfill.task.number for budget in decision.budgets.values() if budget.backfill]
    numbers = frozenset(
        n for s in subjects for n in (s.number, *(parent.number for parent in s.parents))
    ).union(heads)
    starts = {task.uuid: task for task in decision.starts}
    return PlanContext(
        view,
        numbers,
        queues,
        decision.budgets,
        decision.slots,
        starts,
        holders,
        decision.limits,
        forecaster,
    )


def build_waiting_task(
    context: PlanContext, subject: TaskState, position: int | None
) -> WaitingTask:
    """Return a task with its queue and pool; find its position if it is None."""
    queue = context.queues[subject.queue]
    waiting = WaitingTask(
        context, subject, position, queue, context.budgets[queue.pool], context.holders[queue.pool]
    )
    return (
        replace(waiting, position=waiting.place)
        if position is None and subject.status == "queued"
        else waiting
    )


def _explain_task(context: PlanContext, subject: TaskState, position: int | None) -> Explanation:
    if subject.status not in WAITING:
        return Explanation((), None)
    waiting = build_waiting_task(context, subject, position)
    return Explanation(find_reasons(waiting), _estimate_start(waiting), _count_before(waiting))


def _count_before(waiting: WaitingTask) -> int | None:
    """Return the number of tasks before one that is too far back for a forecast, or None."""
    is_far = waiting.subject.status == "queued" and waiting.index is None and waiting.position
    may_start = waiting.context.view.halted is None and waiting.is_open
    if is_far and may_start and waiting.budget.can_ever_fit(waiting.subject.needs):
        return waiting.position
    return None


def _estimate_start(waiting: WaitingTask) -> tuple[float, float] | None:
    """Return the range in which the task may start, or may join its queue."""
    subject = waiting.subject
    if (
        waiting.context.view.halted is not None
        or subject.status == "held"
        or subject.held_by
        or not waiting.is_open
        or (subject.status == "queued" and waiting.index is None)  # no simulation has the task
    ):
        return None
    start = waiting.context.get_forecast(waiting.queue.pool).may_start.get(subject.number)
    if start or subject.status == "queued":
        return start
    known = [_find_end_range(waiting.context, parent.number) for parent in subject.unmet]
    exact = max(0.0, subject.not_before_in or 0.0, subject.retry_in or 0.0)
    ranges = [(exact, exact), *filter(None, known)]
    if len(ranges) <= len(known):
        return None
    return max(first for first, _ in ranges), max(last for _, last in ranges)


def _find_end_range(context: PlanContext, number: int) -> TimeRange | None:
    """Return the range in which a task may end, or None if it is unknown."""
    return next(
        (
            found
            for pool in context.holders
            if (found := context.get_forecast(pool).may_end.get(number))
        ),
        None,
    )
