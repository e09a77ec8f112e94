"""Dispatch decision: the tasks that start now, and the task with a reservation in each pool.

EASY backfilling (Lifka 1995) on two resources. The first task in order that does not fit its pool
gets a reservation at the time when enough runs will have ended. A later task starts earlier only if
it ends by then or fits beside the reserved task. Each pool has one reservation. A task of the
reserved task's queue takes the last slot of that queue only if its limit ends it by then. The first
task of a full queue gets a reservation, too, if a slot is free before the resources are.

Pools share nothing, so each is planned separately. Times are seconds from now as floats, memory is
MiB, CPU is cores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

# Sums of tenths drift by 1e-15 per step. Nobody requests a millionth of a core or of a MiB.
EPSILON = 1e-6

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool: total cores and MiB. `status` is active, paused or draining."""

    name: str
    total_cpu: float
    total_memory: float
    status: str


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task that may start now.

    `expected` is the run time in seconds that the plan counts on; None is unbounded. `likely` holds
    equally likely run times from past runs, for forecasts only. `limit` is the timeout.
    """

    uuid: str
    number: int
    name: str
    queue: str
    priority: int
    front: int
    cpu: float
    memory: float
    expected: float | None
    limit: float | None = None
    likely: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue with its first waiting tasks, ordered by front, priority and number.

    `waiting_total` includes tasks beyond `waiting`. `paused_since` is in UNIX seconds. If `storing`
    is not 0, `waiting` ends before a bulk submission of that many tasks, which is being stored.
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


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that holds resources.

    `ends_in` is None if unknown, and 0 or negative if overdue. `limit` and `likely` are as in
    `QueuedTask`, in seconds from now. `began` is in UNIX seconds.
    """

    number: int
    name: str
    queue: str
    cpu: float
    memory: float
    ends_in: float | None
    limit: float | None = None
    likely: tuple[float, ...] = ()
    began: float | None = None


