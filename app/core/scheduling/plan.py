"""Dispatch decision: the tasks that start now, and the task with a reservation in each pool.

EASY backfilling (Lifka 1995) on any number of resources. Each pool has at most one reservation. The
first task in order that does not fit gets it, at the time when enough runs will have ended. A later
task starts earlier only if it ends by then or fits beside the reserved task. The last slot of the
reserved task's queue goes only to a task whose timeout ends it by then. The first task of a full
queue gets a reservation, too, if a slot is free before the resources are.

Pools share nothing but the shared resources and limits. A task that needs one of these must not
delay the reserved task of another pool. A task that a limit or a booking stops is skipped (see
`limits`). Times are seconds from now as floats.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from app.core.scheduling.amounts import EPSILON, Amounts
from app.core.scheduling.bookings import Booking, list_bounds
from app.core.scheduling.limits import LimitBudget, Limits, LimitUses
from app.core.scheduling.open_times import Windows, is_inside
from app.core.scheduling.order import PRIORITY

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool with its total amounts. `status` is active, paused or draining.

    The runs of an outer pool take nothing of this machine: another engine admits them, so its
    totals do not count. `trouble` tells why no run may start now.
    """

    name: str
    totals: Amounts
    status: str
    policy: str = PRIORITY
    is_outer: bool = False
    trouble: str | None = None
    enforce: str | None = None
    """Limits of runs that the kernel enforces, as stored."""

    @property
    def is_active(self) -> bool:
        """True if runs may start in the pool."""
        return self.status == ACTIVE and self.trouble is None


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task that may start now.

    `expected` is the run time in seconds that the plan counts on; None is unbounded. `likely` holds
    equally likely run times from past runs, for forecasts only. `limit` is the timeout. `rank`
    replaces the priority in pools with another policy (see `order`). `subjects` are the tags and
    the group that limits bound. `aged_since` is set if the task goes first by the ageing of its
    pool: the UNIX time since when the task waits.
    """

    uuid: str
    number: int
    name: str
    queue: str
    priority: int
    front: int
    needs: Amounts
    expected: float | None
    limit: float | None = None
    likely: tuple[float, ...] = ()
    rank: float | None = None
    subjects: tuple[str, ...] = ()
    aged_since: float | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue with its first waiting tasks, ordered as by `get_sort_key`.

    `waiting_total` includes tasks beyond `waiting`. `paused_since` is in UNIX seconds. If `storing`
    is not 0, `waiting` ends before a bulk submission of that many tasks, which is being stored. If
    `first_gap` is not None, tasks that limits stop are left out from that position on. `open` tells
    when the queue starts tasks, `windows` the same for the next week; None is always.
    """

    name: str
    pool: str
    capacity: int
    priority: int
    status: str
    waiting: tuple[QueuedTask, ...]
    waiting_total: int
    paused_by: str | None
    paused_since: float | None
    storing: int = 0
    first_gap: int | None = None
    open: str | None = None
    windows: Windows | None = None


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that holds resources.

    `ends_in` is None if unknown, and 0 or negative if overdue. `limit` and `likely` are as in
    `QueuedTask`, in seconds from now. `began` is in UNIX seconds.
    """

    number: int
    name: str
    queue: str
    needs: Amounts
    ends_in: float | None
    limit: float | None = None
    likely: tuple[float, ...] = ()
    began: float | None = None
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaterTask:
    """A task that joins its queue once its parents have ended, and not before `due_in` seconds.

    The parents in `leaders` need only start.
    """

    task: QueuedTask
    due_in: float
    parents: tuple[int, ...]
    leaders: tuple[int, ...] = ()


class Withheld(NamedTuple):
    """One unit of a shared resource that no run holds and none gets, and why in words."""

    resource: str
    text: str


@dataclass(frozen=True, slots=True)
class DispatchView:
    """Complete input of the decision.

    The pool of every queue and the queue of every run must be present. `halted` is the reason why
    nothing starts. `now` (UNIX seconds) is used to format dates, and `later` for forecasts.
    `shared` holds the totals of the shared resources: a pool without an amount of its own may use
    all of it. `withheld` are units of these that nothing gets now. `limits` bound the tasks of tags
    and groups, `bookings` keep amounts for tags.
    """

    pools: tuple[PoolView, ...]
    queues: tuple[QueueView, ...]
    active: tuple[ActiveRun, ...]
    halted: str | None
    now: float | None = None
    later: tuple[LaterTask, ...] = ()
    shared: Amounts = field(default_factory=dict[str, float])
    withheld: tuple[Withheld, ...] = ()
    limits: Limits = field(default_factory=dict[str, Amounts])
    bookings: tuple[Booking, ...] = ()

    def get_policy(self, queue: str) -> str:
        """Return the policy of the pool of a queue."""
        pool = next(one.pool for one in self.queues if one.name == queue)
        return next(one.policy for one in self.pools if one.name == pool)

    def list_outer_queues(self) -> set[str]:
        """Return the queues whose tasks another engine runs."""
        outer = {pool.name for pool in self.pools if pool.is_outer}
        return {queue.name for queue in self.queues if queue.pool in outer}


@dataclass(frozen=True, slots=True)
class Reservation:
    """Resources of a pool reserved for one task from `starts_in` on (None: unknown)."""

    uuid: str
    number: int
    pool: str
    starts_in: float | None
    needs: Amounts


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks that start now, best first, and the reservations."""

    starts: tuple[QueuedTask, ...]
    reservations: tuple[Reservation, ...]


