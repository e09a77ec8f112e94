"""Input of the dispatch plan, and the reasons why tasks wait."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from app.core.dependency_kinds import ON_FAILURE
from app.core.oom_retry import find_note as find_oom_note
from app.core.scheduling.amounts import EPSILON
from app.core.scheduling.bookings import Booking, list_bounds
from app.core.scheduling.explanations.explain import explain_all
from app.core.scheduling.explanations.waiting_task import (
    Explanation,
    ParentTask,
    TaskState,
    skip_forecast,
)
from app.core.scheduling.forecasts import run_times
from app.core.scheduling.forecasts.forecast import Forecast, make_forecast
from app.core.scheduling.forecasts.run_times import DurationStats, PastRunTimes
from app.core.scheduling.limits import LimitBudget, LimitKey, Limits
from app.core.scheduling.open_times import Windows, find_opening, is_inside, list_windows
from app.core.scheduling.order import PRIORITY, SHORTEST
from app.core.scheduling.plan import (
    ActiveRun,
    Amounts,
    DispatchView,
    LaterTask,
    PoolView,
    QueuedTask,
    QueueView,
    decide,
    get_known_end,
)
from app.core.scheduling.resources import CPU, make_amounts
from app.core.text import units
from app.service import enforced_limits, gpus, outer
from app.service.scheduling import limit_view, queue_order
from app.service.scheduling.ageing import AgeingWatch
from app.service.scheduling.beyond_limits import Stopping, read_beyond
from app.service.scheduling.beyond_window import BeyondWindow
from app.service.scheduling.forecast_leeway import LeewayCache
from app.service.scheduling.kept_queues import KeptQueues
from app.service.scheduling.limit_view import TagBounds
from app.service.scheduling.queue_order import KeptOrder, WindowSize
from app.service.tasks.inspection.similar_runs import mask_digits
from app.service.tasks.places import get_totals, read_shared
from app.service.tasks.submission import bulk
from db import timestamps
from db.engine import Connection, Engine
from db.queries import definitions, reads
from db.queries.scheduling import dispatch, run_history
from db.queries.scheduling import limits as limit_queries
from db.queries.scheduling.kept_lines import KeptLines, is_lasting
from db.queries.scheduling.limits import Exclusion
from db.queries.scheduling.resources import parse_named
from db.queries.scheduling.run_history import RunSeconds
from db.rows import ParentRow, PoolRow, QueueRow, TaskLineRow, TaskRow, get_run_limit
from db.states import WAITING, RunStatus, TaskStatus

WINDOW_SIZE = 64
MAX_DEPTH = 256
"""Tasks of a pool that a round looks at, beside those that start, shared by its waiting queues.

Reading and planning a task takes 7 µs.
"""
STOPPED_DEPTH = 32
"""Tasks in the window of a queue if limits stopped some. Limits lead to the other tasks."""
MAX_VIEWS = 6
"""Views of a round. Each one reads four times as many tasks of a queue."""
MAX_SEARCHED = 8
"""Nonempty queues up to which a round passes stopped tasks that fill its whole depth.

Such a search takes a millisecond in each queue.
"""
MIN_DEPTH = 2
"""Tasks of each queue that a round looks at, however many queues there are."""
CACHE_SECONDS = 30.0
UNKNOWN_CACHE_SECONDS = 2.0
"""Seconds for which a lack of runs is cached.

