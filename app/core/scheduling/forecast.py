"""Forecast of run durations from history, and of start times from the dispatch plan."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    QueuedTask,
    QueueView,
    get_known_end,
    make_plan,
)

# A median of fewer runs says little.
MIN_RUNS = 3

# Tolerance of run durations: a range assumes that each run ends a fifth earlier or later. A run of
# which only the limit is known may end at any time before the limit.
EARLY_FACTOR, LATE_FACTOR = 0.8, 1.2

TimeRange = tuple[float, float]
"""Earliest and latest time, in seconds from now."""

# Limits of the forecast, in decisions and in tasks per queue. No screen shows more.
MAX_DECISIONS = 128
MAX_QUEUE_DEPTH = 64


@dataclass(frozen=True, slots=True)
class DurationStats:
    """Duration of successful runs in seconds, and their number."""

    median: float
    p95: float
    n: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected starts and ends by task number, in seconds from now, with their ranges.

    `ends` and `may_end` include the active runs.
    """

    starts: Mapping[int, float]
    ends: Mapping[int, float]
    may_start: Mapping[int, TimeRange]
    may_end: Mapping[int, TimeRange]


def compute_duration_stats(run_seconds: Sequence[float]) -> DurationStats | None:
    """Return median and 95th percentile (nearest rank), or None below 3 runs."""
    n, runs = len(run_seconds), sorted(run_seconds)
    if n < MIN_RUNS:
        return None
    return DurationStats((runs[(n - 1) // 2] + runs[n // 2]) / 2, runs[ceil(0.95 * n) - 1], n)


def estimate_duration(past: DurationStats | None, limit: float | None) -> float | None:
    """Return the run duration to plan with, in seconds; None is unbounded.

    The timeout applies until history is available. The 95th percentile is used instead of the
    median, so that a backfilled task rarely delays a reservation.
    """
    return _min_known(past.p95 if past else None, limit)


def estimate_remaining(
    elapsed: float, past: DurationStats | None, limit: float | None
) -> float | None:
    """Return the seconds until the expected end of a run; None is unknown.

    The value is 0 or negative for an overdue run. The expected end is the median, then the 95th
    percentile once the median has passed, and never beyond the limit.
    """
    aim = None if past is None else past.median if elapsed < past.median else past.p95
    end = _min_known(aim, limit)
    return None if end is None else end - elapsed


def make_forecast(
    view: DispatchView, numbers: Collection[int], decisions: int = MAX_DECISIONS
) -> Forecast:
    """Simulate the plan until all wanted tasks start, or for `decisions` rounds.

    Starts that depend on the end of an unbounded or overdue run are left out.
    """
    starts: dict[int, float] = {}
    due = {run.number: get_known_end(run.ends_in) for run in view.active}
    may_start: dict[int, TimeRange] = {}
    may_end = {run.number: _estimate_range(due[run.number], run) for run in view.active}
    runs: list[ActiveRun] = list(view.active)
    now, when = 0.0, (0.0, 0.0)
    for _ in range(decisions):
        newly_started = make_plan(_project_view(view, now, runs, due, starts)).starts
        for task in newly_started:
            starts[task.number] = now
            due[task.number] = inf if task.expected is None else now + task.expected
            may_start[task.number] = when
            soonest, latest = _estimate_range(inf if task.expected is None else task.expected, task)
            may_end[task.number] = when[0] + soonest, when[1] + latest
        runs = runs + [_make_run(task) for task in newly_started]
        if all(number in starts for number in numbers):
            break
        now = min((due[run.number] for run in runs), default=inf)
        if now == inf:
            break
        ended = [may_end[run.number] for run in runs if due[run.number] <= now]
        when = min(soonest for soonest, _ in ended), max(when[1], *(latest for _, latest in ended))
        runs = [run for run in runs if due[run.number] > now]
    ends = {number: end for number, end in due.items() if end < inf}
    return Forecast(starts, ends, may_start, {number: may_end[number] for number in ends})


def _estimate_range(seconds: float, task: ActiveRun | QueuedTask) -> TimeRange:
    """Return the possible range of an expected duration."""
    if not task.has_past_runs:
        return 0.0, seconds
    return seconds * EARLY_FACTOR, min(
        seconds * LATE_FACTOR, inf if task.limit is None else task.limit
    )


def _project_view(
    view: DispatchView,
    now: float,
    runs: Iterable[ActiveRun],
    due: Mapping[int, float],
    started_numbers: Collection[int],
) -> DispatchView:
    """Return the view at a later time: these active runs, no started tasks in queues."""
    active = tuple(replace(run, ends_in=due[run.number] - now) for run in runs)
    return replace(
        view,
        queues=tuple(_remove_started(queue, started_numbers) for queue in view.queues),
        active=active,
    )


def _remove_started(queue: QueueView, started_numbers: Collection[int]) -> QueueView:
    return replace(
        queue,
        waiting=tuple(
            task for task in queue.waiting[:MAX_QUEUE_DEPTH] if task.number not in started_numbers
        ),
    )


def _make_run(task: QueuedTask) -> ActiveRun:
    return ActiveRun(task.number, task.name, task.queue, task.cpu, task.memory, None)


def _min_known(*known: float | None) -> float | None:
    return min((number for number in known if number is not None), default=None)