class PendingRelease(NamedTuple):
    """Resources and a slot that become free in `ends_in` seconds (inf: unknown)."""

    ends_in: float
    needs: Amounts
    queue: str
    is_own: bool
    """False for a run of another pool, which frees shared resources only."""


class FreeAmounts:
    """Free resources of a pool, or of the shared resources, during planning."""

    __slots__ = ("_free", "_default")

    def __init__(self, totals: Amounts, default: float = 0.0) -> None:
        """Begin with the totals. A resource without a total has the default amount."""
        self._free, self._default = dict(totals), default

    def get(self, name: str) -> float:
        """Return the free amount of a resource."""
        return self._free.get(name, self._default)

    def has(self, needs: Amounts) -> bool:
        """Return True if all of these amounts are free."""
        free, default = self._free, self._default
        if not free:
            return default == inf or not any(needs.values())
        for name, need in needs.items():  # like `can_fit`, in a third of the time
            left = free.get(name, default)
            if need > left + EPSILON and need != 0:
                return False
        return True

    def change(self, needs: Amounts, sign: int) -> None:
        """Add or deduct amounts; those without a total of their own do not count."""
        free = self._free
        for name, need in needs.items():
            if name in free:
                free[name] += sign * need

    def copy(self) -> "FreeAmounts":
        """Return independent amounts."""
        return FreeAmounts(self._free, self._default)


@dataclass(slots=True)
class BackfillBudget:
    """Resources that remain free beside the reserved task once it starts."""

    task: QueuedTask
    starts_in: float
    free: FreeAmounts
    shared: FreeAmounts

    def can_admit(self, task: QueuedTask, slots: int) -> bool:
        """Return True if a task of the same pool does not delay the reserved task."""
        if task.queue == self.task.queue and slots < 2:
            return task.limit is not None and task.limit <= self.starts_in < inf
        return self._ends_before(task) or (
            self.free.has(task.needs) and self.shared.has(task.needs)
        )

    def can_share(self, task: QueuedTask) -> bool:
        """Return True if a task of another pool does not delay the reserved task."""
        return self._ends_before(task) or self.shared.has(task.needs)

    def get_longest(self, needs: Amounts) -> float:
        """Return the longest expected time of a task of this pool that delays nothing.

        inf is any time, also an unknown one; -1 is none.
        """
        if self.free.has(needs) and self.shared.has(needs):
            return inf
        return self.starts_in if self.starts_in < inf else -1.0

    def admit(self, task: QueuedTask, is_own: bool) -> None:
        """Deduct the resources of a task that may still run when the reserved task starts."""
        if self._ends_before(task):
            return
        if is_own:
            self.free.change(task.needs, -1)
        self.shared.change(task.needs, -1)

    def _ends_before(self, task: QueuedTask) -> bool:
        return task.expected is not None and task.expected <= self.starts_in < inf