Enough runs may soon exist, and other screens would then disagree.
"""
MIN_KEPT = 1000
"""Number of queued tasks of a queue from which rounds keep its line."""
MAX_NAMES = 4096
"""Names of tasks for which the answers are kept."""
FORECAST_CACHE_SECONDS = 2.0
"""Seconds for which a forecast holds without a change; each run that goes on shifts its end."""


class RunTimeCache:
    """Cache of usual run times, and of forecasts from them.

    Run times stay for 30 s, or 2 s while unknown, so that few dispatch rounds read them.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, PastRunTimes | None]] = {}
        self._commands = _CommandTimes(-inf, {}, {}, {})
        self._forecasts: dict[tuple[str, ...], _CachedForecast] = {}
        self.ageing = AgeingWatch()
        self.queues = KeptQueues()
        self.order = KeptOrder()
        self._leeway = LeewayCache()
        self.kept_lines = KeptLines()
        self._stopping: dict[str, tuple[float, Stopping]] = {}
        self._bounds: TagBounds | None = None

    def get_usual(self, c: Connection, template: str | None) -> DurationStats | None:
        """Return the usual run time of a template.

        Return None for ad-hoc tasks and too few runs.
        """
        found = None if template is None else self._get_of_template(c, template)
        return found and found.usual

    def _get_of_template(self, c: Connection, template: str) -> PastRunTimes | None:
        cached_at, found = self._known.get(template, (-inf, None))
        now = timestamps.utcnow().timestamp()
        if not _is_fresh(now - cached_at, found):
            found = _learn(run_history.list_seconds_of_template(c, template))
            self._known[template] = (now, found)
        return found

    def get_past(self, c: Connection, template: str | None, name: str) -> PastRunTimes | None:
        """Return the run times of similar tasks, or None.

        The template decides, else commands of the same name, else names that differ only in digits.
        """
        if template is not None:
            return self._get_of_template(c, template)
        found = self._find_by_name(name)
        now = timestamps.utcnow().timestamp()
        if not _is_fresh(now - self._commands.read_at, found):
            ran = run_history.list_recent_seconds(c)
            named, alike = _group_run_times(ran, str), _group_run_times(ran, mask_digits)
            self._commands = _CommandTimes(now, named, alike, {})
            found = self._find_by_name(name)
        return found

    def list_past(self, c: Connection, rows: Sequence[Any]) -> list[PastRunTimes | None]:
        """Return what `get_past` returns for the template and name of each row."""
        age = timestamps.utcnow().timestamp() - self._commands.read_at
        if not 0 <= age < UNKNOWN_CACHE_SECONDS:
            return [self.get_past(c, row.template, row.name) for row in rows]
        return [
            self._find_by_name(row.name)
            if row.template is None
            else self._get_of_template(c, row.template)
            for row in rows
        ]

    def get_state(self) -> object | None:
        """Return an object that stays the same while the run times of commands do.

        Return None if the run times must be read again.
        """
        known, age = self._commands.known, timestamps.utcnow().timestamp() - self._commands.read_at
        is_known = len(known) < MAX_NAMES and None not in known.values()
        holds = (
            CACHE_SECONDS if age >= UNKNOWN_CACHE_SECONDS and is_known else UNKNOWN_CACHE_SECONDS
        )
        return self._commands if 0 <= age < holds else None

    def keep_bounds(self, bounds: TagBounds | None) -> TagBounds | None:
        """Return the last bounds if they equal these, since queues are compared by identity."""
        if bounds != self._bounds:
            self._bounds = bounds
        return self._bounds

    def get_stopping(self, queue: str) -> Stopping:
        """Return the amounts that stopped tasks of a queue in earlier rounds.

        After a while they are found again, since a task with a higher priority may have come.
        """
        began_at, found = self._stopping.get(queue, (-inf, {}))
        now = timestamps.utcnow().timestamp()
        if not 0 <= now - began_at < CACHE_SECONDS:
            began_at, found = self._stopping[queue] = now, {}
        return found

    def list_brief(self, c: Connection, seconds: float) -> tuple[str, ...]:
        """Return the templates whose tasks usually end within a time."""
        names = definitions.list_template_names(c)
        usual = ((name, self.get_usual(c, name)) for name in names)
        return tuple(name for name, found in usual if found and found.p95 <= seconds)

    def get_usual_of_run(
        self, c: Connection, template: str | None, name: str, elapsed: float
    ) -> DurationStats | None:
        """Return the usual run time of an active run, or None.

        Run times by name do not apply to a run that has already taken longer: `bash` is not late
        because another `bash` was short.
        """
        found = self.get_past(c, template, name)
        if found is None or (template is None and elapsed >= found.usual.p95):
            return None
        return found.usual

    def _find_by_name(self, name: str) -> PastRunTimes | None:
        _, named, alike, known = self._commands
        if name in known:
            return known[name]
        found = named.get(name) or alike.get(mask_digits(name))
        if len(known) < MAX_NAMES:
            known[name] = found
        return found

    def forecast(self, c: Connection, view: DispatchView, may_lag: bool = False) -> Forecast:
        """Return the forecast of a part of a view; simulate only after a change, or when it is old.

        With `may_lag`, simulations take at most a twentieth of the time while tasks run.
        """
        names, now = tuple(pool.name for pool in view.pools), view.now or 0.0
        runs = tuple(
            (run.number, run.queue, run.needs, run.began, run.limit and round(now + run.limit))
            for run in view.active
        )
        later = tuple((one.task, one.parents, one.leaders) for one in view.later)
        queues = view.queues
        if any(queue.windows for queue in queues):  # windows move with the time
            queues = tuple(replace(queue, windows=None) for queue in queues)
        booked = tuple((one.name, round(now + one.begins_in)) for one in view.bookings)
        leeway = self._leeway.get(c, names)
        key = (
            view.pools, view.shared, view.withheld, view.limits, booked, queues, runs, later,
            leeway,
        )  # fmt: skip
        last = self._forecasts.get(names)
        if last and 0 <= (age := now - last.made_at) < FORECAST_CACHE_SECONDS:
            lags = may_lag and bool(runs) and age < 20 * last.cost
            if lags or last.key == key:
                return last.forecast.shift(age)
        began = time.perf_counter()
        found = make_forecast(view, leeway=leeway)
        self._forecasts[names] = _CachedForecast(key, now, time.perf_counter() - began, found)
        return found