@dataclass(frozen=True, slots=True)
class LaterTask:
    """A task that joins its queue once its parents have ended, and not before `due_in` seconds."""

    task: QueuedTask
    due_in: float
    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DispatchView:
    """Complete input of the decision.

    The pool of every queue and the queue of every run must be present. `halted` is the reason why
    nothing starts. `now` (UNIX seconds) is used to format dates, and `later` for forecasts.
    """

    pools: tuple[PoolView, ...]
    queues: tuple[QueueView, ...]
    active: tuple[ActiveRun, ...]
    halted: str | None
    now: float | None = None
    later: tuple[LaterTask, ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Resources of a pool reserved for one task from `starts_in` on (None: unknown)."""

    uuid: str
    number: int
    pool: str
    starts_in: float | None
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks that start now, best first, and the reservations."""

    starts: tuple[QueuedTask, ...]
    reservations: tuple[Reservation, ...]


class PendingRelease(NamedTuple):
    """Resources and a slot that become free in `ends_in` seconds (inf: unknown)."""

    ends_in: float
    cpu: float
    memory: float
    queue: str


@dataclass(slots=True)
class BackfillBudget:
    """Resources that remain free beside the reserved task once it starts."""

    task: QueuedTask
    starts_in: float
    cpu: float
    memory: float

    def try_admit(self, task: QueuedTask, slots: int) -> bool:
        """Return True if the task does not delay the reserved task.

        Deduct the resources of a task that may still run when the reserved task starts.
        """
        if task.queue == self.task.queue and slots < 2:
            return task.limit is not None and task.limit <= self.starts_in < inf
        if task.expected is not None and task.expected <= self.starts_in < inf:
            return True
        if not (can_fit(task.cpu, self.cpu) and can_fit(task.memory, self.memory)):
            return False
        self.cpu -= task.cpu
        self.memory -= task.memory
        return True


@dataclass(slots=True)
class PoolBudget:
    """Free resources of one pool during planning, and the reservation in it."""

    pool: PoolView
    cpu: float
    memory: float
    ends: list[PendingRelease] = field(default_factory=list[PendingRelease])
    backfill: BackfillBudget | None = None

    def occupy(self, run: ActiveRun | QueuedTask, ends_in: float) -> None:
        """Deduct a run that holds resources of the pool; `ends_in` inf is unknown."""
        self.cpu -= run.cpu
        self.memory -= run.memory
        self.ends.append(PendingRelease(ends_in, run.cpu, run.memory, run.queue))

    def can_ever_fit(self, cpu: float, memory: float) -> bool:
        """Return True if the request fits into the empty pool."""
        return can_fit(cpu, self.pool.total_cpu) and can_fit(memory, self.pool.total_memory)

    def has_free(self, cpu: float, memory: float) -> bool:
        """Return True if the request fits now."""
        return can_fit(cpu, self.cpu) and can_fit(memory, self.memory)

    def reserve(self, task: QueuedTask, slots: int) -> None:
        """Reserve resources for a task from the time when enough runs have ended.

        Without a free slot, reserve only if a slot becomes free before that time. A task that waits
        for a slot must not stop the other queues of its pool.
        """
        cpu, memory, starts_in = self.cpu, self.memory, 0.0
        for end in sorted(self.ends):
            enough = can_fit(task.cpu, cpu) and can_fit(task.memory, memory)
            if end.ends_in == inf or (enough and end.ends_in > starts_in):
                break
            cpu, memory, starts_in = cpu + end.cpu, memory + end.memory, end.ends_in
        if not (can_fit(task.cpu, cpu) and can_fit(task.memory, memory)):
            # A run with an unknown end may end next and let the task start. A later task may take
            # only resources that are free now and that the reserved task does not need.
            cpu, memory, starts_in = self.cpu, self.memory, inf
        if slots < 1 and starts_in < inf:
            slots += sum(e.queue == task.queue and e.ends_in < starts_in for e in self.ends)
        if slots >= 1:
            self.backfill = BackfillBudget(task, starts_in, cpu - task.cpu, memory - task.memory)


@dataclass(slots=True)
class DispatchDecision:
    """A decision with its details: pools, free slots by queue, and starts, best first."""

    budgets: dict[str, PoolBudget]
    slots: dict[str, int]
    starts: list[QueuedTask]


def get_known_end(ends_in: float | None) -> float:
    """Return the seconds until a run ends, or inf if unknown or overdue."""
    return inf if ends_in is None or ends_in <= 0 else ends_in


def can_fit(need: float, free: float) -> bool:
    """Return True if `need` is free.

    A need of 0 always fits, even into an overcommitted pool.
    """
    return need <= free + EPSILON or need == 0


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
    rooms = {pool.name: PoolBudget(pool, pool.total_cpu, pool.total_memory) for pool in view.pools}
    room_of = {queue.name: rooms[queue.pool] for queue in view.queues}
    slots = {queue.name: queue.capacity for queue in view.queues}
    for run in view.active:
        slots[run.queue] -= 1
        room_of[run.queue].occupy(run, get_known_end(run.ends_in))
    starts = [] if view.halted is not None else start_tasks(order_tasks(view), room_of, slots)
    return DispatchDecision(rooms, slots, starts)


def order_tasks(view: DispatchView) -> Sequence[QueuedTask]:
    """Return the tasks of open queues, by queue priority, front, priority and age."""
    pools = {pool.name: pool for pool in view.pools}
    candidates = [q for q in view.queues if q.waiting and is_open(q, pools[q.pool])]
    if len(candidates) == 1:
        return candidates[0].waiting
    priorities = {queue.name: queue.priority for queue in candidates}
    return sorted(
        (task for queue in candidates for task in queue.waiting),
        key=lambda task: (-priorities[task.queue], get_sort_key(task)),
    )


def start_tasks(
    line: Iterable[QueuedTask], rooms: Mapping[str, PoolBudget], slots: dict[str, int]
) -> list[QueuedTask]:
    """Return the tasks of the ordered `line` that start now; deduct them from pools and slots.

    `rooms` and `slots` are by queue.
    """
    full = set[str]()
    return [
        task
        for task in line
        if task.queue not in full and _try_start(task, rooms[task.queue], slots, full)
    ]


def get_sort_key(task: QueuedTask) -> tuple[int, int, int]:
    """Return the sort key of a task among queues of the same priority."""
    return -task.front, -task.priority, task.number


def is_open(queue: QueueView, pool: PoolView) -> bool:
    """Return True if queue and pool are active."""
    return queue.status == ACTIVE and pool.status == ACTIVE


def _try_start(task: QueuedTask, room: PoolBudget, slots: dict[str, int], full: set[str]) -> bool:
    """Start a task if allowed; reserve resources for the first one that does not fit.

    Add its queue to `full` if the queue has no free slot. Of a full queue only the first task gets
    here, so only that task may get a reservation.
    """
    free, fits = slots[task.queue], room.has_free(task.cpu, task.memory)
    if free < 1:
        full.add(task.queue)
    if not fits and room.backfill is None and room.can_ever_fit(task.cpu, task.memory):
        room.reserve(task, free)
    if free < 1 or not fits or (room.backfill and not room.backfill.try_admit(task, free)):
        return False
    slots[task.queue] = free - 1
    room.occupy(task, inf if task.expected is None else task.expected)
    return True


def _make_reservation(kept: BackfillBudget, pool: str) -> Reservation:
    task = kept.task
    starts_in = None if kept.starts_in == inf else kept.starts_in
    return Reservation(task.uuid, task.number, pool, starts_in, task.cpu, task.memory)