@dataclass(slots=True)
class PoolBudget:
    """Free resources of one pool during planning, and the reservation in it."""

    pool: PoolView
    free: FreeAmounts
    shared: "SharedBudget"
    ends: list[PendingRelease] = field(default_factory=list[PendingRelease])
    backfill: BackfillBudget | None = None

    def occupy(self, run: ActiveRun | QueuedTask, ends_in: float) -> None:
        """Deduct a run that holds resources of the pool; `ends_in` inf is unknown."""
        self.free.change(run.needs, -1)
        if self.shared.totals:
            self.shared.free.change(run.needs, -1)
        self.ends.append(PendingRelease(ends_in, run.needs, run.queue, True))

    def can_ever_fit(self, needs: Amounts) -> bool:
        """Return True if the request fits into the empty pool."""
        return _make_free(self.pool, self.shared.totals).has(needs) and self.shared.has_ever(needs)

    def has_free(self, needs: Amounts) -> bool:
        """Return True if the request fits now."""
        return self.free.has(needs) and (not self.shared.totals or self.shared.free.has(needs))

    def reserve(self, task: QueuedTask, slots: int) -> None:
        """Reserve resources for a task from the time when enough runs have ended.

        Without a free slot, reserve only if a slot becomes free before that time. A task that waits
        for a slot must not stop the other queues of its pool.
        """
        needs, starts_in = task.needs, 0.0
        free, shared = self.free.copy(), self.shared.free.copy()
        ends = [*self.ends, *self.shared.list_ends_beside(self, needs)]
        for end in sorted(ends, key=_get_ends_in):
            enough = free.has(needs) and shared.has(needs)
            if end.ends_in == inf or (enough and end.ends_in > starts_in):
                break
            starts_in = end.ends_in
            shared.change(end.needs, 1)
            if end.is_own:
                free.change(end.needs, 1)
        if not (free.has(needs) and shared.has(needs)):
            # A run with an unknown end may end next and let the task start. A later task may take
            # only resources that are free now and that the reserved task does not need.
            free, shared, starts_in = self.free.copy(), self.shared.free.copy(), inf
        if slots < 1 and starts_in < inf:
            slots += sum(e.queue == task.queue and e.ends_in < starts_in for e in self.ends)
        if slots >= 1:
            free.change(needs, -1)
            shared.change(needs, -1)
            self.backfill = BackfillBudget(task, starts_in, free, shared)


class SharedBudget:
    """Free amounts of the shared resources, and the budgets of the pools that use them."""

    def __init__(self, totals: Amounts, withheld: Sequence[Withheld] = ()) -> None:
        self.totals, self.free = totals, FreeAmounts(totals, inf)
        for one in withheld:
            self.free.change({one.resource: 1}, -1)
        self.budgets: list[PoolBudget] = []

    def has_ever(self, needs: Amounts) -> bool:
        """Return True if the request fits while nothing runs."""
        return FreeAmounts(self.totals, inf).has(needs)

    def list_ends_beside(self, budget: PoolBudget, needs: Amounts) -> list[PendingRelease]:
        """Return the ends in other pools that free a shared resource among the needs."""
        if not self._shares(needs):
            return []
        others = [one for one in self.budgets if one is not budget]
        return [
            end._replace(is_own=False)
            for one in others
            for end in one.ends
            if self._shares(end.needs)
        ]

    def list_backfills_beside(self, budget: PoolBudget, needs: Amounts) -> list[BackfillBudget]:
        """Return the reservations of other pools that a task with these needs may delay."""
        if not self._shares(needs):
            return []
        found = [one.backfill for one in self.budgets if one is not budget and one.backfill]
        return [one for one in found if self._shares(one.task.needs)]

    def _shares(self, needs: Amounts) -> bool:
        return any(needs.get(name) for name in self.totals)


def make_budgets(
    pools: Iterable[PoolView], shared: Amounts, withheld: Sequence[Withheld] = ()
) -> dict[str, PoolBudget]:
    """Return the budgets of pools in which nothing runs, by name."""
    common, found = SharedBudget(shared, withheld), dict[str, PoolBudget]()
    for pool in pools:
        beside = SharedBudget({}) if pool.is_outer else common
        found[pool.name] = PoolBudget(pool, _make_free(pool, shared), beside)
        beside.budgets.append(found[pool.name])
    return found


def _make_free(pool: PoolView, shared: Amounts) -> FreeAmounts:
    if pool.is_outer:
        return FreeAmounts({}, inf)
    return FreeAmounts({**dict.fromkeys(shared, inf), **pool.totals})


def _get_ends_in(end: PendingRelease) -> float:
    return end.ends_in


@dataclass(slots=True)
class DispatchDecision:
    """A decision with its details: pools, free slots by queue, and starts, best first."""

    budgets: dict[str, PoolBudget]
    slots: dict[str, int]
    starts: list[QueuedTask]
    limits: LimitBudget | None


def get_known_end(ends_in: float | None) -> float:
    """Return the seconds until a run ends, or inf if unknown or overdue."""
    return inf if ends_in is None or ends_in <= 0 else ends_in


def make_plan(view: DispatchView) -> Plan:
    """Decide which tasks start now and which get a reservation, in linear time."""
    decision = decide(view)
    return Plan(
        tuple(decision.starts),
        tuple(
            _make_reservation(r.backfill, r.pool.name)
            for r in decision.budgets.values()
            if r.backfill
        ),
    )