def _is_fresh(age: float, found: PastRunTimes | None) -> bool:
    """Return whether run times of this age in seconds hold; a clock may have gone back."""
    return 0 <= age < (CACHE_SECONDS if found else UNKNOWN_CACHE_SECONDS)


class _CommandTimes(NamedTuple):
    """Run times of commands by name, and by name without digits, as of one time in UNIX seconds.

    `known` has the answers for names that were asked for.
    """

    read_at: float
    named: Mapping[str, PastRunTimes]
    alike: Mapping[str, PastRunTimes]
    known: dict[str, PastRunTimes | None]


class _CachedForecast(NamedTuple):
    """A forecast with its input, its time in UNIX seconds, and the seconds that it took."""

    key: Any
    made_at: float
    cost: float
    forecast: Forecast


def _group_run_times(
    ran: Sequence[tuple[str, RunSeconds]], key: Callable[[str], str]
) -> dict[str, PastRunTimes]:
    """Return run times by key, from names and run times.

    Keys with too few runs are left out.
    """
    groups: dict[str, list[RunSeconds]] = {}
    for name, took in ran:
        groups.setdefault(key(name), []).append(took)
    return {name: found for name, took in groups.items() if (found := _learn(took))}


def _learn(took: Sequence[RunSeconds]) -> PastRunTimes | None:
    """Return what past runs tell; those without success count for forecasts only."""
    good = [one.seconds for one in took if one.is_success]
    return run_times.learn_run_times(good, [one.seconds for one in took if not one.is_success])


_CACHES: WeakKeyDictionary[Engine, RunTimeCache] = WeakKeyDictionary()


_NO_DEPTHS: Mapping[str, int] = {}


def get_cache(c: Connection) -> RunTimeCache:
    """Return the run time cache of a database's readers, for frequent lists."""
    return _CACHES.setdefault(c.engine, RunTimeCache())


def read_view(
    c: Connection,
    cache: RunTimeCache,
    halted: str | None = None,
    *,
    closed: bool = True,
    ahead: int = WINDOW_SIZE,
) -> DispatchView:
    """Read the input of the dispatch plan.

    With `closed`, also read what explanations need: the windows of full and closed queues, and past
    run times. A window holds four times the free slots of its queue plus `ahead` tasks. With 0
    ahead, a window holds only as many tasks as there are free slots. Slots for which the pool has
    no room do not count.
    """
    view, reader = _read_without_tasks(c, cache, closed)
    queues = reader._replace(ahead=ahead).read_all()
    policy_of = {row.name: reader.policies[row.pool] for row, _ in reader.rows}
    later = _read_later(c, cache, policy_of, ahead, reader.bounds) if closed else ()
    return replace(view, halted=halted, queues=queues, later=later)


def _read_without_tasks(
    c: Connection, cache: RunTimeCache, closed: bool
) -> tuple[DispatchView, _QueueReader]:
    """Return the view without queues, and the reader of its queues."""
    shared, least, limits, booked = read_shared(c)
    pool_rows = reads.list_pools(c)
    pools = tuple(_build_pool(row, least) for row in pool_rows)
    policies = {pool.name: pool.policy for pool in pools}
    outer_pools = {pool.name for pool in pools if pool.is_outer}
    counted, names = reads.read_counters_and_submissions(c)
    storing = [bulk.parse_name(name) for name in names]
    rows = [
        (row, counted.get((row.name, TaskStatus.QUEUED.value), 0)) for row in reads.list_queues(c)
    ]
    now = timestamps.utcnow()
    bookings = limit_view.to_bookings(booked, now.timestamp())
    bounds = cache.keep_bounds(limit_view.make_bounds(limits, bookings))
    if not closed:
        cache.kept_lines.begin_round(c)
    runs = limit_queries.list_active(c) if bounds else dispatch.list_active(c)
    active = tuple(
        _build_waiting_run(row, bounds)
        if row.pool in outer_pools and row.start_time is None
        else _build_active(c, cache, row, now, closed, bounds)
        for row in runs
    )
    loads = _measure_loads(rows, pools, runs, now.timestamp())
    if not closed:
        cache.order.lines.choose(c, len(loads.nonempty))
    aged = cache.ageing.find_first(c, pool_rows, loads.nonempty, runs, now.timestamp())
    pool_of = {row.name: row.pool for row, _ in rows}
    make_budget = partial(_make_budget, limits, bookings, pools, shared, active, pool_of)
    withheld = gpus.list_withheld(row.devices for row in runs)
    view = DispatchView(
        pools, (), active, None, now.timestamp(), (), shared, withheld, limits, bookings
    )
    return view, _QueueReader(
        c, cache, closed, rows, loads, aged, policies, bounds, make_budget, storing, {}
    )


