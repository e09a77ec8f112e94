"""Forecast of start and end times: the dispatch plan, simulated with run times of past runs."""

from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from random import Random
from typing import NamedTuple
from zlib import crc32

from app.core.scheduling.amounts import EPSILON
from app.core.scheduling.bookings import find_next_end
from app.core.scheduling.forecasts.leeway import NO_LEEWAY, Leeway, LeewayByPool
from app.core.scheduling.forecasts.run_times import SAMPLES
from app.core.scheduling.limits import LimitUses
from app.core.scheduling.open_times import find_opening, is_inside
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    PoolBudget,
    QueuedTask,
    get_known_end,
    get_line_key,
    is_open,
    leave_out_outer,
    make_budgets,
    make_limit_budget,
    map_kinds,
    order_tasks,
    start_tasks,
)

_SOON = 0.001

TimeRange = tuple[float, float]
"""Earliest and latest time, in seconds from now."""

MAX_QUEUE_DEPTH = 100
"""Tasks of each queue that are simulated. No list shows more by default."""
MAX_EVENTS = 500
"""Ends and arrivals of one simulation."""
OVERTAKING = 1.6
"""Factor on the latest start of tasks behind a reservation, once cores are free beside it.

Tasks that are submitted later may be backfilled and delay these tasks. The factor is for estimated
run times: neither for timeouts nor for the wait until a time of day, such as an opening, the end of
a booking, or the start time of a task. The leeway of a pool multiplies the factor. With both, over
80 % of the starts of recorded traces are within their ranges (`python -m tests.bench.forecasts`).
"""
_NO_LEEWAY: LeewayByPool = {}


@dataclass(frozen=True, slots=True)
class Forecast:
    """Ranges of expected starts and ends by task number; the ends include those of active runs.

    A range begins at 0 if only a timeout limits it. Half of the simulations end before the probable
    end, the others after it. `bare_start` and the probable end are without leeway.
    """

    may_start: Mapping[int, TimeRange]
    may_end: Mapping[int, TimeRange]
    probable_end: Mapping[int, float]
    bare_start: Mapping[int, TimeRange]

    def shift(self, seconds: float) -> "Forecast":
        """Return the forecast as seen some seconds later.

        A begin above 0 stays above 0, since 0 means that only a timeout limits the range.
        """

        def move(at: float) -> float:
            return max(min(at, _SOON), at - seconds)

        return Forecast(
            {n: (move(first), move(last)) for n, (first, last) in self.may_start.items()},
            {n: (move(first), move(last)) for n, (first, last) in self.may_end.items()},
            {n: at - seconds for n, at in self.probable_end.items()},
            {n: (move(first), move(last)) for n, (first, last) in self.bare_start.items()},
        )


class Horizon(NamedTuple):
    """Limits of a simulation: tasks of each queue, and ends and arrivals."""

    depth: int = MAX_QUEUE_DEPTH
    events: int = MAX_EVENTS


_USUAL = Horizon()


class RunTimes(NamedTuple):
    """Start and end of a run in one simulation, in seconds from now; an unknown end is inf.

    `has_bound_start` and `has_bound_end` tell that a timeout decides: at the latest then.
    """

    start: float
    end: float
    has_bound_start: bool
    has_bound_end: bool


def simulate_runs(view: DispatchView, horizon: Horizon = _USUAL) -> list[dict[int, RunTimes]]:
    """Return the runs of each simulation of a view by task number, active ones too."""
    view = leave_out_outer(view)
    return [_RecordedSimulation(view, index, horizon).runs for index in range(SAMPLES)]