def decide(view: DispatchView) -> DispatchDecision:
    """Make the decision and return its details, for explanations."""
    budgets = make_budgets(view.pools, view.shared, view.withheld)
    budget_of = {queue.name: budgets[queue.pool] for queue in view.queues}
    slots = {queue.name: queue.capacity for queue in view.queues}
    for run in view.active:
        slots[run.queue] -= 1
        budget_of[run.queue].occupy(run, get_known_end(run.ends_in))
    limits = make_limit_budget(view)
    if limits:
        for run in view.active:
            ends_in = get_known_end(run.ends_in)
            limits.occupy(run, budget_of[run.queue].pool.name, ends_in)
    halted = view.halted is not None
    line = () if halted else order_tasks(view)
    kinds = map_kinds(line) if limits else None  # a task with limits takes 10 µs, a kind 1 µs
    starts = start_tasks(line, budget_of, slots, limits, kinds)
    return DispatchDecision(budgets, slots, starts, limits)


def make_limit_budget(
    view: DispatchView, now: float = 0.0, uses: dict[int, LimitUses] | None = None
) -> LimitBudget | None:
    """Return what limits and bookings leave at a time, before any run; None without any.

    `uses` keeps what tasks take of limits, by number, for the budgets of one view.
    """
    bookings = view.bookings
    beside = list_bounds(bookings, view.pools, view.shared, now) if bookings else ()
    return LimitBudget(view.limits, beside, uses) if view.limits or beside else None


def split_view(view: DispatchView) -> list[DispatchView]:
    """Return parts of a view that do not affect each other: one pool, or all pools that share.

    Pools share if they can use a shared resource, or have a task that a limit bounds.
    """
    bound = _find_bound_pools(view) if view.limits else ()
    linked = [
        pool
        for pool in view.pools
        if pool.name in bound
        or (not pool.is_outer and any(pool.totals.get(n, inf) for n in view.shared))
    ]
    alone = [(pool,) for pool in view.pools if pool not in linked]
    return [_make_part(view, pools) for pools in ([tuple(linked)] if linked else []) + alone]


def leave_out_outer(view: DispatchView) -> DispatchView:
    """Return a view in which no task of an outer pool starts: nothing here knows when one does."""
    outer = view.list_outer_queues()
    if not outer:
        return view
    return replace(
        view,
        queues=tuple(replace(one, waiting=()) if one.name in outer else one for one in view.queues),
        later=tuple(one for one in view.later if one.task.queue not in outer),
    )


def _find_bound_pools(view: DispatchView) -> set[str]:
    pool_of = {queue.name: queue.pool for queue in view.queues}
    tasks = [
        *(task for queue in view.queues for task in queue.waiting),
        *view.active,
        *(one.task for one in view.later),
    ]
    return {pool_of[task.queue] for task in tasks if task.subjects}


def _make_part(view: DispatchView, pools: tuple[PoolView, ...]) -> DispatchView:
    names = {pool.name for pool in pools}
    queues = tuple(queue for queue in view.queues if queue.pool in names)
    known = {queue.name for queue in queues}
    return replace(
        view,
        pools=pools,
        queues=queues,
        active=tuple(run for run in view.active if run.queue in known),
        later=tuple(one for one in view.later if one.task.queue in known),
        bookings=tuple(one for one in view.bookings if one.pool in names),
    )


def order_tasks(view: DispatchView, even_later: bool = False) -> Sequence[QueuedTask]:
    """Return the tasks of open queues in order.

    Tasks that have waited long come first, then queue priority, front, and policy decide. With
    `even_later`, also return those of queues that open at a later time.
    """
    pools = {pool.name: pool for pool in view.pools}
    candidates = [
        q
        for q in view.queues
        if q.waiting and is_open(q, pools[q.pool]) and (even_later or is_inside(q.windows))
    ]
    if len(candidates) == 1:
        return candidates[0].waiting
    priorities = {queue.name: queue.priority for queue in candidates}
    return sorted(
        (task for queue in candidates for task in queue.waiting),
        key=lambda task: get_line_key(task, priorities[task.queue]),
    )


def start_tasks(
    line: Iterable[QueuedTask],
    budgets: Mapping[str, PoolBudget],
    slots: dict[str, int],
    limits: LimitBudget | None = None,
    kinds: Mapping[int, int] | None = None,
) -> list[QueuedTask]:
    """Return the tasks of the ordered `line` that start now; deduct them from pools and slots.

    `budgets` and `slots` are by queue. With `kinds` (see `map_kinds`), tasks are passed over behind
    one of their kind that does not start.
    """
    full, stopped, started = set[str](), set[int](), list[QueuedTask]()
    for task in line:
        if task.queue in full or (kinds is not None and kinds[task.number] in stopped):
            continue
        if _try_start(task, budgets[task.queue], slots, full, limits):
            started.append(task)
        elif kinds is not None:
            stopped.add(kinds[task.number])
    return started