def _build_pool(row: PoolRow, least: Amounts) -> PoolView:
    return PoolView(
        row.name,
        {**least, **get_totals(row)},
        row.status,
        row.policy or PRIORITY,
        row.kind is not None,
        outer.get_trouble() if row.kind else enforced_limits.find_trouble(row.enforce),
        row.enforce,
    )


class _QueueLoads(NamedTuple):
    """Loads of queues, by which the sizes of their windows are chosen.

    `runs` counts the active runs by queue. `busy` counts the queues with queued tasks by pool, and
    `shares` only those of them that may start one. `opened` names the open queues, and `nonempty`
    has those of them with queued tasks. `waiting` counts the queued tasks of all queues. `rooms`
    has how many tasks of one core fit into each local pool now, at least one: the window of a queue
    with a large capacity need not be larger.
    """

    runs: Counter[str]
    busy: Counter[str]
    shares: Counter[str]
    opened: Collection[str]
    nonempty: Sequence[QueueRow]
    windows: Mapping[str, Windows | None]
    waiting: int
    rooms: Mapping[str, int]


def _measure_loads(
    rows: Sequence[tuple[QueueRow, int]], pools: Sequence[PoolView], runs: Sequence[Any], now: float
) -> _QueueLoads:
    """Return the loads of queues with their numbers of queued tasks; `now` is in UNIX seconds."""
    loads = Counter(run.queue for run in runs)
    active = {pool.name for pool in pools if pool.is_active}
    windows = {row.name: list_windows(row.open, now) if row.open else None for row, _ in rows}
    opened = {
        row.name
        for row, _ in rows
        if row.status == "active" and row.pool in active and is_inside(windows[row.name])
    }
    nonempty = [row for row, total in rows if total and row.name in opened]
    shares = Counter(row.pool for row in nonempty if loads[row.name] < row.capacity)
    busy = Counter(row.pool for row, total in rows if total)
    waiting = sum(total for _, total in rows)
    rooms = _count_rooms(pools, runs)
    return _QueueLoads(loads, busy, shares, opened, nonempty, windows, waiting, rooms)


def _count_rooms(pools: Sequence[PoolView], runs: Sequence[Any]) -> dict[str, int]:
    used: dict[str, float] = defaultdict(float)
    for run in runs:
        used[run.pool] += run.cpu
    return {
        pool.name: max(1, int(pool.totals.get(CPU, 0.0) - used[pool.name] + EPSILON))
        for pool in pools
        if not pool.is_outer
    }