def make_forecast(
    view: DispatchView, wanted: Collection[int] | None = None, leeway: LeewayByPool = _NO_LEEWAY
) -> Forecast:
    """Simulate the plan of a view until all wanted tasks have started; by default all tasks.

    Each simulation draws one of the likely times of each run. Starts that depend on a
    run of unknown end are left out, and so are tasks of outer pools.
    """
    view = leave_out_outer(view)
    done = [_Simulation(view, index, wanted, leeway=leeway) for index in range(SAMPLES)]
    may_end = _merge_ranges([one.ends for one in done])
    probable = {
        number: sorted(one.probable_ends[number] for one in done)[SAMPLES // 2]
        for number in may_end
    }
    bare = _merge_ranges([one.bare_starts for one in done])
    may_start = _merge_ranges([one.starts for one in done]) if leeway else bare
    return Forecast(may_start, may_end, probable, bare)


def _merge_ranges(found: Sequence[Mapping[int, TimeRange]]) -> dict[int, TimeRange]:
    """Return the range of the times that every simulation has found."""
    numbers = set(found[0]).intersection(*found[1:])
    return {
        number: (min(one[number][0] for one in found), max(one[number][1] for one in found))
        for number in numbers
    }


@lru_cache(maxsize=1024)
def _shuffle(seed: int) -> tuple[int, ...]:
    """Return the order in which a task takes its likely times in the simulations.

    Each time is taken once. The order depends on nothing but the seed.
    """
    return tuple(Random(seed).sample(range(SAMPLES), SAMPLES))


def _choose_seed(task: ActiveRun | QueuedTask) -> int:
    """Return the same seed for half of the tasks of a name: a batch may be slow as a whole."""
    return (crc32(task.name.encode()) if task.number % 2 else task.number) % 1024


class _Run:
    """A simulated run: its end, and the ends that the plan counts on, one after the other."""

    __slots__ = ("task", "ends_at", "planned", "is_bounded", "limit_at")

    def __init__(self, task: ActiveRun | QueuedTask, now: float, index: int) -> None:
        """Start a run of a queued task at `now`, or continue an active run at 0."""
        limit = inf if task.limit is None else now + task.limit
        self.task, self.limit_at = task, limit
        self.is_bounded = not task.likely
        """True if only the limit of the run is known."""
        if task.likely:
            self.ends_at = now + task.likely[_shuffle(_choose_seed(task))[index]]
            middle = task.likely[SAMPLES // 2]
            if isinstance(task, ActiveRun):
                middle = get_known_end(task.ends_in)
            self.planned = (now + middle, now + task.likely[-1], limit)
        else:
            self.ends_at = limit
            self.planned = (limit,)

    def get_latest_end(self, now: float) -> float:
        """Return the seconds until the timeout, inf without one."""
        left = self.limit_at - now
        return left if left > 0 else inf

    def get_planned_end(self, now: float) -> float:
        """Return the seconds until the planned end, inf if unknown or overdue."""
        return next((end - now for end in self.planned if end > now), inf)


class _Simulation:
    """One possible future of pools that share resources, usually of one pool."""

    def __init__(
        self,
        view: DispatchView,
        index: int,
        wanted: Collection[int] | None,
        horizon: Horizon = _USUAL,
        leeway: LeewayByPool = _NO_LEEWAY,
    ) -> None:
        self._index = index
        self._leeway = {q.name: leeway[q.pool] for q in view.queues if q.pool in leeway}
        self._max_events = horizon.events
        self._view = view
        pools = {pool.name: pool for pool in view.pools}
        self._priorities = {q.name: q.priority for q in view.queues if is_open(q, pools[q.pool])}
        self._line = _cut_queues(order_tasks(view, even_later=True), horizon.depth)
        self._later = [
            (later, dict.fromkeys(later.parents, False) | dict.fromkeys(later.leaders, True))
            for later in view.later
            if later.task.queue in self._priorities
        ]
        """Later tasks and the parents that they wait for; True if a parent need only start."""
        self._windows = {q.name: q.windows for q in view.queues if q.windows is not None}
        self._due: dict[int, float] = {}
        """Seconds before which a scheduled or retrying task cannot start."""
        self._kinds = map_kinds([*self._line, *(later.task for later in view.later)])
        self._uses: dict[int, LimitUses] = {}
        self._runs = [_Run(run, 0.0, index) for run in view.active]
        self._now = self._since = 0.0
        """Now, and the last time of day so far that tasks may have waited for."""
        self._depends_on_limit = self._is_contended = False
        self._first = -1
        self.starts: dict[int, TimeRange] = {}
        self.bare_starts: dict[int, TimeRange] = {}
        """Starts without leeway."""
        self.ends: dict[int, TimeRange] = {}
        self.probable_ends: dict[int, float] = {}
        for run in self._runs:
            self._record_end(run, (0.0, 0.0), (0.0, 0.0))
        self._advance(None if wanted is None else set(wanted))

    def _advance(self, wanted: set[int] | None) -> None:
        for _ in range(self._max_events):
            if self._later:
                self._admit_later()
            if self._line:
                self._start_tasks()
            if wanted is not None and wanted <= self.starts.keys():
                return
            if not self._line and not self._later:
                return
            end = min((run.ends_at for run in self._runs), default=inf)
            sure = self._find_sure_time()
            self._now = max(self._now, min(end, sure))
            if self._now == inf:
                return
            if sure <= self._now:
                self._since = self._now
            self._end_runs()

    def _find_sure_time(self) -> float:
        """Return the next time of day at which a task may start, or inf."""
        return min(
            min((one.due_in for one, parents in self._later if not parents), default=inf),
            self._find_opening() if self._windows else inf,
            find_next_end(self._view.bookings, self._now),
        )

    def _find_opening(self) -> float:
        """Return when the next queue with waiting tasks opens, or inf."""
        queues = {task.queue for task in self._line} & self._windows.keys()
        found = (find_opening(self._windows[name], self._now) for name in queues)
        return min((at for at in found if at is not None), default=inf)

    def _is_open_now(self, task: QueuedTask) -> bool:
        return is_inside(self._windows.get(task.queue), self._now)

    def _admit_later(self) -> None:
        """Add the tasks that now join their queues."""
        ready = [
            later for later, parents in self._later if not parents and later.due_in <= self._now
        ]
        for later in ready:
            insort(self._line, later.task, key=self._get_line_key)
            self._due[later.task.number] = later.due_in
        if ready:
            self._later = [pair for pair in self._later if pair[0] not in ready]

    def _get_line_key(self, task: QueuedTask) -> tuple[bool, int, int, float, int]:
        return get_line_key(task, self._priorities[task.queue])

    def _start_tasks(self) -> None:
        slots = {queue.name: queue.capacity for queue in self._view.queues}
        budgets = make_budgets(self._view.pools, self._view.shared, self._view.withheld)
        budget_of = {queue.name: budgets[queue.pool] for queue in self._view.queues}
        for run in self._runs:
            slots[run.task.queue] -= 1
            budget_of[run.task.queue].occupy(run.task, run.get_planned_end(self._now))
        budget = make_limit_budget(self._view, self._now, self._uses)
        if budget:
            for run in self._runs:
                pool = budget_of[run.task.queue].pool.name
                ends_in, latest = (run.get_planned_end(self._now), run.get_latest_end(self._now))
                budget.occupy(run.task, pool, ends_in, latest)
        line = [t for t in self._line if self._is_open_now(t)] if self._windows else self._line
        started = start_tasks(line, budget_of, slots, budget, self._kinds)
        if not self._is_contended:
            self._note_contention(budgets.values())
        if not started:
            return
        for task in started:
            run = _Run(task, self._now, self._index)
            self._runs.append(run)
            bare = self._find_start(task, NO_LEEWAY)
            leeway = self._leeway.get(task.queue)
            when = self._find_start(task, leeway) if leeway else bare
            self.bare_starts[task.number], self.starts[task.number] = bare, when
            self._record_end(run, when, bare)
        self._line = [task for task in self._line if task.number not in self.starts]
        for _, parents in self._later:
            for task in started:
                if parents.get(task.number):
                    del parents[task.number]

    def _find_start(self, task: QueuedTask, leeway: Leeway) -> TimeRange:
        """Return the range for a task that starts now in this simulation.

        A timeout is sure as long as no later task can go first.
        """
        due = self._find_earliest(task)
        if self._depends_on_limit:
            return due, self._stretch(leeway.later) if self._is_contended else self._now
        is_delayed = self._is_contended and task.number != self._first
        later = leeway.later * (OVERTAKING if is_delayed else 1)
        # 0 would mean that only a timeout limits the start
        earliest = max(self._stretch(leeway.earlier), min(self._now, _SOON))
        return max(earliest, due), self._stretch(later)

    def _find_earliest(self, task: QueuedTask) -> float:
        """Return the first time from the start time of a task on at which its queue is open."""
        due, windows = self._due.get(task.number, 0.0), self._windows.get(task.queue)
        if is_inside(windows, due):
            return due
        opening = find_opening(windows, due)
        return due if opening is None else opening

    def _stretch(self, factor: float) -> float:
        """Return now, with a factor on the seconds since the last time of day."""
        return self._now if factor == 1 else self._since + (self._now - self._since) * factor

    def _note_contention(self, budgets: Iterable[PoolBudget]) -> None:
        """Note the first reserved task beside which cores are free."""
        for one in budgets:
            if one.backfill and one.free.get("cpu") > EPSILON:
                self._is_contended, self._first = True, one.backfill.task.number
                return

    def _end_runs(self) -> None:
        ended = [run for run in self._runs if run.ends_at <= self._now]
        self._depends_on_limit |= any(run.is_bounded for run in ended)
        self._runs = [run for run in self._runs if run.ends_at > self._now]
        if self._later:
            for _, parents in self._later:
                for run in ended:
                    parents.pop(run.task.number, None)

    def _record_end(self, run: _Run, start: TimeRange, bare: TimeRange) -> None:
        if run.ends_at < inf:
            seconds = run.ends_at - self._now
            first = 0.0 if run.is_bounded else bare[0] + seconds
            self.probable_ends[run.task.number] = (first + bare[1] + seconds) / 2
            self.ends[run.task.number] = (
                0.0 if run.is_bounded else start[0] + seconds,
                start[1] + seconds,
            )


class _RecordedSimulation(_Simulation):
    """A simulation that also records each run by itself, not as a range."""

    def __init__(self, view: DispatchView, index: int, horizon: Horizon) -> None:
        self.runs: dict[int, RunTimes] = {}
        super().__init__(view, index, None, horizon)

    def _record_end(self, run: _Run, start: TimeRange, bare: TimeRange) -> None:
        super()._record_end(run, start, bare)
        is_bound = self._depends_on_limit
        self.runs[run.task.number] = RunTimes(
            self._now, run.ends_at, is_bound, is_bound or run.is_bounded
        )


def _cut_queues(line: Iterable[QueuedTask], depth: int) -> list[QueuedTask]:
    """Return the first `depth` tasks of each queue, and of each limit in it."""
    counts: dict[object, int] = {}
    kept: list[QueuedTask] = []
    for task in line:
        key = (task.queue, task.subjects) if task.subjects else task.queue
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= depth:
            kept.append(task)
    return kept