def map_kinds(tasks: Iterable[QueuedTask]) -> dict[int, int]:
    """Return {number: kind}. The decision knows tasks of one kind only by their order.

    What is free only shrinks within one decision. So behind a task that does not start, none of its
    kind starts.
    """
    known = dict[object, int]()
    return {
        task.number: known.setdefault(
            (task.queue, task.subjects, task.expected, task.limit, *task.needs.items()), len(known)
        )
        for task in tasks
    }


def get_sort_key(task: QueuedTask) -> tuple[bool, int, float, int]:
    """Return the sort key of a task in its queue."""
    rank = -task.priority if task.rank is None else task.rank
    return task.aged_since is None, -task.front, rank, task.number


def get_line_key(task: QueuedTask, priority: int) -> tuple[bool, int, int, float, int]:
    """Return the sort key of a task among those of all queues; `priority` is that of its queue."""
    is_young, front, rank, number = get_sort_key(task)
    return is_young, -priority, front, rank, number


def is_open(queue: QueueView, pool: PoolView) -> bool:
    """Return True if queue and pool are active; the queue may open at a later time."""
    return queue.status == ACTIVE and pool.is_active


def _try_start(
    task: QueuedTask,
    budget: PoolBudget,
    slots: dict[str, int],
    full: set[str],
    limits: LimitBudget | None,
) -> bool:
    """Start a task if allowed; reserve resources for the first one that does not fit.

    Add its queue to `full` if the queue has no free slot. So of a full queue, only the first task
    that no limit stops may get a reservation.
    """
    free = slots[task.queue]
    if limits is not None and _is_stopped(task, budget, free, limits):
        return False
    fits = budget.has_free(task.needs)
    if free < 1:
        full.add(task.queue)
    if not fits and budget.backfill is None and budget.can_ever_fit(task.needs):
        budget.reserve(task, free)
        if limits is not None and budget.backfill is not None:
            limits.keep(task, budget.pool.name, budget.backfill.starts_in)
    if free < 1 or not fits or not _try_backfill(task, budget, free, limits):
        return False
    slots[task.queue] = free - 1
    ends_in = inf if task.expected is None else task.expected
    budget.occupy(task, ends_in)
    if limits is not None:
        limits.occupy(task, budget.pool.name, ends_in)
    return True


def _is_stopped(task: QueuedTask, budget: PoolBudget, slots: int, limits: LimitBudget) -> bool:
    """Return True if limits or bookings stop a task, behind which later tasks may have to wait."""
    lacking = limits.find_lacking(task, budget.pool.name)
    if slots >= 1 and limits.has_no_first(lacking) and budget.can_ever_fit(task.needs):
        limits.add_first(task, budget.pool.name, lacking)
    return bool(lacking)


def _try_backfill(
    task: QueuedTask, budget: PoolBudget, slots: int, limits: LimitBudget | None
) -> bool:
    """Return True if a task delays no reserved task, and deduct what it needs beside them."""
    beside = _find_backfills(task, budget, slots, limits)
    if beside is None:
        return False
    if budget.backfill:
        budget.backfill.admit(task, is_own=True)
    for one in beside:
        one.admit(task, is_own=False)
    return True


def _find_backfills(
    task: QueuedTask, budget: PoolBudget, slots: int, limits: LimitBudget | None
) -> Sequence[BackfillBudget] | None:
    """Return the reservations of other pools that a task shares with, or None if it delays any."""
    if limits is not None and not limits.can_admit(task, budget.pool.name):
        return None
    if budget.backfill and not budget.backfill.can_admit(task, slots):
        return None
    beside = budget.shared.list_backfills_beside(budget, task.needs) if budget.shared.totals else ()
    return beside if all(one.can_share(task) for one in beside) else None


def can_start(task: QueuedTask, budget: PoolBudget, slots: int, limits: LimitBudget | None) -> bool:
    """Return True if a task of an open queue may start beside what a decision has started."""
    is_stopped = limits is not None and bool(limits.find_lacking(task, budget.pool.name))
    if slots < 1 or is_stopped or not budget.has_free(task.needs):
        return False
    return _find_backfills(task, budget, slots, limits) is not None


def _make_reservation(kept: BackfillBudget, pool: str) -> Reservation:
    task = kept.task
    starts_in = None if kept.starts_in == inf else kept.starts_in
    return Reservation(task.uuid, task.number, pool, starts_in, task.needs)