class _QueueReader(NamedTuple):
    """Reader of the queues of a view, from rows of queues with their numbers of queued tasks.

    `aged` are the tasks that go first by ageing, by queue; `policies` are by pool. All views of a
    transaction share `lines`, which have what was read. `deeper` replaces the depths of queues.
    """

    c: Connection
    cache: RunTimeCache
    closed: bool
    rows: Sequence[tuple[QueueRow, int]]
    loads: _QueueLoads
    aged: Mapping[str, Any]
    policies: Mapping[str, str]
    bounds: TagBounds | None
    make_budget: Callable[[], LimitBudget]
    storing: Sequence[bulk.UnfinishedSubmission]
    lines: dict[tuple[str, WindowSize], Sequence[Any]]
    ahead: int = 0
    deeper: Mapping[str, int] = _NO_DEPTHS

    def read_all(self) -> tuple[QueueView, ...]:
        """Return the queues with the first of their queued tasks."""
        windows: dict[str, WindowSize] = {}
        for row, total in self.rows:
            size = self.choose_size(row) if total else 0
            if size:
                most = max(size, queue_order.LOOKAHEAD // max(1, self.loads.shares[row.pool]))
                is_short = size > STOPPED_DEPTH and self.knows_stopping(row)
                shown = STOPPED_DEPTH if is_short else size
                windows[row.name] = WindowSize(self.policies[row.pool], shown, most)
        self._read_lines(windows)
        state = self.cache.get_state() if SHORTEST in self.policies.values() else None
        return tuple(
            self._read(row, total, windows[row.name], state)
            if row.name in windows
            else _build_queue(row, (), total, 0, self.loads.windows[row.name])
            for row, total in self.rows
        )

    def _read_lines(self, windows: Mapping[str, WindowSize]) -> None:
        """Read the first tasks of queues that no view of this transaction has read yet."""
        missing = {n: size for n, size in windows.items() if (n, size) not in self.lines}
        if not missing:
            return
        found = self.cache.order.map_first(self.c, self.cache, missing)
        self.lines.update({(n, missing[n]): line for n, line in found.items()})

    def _read(self, row: QueueRow, total: int, window: WindowSize, state: object) -> QueueView:
        """Return a queue with its first queued tasks; `state` is that of the run times."""
        policy, size, line = window.policy, window.limit, self.lines[row.name, window]
        first = self.aged.get(row.name) if line else None
        if first:
            line = [first, *(task for task in line if task.uuid != first.uuid)][: len(line)]
        at, held_back = _find_unfinished(line, self.storing) if self.storing else (len(line), 0)
        windows = self.loads.windows[row.name]

        def make() -> QueueView:
            tasks = self._to_tasks(line[:at], policy)
            if first and tasks:
                since = timestamps.to_unix(first.since)
                tasks = (replace(tasks[0], aged_since=since), *tasks[1:])
            return _build_queue(row, tasks, total, held_back, windows)

        if self.closed:
            queue = make()
        else:
            inputs = (
                row, total, policy, windows, at, held_back, first, line,
                [self.cache.get_usual(self.c, one.template) for one in line if one.template],
                self.bounds,
                policy == SHORTEST and (state or self.cache.list_past(self.c, line)),
            )  # fmt: skip
            queue = self.cache.queues.get(row.name, self.ahead > 0, inputs, make)
        if self.bounds and self.ahead and at == size and self._can_start(row):
            queue = self._read_beyond(queue, policy, self.choose_size(row))
        return queue

    def knows_stopping(self, row: QueueRow) -> bool:
        """Return True if limits stopped tasks of a queue, so that rounds look beyond its window."""
        return bool(self.bounds and not self.closed and self.cache.get_stopping(row.name))

    def _read_beyond(self, queue: QueueView, policy: str, size: int) -> QueueView:
        """Return a queue with the tasks behind those of its window that limits stop."""
        kept = self.cache.kept_lines

        def find(
            excluded: Sequence[Exclusion],
            limit: int,
            begin: QueuedTask | None = None,
            wider: Sequence[Exclusion] = (),
        ) -> Sequence[QueuedTask]:
            line = self.c, queue.name, policy == PRIORITY, limit, excluded
            if self.closed:
                return self._to_tasks(limit_queries.list_queued(*line), policy)
            rows = kept.list_queued(
                *line,
                at_once=not is_lasting(excluded),
                begin=queue_order.find_place_before(self.c, policy, begin) if begin else None,
                wider=wider,
            )
            return self._to_tasks(rows, policy)

        budget = self.make_budget()
        known: Stopping = self.cache.get_stopping(queue.name)
        if self.closed:  # one statement passes the tasks of all amounts of which nothing is free
            known = {k: None for k in budget.list_exhausted() if isinstance(k, LimitKey)}
        queue, is_cut = read_beyond(queue, budget, size, find, known)
        kept.is_cut |= is_cut
        return queue

    def read_beyond(
        self, queue: QueueView, limit: int, excluded: Sequence[Exclusion]
    ) -> tuple[QueuedTask, ...]:
        """Return the first queued tasks of a queue without the excluded ones."""
        policy = self.policies[queue.pool]
        is_kept = self.loads.waiting >= MIN_KEPT
        read = self.cache.kept_lines.list_queued if is_kept else limit_queries.list_queued
        rows = read(self.c, queue.name, policy == PRIORITY, limit, excluded)
        if self.storing:
            rows = rows[: _find_unfinished(rows, self.storing)[0]]
        return self._to_tasks(rows, policy) if rows else ()

    def _to_tasks(self, rows: Sequence[Any], policy: str) -> tuple[QueuedTask, ...]:
        """Convert rows to waiting tasks of the plan."""
        find = self.bounds.find_subjects if self.bounds else _find_none
        return tuple(
            to_waiting(
                self.c, self.cache, row, policy,
                likely=self.closed, subjects=find(row.tags, row.group_number),
            )
            for row in rows
        )  # fmt: skip

    def get_depth(self, row: QueueRow) -> int:
        """Return the number of tasks of a queue that a round looks at."""
        share = max(1, self.loads.shares[row.pool])
        return self.deeper.get(row.name) or max(MIN_DEPTH, MAX_DEPTH // share)

    def choose_size(self, row: QueueRow) -> int:
        """Return the number of tasks to read of a queue."""
        if self.closed or self._can_start(row):
            free = max(0, row.capacity - self.loads.runs[row.name])
            if row.name not in self.deeper:
                free = min(free, self.loads.rooms.get(row.pool, free))
            size = 4 * free + self.ahead if self.ahead else free
            return size if self.closed else min(size, self.get_depth(row))
        # The first task of a full queue may have a reservation that other queues must respect.
        return 1 if row.name in self.loads.opened and self.loads.busy[row.pool] > 1 else 0

    def _can_start(self, row: QueueRow) -> bool:
        """Return True if a queue is open and has a free slot."""
        return row.name in self.loads.opened and self.loads.runs[row.name] < row.capacity


def _make_budget(
    limits: Limits,
    bookings: Sequence[Booking],
    pools: Sequence[PoolView],
    shared: Amounts,
    active: Sequence[ActiveRun],
    pool_of: Mapping[str, str],
) -> LimitBudget:
    """Return what active runs leave of limits and beside bookings."""
    budget = LimitBudget(limits, list_bounds(bookings, pools, shared))
    for run in active:
        budget.occupy(run, pool_of[run.queue], get_known_end(run.ends_in))
    return budget


def _find_unfinished(
    line: Sequence[Any], storing: Sequence[bulk.UnfinishedSubmission]
) -> tuple[int, int]:
    """Return the position of the first task of an incomplete submission, and its number of tasks.

    The tasks behind wait, too, since they would not start before that one.
    """
    for at, task in enumerate(line):
        for one in storing:
            if one.first <= task.uuid <= one.last:
                return at, one.size
    return len(line), 0


def _read_later(
    c: Connection,
    cache: RunTimeCache,
    policies: Mapping[str, str],
    limit: int,
    bounds: TagBounds | None,
) -> tuple[LaterTask, ...]:
    """Return the first tasks that wait for a time, a retry or other tasks; `policies` by queue.

    A task that waits for a failure is left out: it probably never runs.
    """
    found = reads.list_not_queued(c, limit)
    rows = [row for status, part in found.items() if status != TaskStatus.HELD for row in part]
    subjects = limit_view.map_subjects(c, bounds, [row.uuid for row in rows])
    return tuple(
        LaterTask(
            to_waiting(c, cache, row, policies[row.queue], subjects=subjects.get(row.uuid, ())),
            max(0.0, state.not_before_in or 0.0, state.retry_in or 0.0),
            tuple(parent.number for parent in state.unmet if parent.kind != "start"),
            tuple(parent.number for parent in state.unmet if parent.kind == "start"),
        )
        for row, state in zip(rows, read_task_states(c, rows), strict=True)
        if not state.held_by and all(p.kind not in ON_FAILURE for p in state.unmet)
    )


def _build_queue(
    row: QueueRow, line: tuple[QueuedTask, ...], total: int, storing: int, windows: Windows | None
) -> QueueView:
    since = timestamps.to_unix(row.status_at) if row.status_at else None
    return QueueView(
        row.name,
        row.pool,
        row.capacity,
        row.priority,
        row.status,
        line,
        total,
        row.status_by,
        since,
        storing,
        open=row.open,
        windows=windows,
    )


def _find_none(tags: str, group: int | None) -> tuple[str, ...]:
    """Return no subjects of a task, for a home without limits and bookings."""
    return ()


def to_waiting(
    c: Connection,
    cache: RunTimeCache,
    row: Any,
    policy: str,
    *,
    likely: bool = True,
    subjects: tuple[str, ...] = (),
) -> QueuedTask:
    """Convert a row to a waiting task of the plan, with or without likely run times.

    `policy` is that of its pool.
    """
    past = cache.get_past(c, row.template, row.name) if likely else None
    return QueuedTask(
        row.uuid,
        row.number,
        row.name,
        row.queue,
        row.priority,
        row.front,
        make_amounts(row.cpu, row.memory, parse_named(row.resources)),
        run_times.estimate_duration(cache.get_usual(c, row.template), row.timeout),
        row.timeout,
        run_times.limit_run_times(past.likely, row.timeout) if past else (),
        queue_order.compute_task_rank(c, cache, policy, row),
        subjects,
    )


def _build_waiting_run(row: Any, bounds: TagBounds | None) -> ActiveRun:
    """Convert a run that waits in another engine: nobody here knows when it starts or ends."""
    subjects = bounds.find_subjects(row.tags, row.group_number) if bounds else ()
    needs = make_amounts(row.cpu, row.memory, parse_named(row.resources))
    return ActiveRun(row.number, row.name, row.queue, needs, None, subjects=subjects)


def _build_active(
    c: Connection,
    cache: RunTimeCache,
    row: Any,
    now: datetime,
    likely: bool,
    bounds: TagBounds | None,
) -> ActiveRun:
    began = timestamps.to_unix(row.start_time) if row.start_time else None
    elapsed = 0.0 if began is None else now.timestamp() - began
    usual = cache.get_usual_of_run(c, row.template, row.name, elapsed)
    timeout = get_run_limit(row.start_time, row.deadline, row.timeout)
    limit = None if timeout is None else timeout - elapsed
    left = run_times.estimate_remaining(elapsed, usual, timeout)
    # The run outlasted past runs, so only its limit is known.
    is_late = left is not None and left <= 0 and limit is not None
    past = cache.get_past(c, row.template, row.name) if likely and not is_late else None
    times = run_times.sample_run_times(past.runs, elapsed) if past else ()
    return ActiveRun(
        row.number,
        row.name,
        row.queue,
        make_amounts(row.cpu, row.memory, parse_named(row.resources)),
        limit if is_late else left,
        limit,
        run_times.limit_run_times(tuple(seconds - elapsed for seconds in times), limit),
        began,
        bounds.find_subjects(row.tags, row.group_number) if bounds else (),
    )


def plan_starts(c: Connection, cache: RunTimeCache) -> tuple[DispatchView, Sequence[QueuedTask]]:
    """Return the view of one dispatch round and the tasks to start.

    Usually the first tasks of each queue fit its free slots, and no others matter. Read a larger
    window only if one of these tasks does not start, and a deeper one if all of them start. At last
    read the tasks beyond that fit what is left.
    """
    empty, reader = _read_without_tasks(c, cache, closed=False)
    searches_more = reader.bounds and len(reader.loads.nonempty) <= MAX_SEARCHED
    is_wide = searches_more and any(map(reader.knows_stopping, reader.loads.nonempty))
    ahead, deeper = WINDOW_SIZE if is_wide else 0, dict[str, int]()
    for tried in range(MAX_VIEWS):
        reader = reader._replace(ahead=ahead, deeper=deeper)
        view = replace(empty, queues=reader.read_all())
        decision = decide(view)
        started = Counter(task.queue for task in decision.starts)
        left = [queue for queue in view.queues if decision.slots[queue.name] >= 1]
        depths = {row.name: reader.get_depth(row) for row, _ in reader.rows}
        depths |= {queue.name: len(queue.waiting) for queue in left if queue.first_gap is not None}
        sizes = {
            queue.name: len(queue.waiting)
            for queue in left
            if len(queue.waiting) < queue.waiting_total
        }
        chosen = {row.name: reader.choose_size(row) for row, _ in reader.rows}
        roomy = {
            queue.name for queue in left if decision.budgets[queue.pool].free.get(CPU) > EPSILON
        }
        cut = {
            n: size
            for n, size in sizes.items()
            if started[n] == size and (size == depths[n] or (size == chosen[n] and n in roomy))
        }
        is_narrow = not ahead and any(
            started[n] < size and (size < depths[n] or searches_more) for n, size in sizes.items()
        )
        if (not cut and not is_narrow) or tried == MAX_VIEWS - 1:
            beyond = BeyondWindow(reader.read_beyond, partial(cache.list_brief, c))
            view, decision = beyond.plan(view, decision)
            return view, decision.starts
        deeper |= {name: 4 * size for name, size in cut.items()}
        ahead = WINDOW_SIZE if is_narrow else ahead
    raise AssertionError("unreachable")


def find_next_opening(view: DispatchView) -> float | None:
    """Return the UNIX time at which a queue with waiting tasks opens or a booking ends, or None."""
    found = [
        opening
        for queue in view.queues
        if queue.windows is not None
        and queue.waiting_total
        and (opening := find_opening(queue.windows)) is not None
    ]
    if any(queue.waiting_total for queue in view.queues):
        found += [one.ends_in for one in view.bookings]
    return min(found) + (view.now or 0.0) if found else None


def get_bounds(view: DispatchView) -> TagBounds | None:
    """Return what concerns the tags of tasks in a view."""
    return limit_view.make_bounds(view.limits, view.bookings)


def explain_waiting(
    c: Connection,
    cache: RunTimeCache,
    tasks: Sequence[TaskRow | TaskLineRow],
    halted: str | None,
    view: DispatchView | None = None,
    may_lag: bool = False,
    has_starts: bool = True,
) -> dict[str, Explanation]:
    """Return {uuid: why the task waits} for the waiting tasks among these.

    With `may_lag`, expected starts may be a moment old; without `has_starts` there are none.
    """
    asked = [task for task in tasks if task.status in WAITING]
    if not asked:
        return {}
    view = view or read_view(c, cache, halted)
    places = _read_places(c, cache, view, asked)
    answers = explain_all(
        view,
        [
            (subject, places[subject.uuid])
            for subject in read_task_states(c, asked, get_bounds(view))
        ],
        partial(cache.forecast, c, may_lag=may_lag) if has_starts else skip_forecast,
    )
    return {task.uuid: why for task, why in zip(asked, answers, strict=True)}


def _read_places(
    c: Connection, cache: RunTimeCache, view: DispatchView, tasks: Sequence[TaskRow | TaskLineRow]
) -> dict[str, int | None]:
    """Return places in the queues: known within the window, counted beyond it."""
    known: dict[str, int | None] = {
        t.uuid: at for queue in view.queues for at, t in enumerate(queue.waiting[: queue.first_gap])
    }
    beyond = [task for task in tasks if task.status == TaskStatus.QUEUED and task.uuid not in known]
    policies = {pool.name: pool.policy for pool in view.pools}
    for queue in view.queues:
        tasks_of_queue = [task for task in beyond if task.queue == queue.name]
        if tasks_of_queue:
            places = queue_order.map_places(
                c, cache, queue.name, policies[queue.pool], tasks_of_queue, queue.waiting_total
            )
            first = queue.waiting[0] if queue.waiting else None
            if first and first.aged_since is not None:
                places = _move_behind(c, cache, queue, policies[queue.pool], first, places)
            known |= {task.uuid: places[task.number] for task in tasks_of_queue}
    return {
        task.uuid: known[task.uuid] if task.status == TaskStatus.QUEUED else None for task in tasks
    }


def _move_behind(
    c: Connection,
    cache: RunTimeCache,
    queue: QueueView,
    policy: str,
    first: QueuedTask,
    places: Mapping[int, int],
) -> dict[int, int]:
    """Return places, by number, after the task that has waited long has left its own place."""
    rows = reads.list_by_uuid(c, [first.uuid])
    left = queue_order.map_places(c, cache, queue.name, policy, rows, queue.waiting_total)
    was = left[first.number]
    return {number: at + (at < was) for number, at in places.items()}


def read_task_states(
    c: Connection, tasks: Sequence[TaskRow | TaskLineRow], bounds: TagBounds | None = None
) -> list[TaskState]:
    """Return the tasks as the explanation needs them, in order."""
    bound = limit_view.map_subjects(c, bounds, [task.uuid for task in tasks])
    parents, now = (
        reads.map_parents(c, [task.uuid for task in tasks if task.status != TaskStatus.QUEUED]),
        timestamps.utcnow(),
    )
    running = any(row.status == TaskStatus.RUNNING for rows in parents.values() for row in rows)
    paused = _find_paused(c) if running else frozenset[int]()
    return [
        _build_subject(task, parents.get(task.uuid, ()), now, paused, bound.get(task.uuid, ()))
        for task in tasks
    ]


def _find_paused(c: Connection) -> frozenset[int]:
    """Return the numbers of the running tasks whose processes are paused."""
    return frozenset(run.number for run in reads.list_running(c) if run.status == RunStatus.PAUSED)


def _build_subject(
    task: TaskRow | TaskLineRow,
    parents: Sequence[ParentRow],
    now: datetime,
    paused: Collection[int],
    subjects: tuple[str, ...],
) -> TaskState:
    due, retry_in = _seconds_until(task.not_before, now), _seconds_until(task.retry_at, now)
    at = (
        units.format_clock_time(timestamps.parse_time(task.not_before), now)
        if task.not_before
        else None
    )
    waits_for = tuple(
        ParentTask(p.number, p.name, "paused" if p.number in paused else p.status, p.kind)
        for p in parents
    )
    return TaskState(task.uuid, task.number, task.name, task.queue, task.status, task.priority,
    make_amounts(task.cpu, task.memory, parse_named(task.resources)),
                   task.held_by if task.hold else None, due, at, retry_in, task.attempts,
                   task.failures, task.retries,
                   waits_for, subjects, find_oom_note(task.reason))  # fmt: skip


def _seconds_until(text: str | None, now: datetime) -> float | None:
    return max(0.0, (timestamps.parse_time(text) - now).total_seconds()) if text else None
