"""The dispatch decision: which waiting tasks start now, and which task has a place reserved.

EASY backfilling (Lifka 1995) on two resources: the first task in order that does not fit its pool gets a place at the
moment enough runs will have ended; a later task starts before it only if it ends by then, or fits beside it for good.
One place a pool. Tasks of the reserved task's own queue leave it a slot too: with its queue full it would no longer be
the first that could start, and would lose its place.

Pools share nothing, so each is planned by itself. Seconds are floats from now; memory is MiB, cpu is cores.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from math import inf
from typing import NamedTuple

# Sums of tenths drift by 1e-15 a step; a millionth of a core or of a MiB is nothing that anybody asks for.
EPSILON = 1e-6

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool: cores and MiB in all; status is active, paused or draining."""

    name: str
    total_cpu: float
    total_memory: float
    status: str


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task that may start now. `expected` is its run time in seconds; None is unbounded.

    `known`: past runs say so; else it is only the limit. `limit` is when it is stopped.
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
    known: bool = True
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue with the first of its waiting tasks, in its order (front, priority, number).

    `waiting_total` counts beyond `waiting`; `paused_since` is UNIX seconds.
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


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that holds resources. `ends_in` None is unknown; at or below 0 it is overdue: no longer known.

    `known` and `limit`, in seconds from now, as those of `Waiting`.
    """

    number: int
    name: str
    queue: str
    cpu: float
    memory: float
    ends_in: float | None
    known: bool = True
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class DispatchView:
    """Everything that decides. Must hold the pool of every queue and the queue of every active run.

    `halted` is a sentence why nothing starts at all. `now` (UNIX seconds) only helps to write dates.
    """

    pools: tuple[PoolView, ...]
    queues: tuple[QueueView, ...]
    active: tuple[ActiveRun, ...]
    halted: str | None
    now: float | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The place kept for one task: when (None: unknown), and how much of which pool."""

    uuid: str
    number: int
    pool: str
    starts_in: float | None
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What starts now, best first, and the place kept in each pool that has no room for its first task."""

    starts: tuple[QueuedTask, ...]
    reservations: tuple[Reservation, ...]


class PendingRelease(NamedTuple):
    """What comes free in how many seconds (inf: unknown)."""

    ends_in: float
    cpu: float
    memory: float


@dataclass(slots=True)
class BackfillBudget:
    """What may be taken for good without delaying the reserved task: what is free beside it at its start."""

    task: QueuedTask
    starts_in: float
    cpu: float
    memory: float

    def admits(self, task: QueuedTask, slots: int) -> bool:
        """Whether the task delays the reserved one by nothing; what it takes for good is then taken."""
        if task.queue == self.task.queue and slots < 2:
            return False
        if task.expected is not None and task.expected <= self.starts_in < inf:
            return True
        if not (can_fit(task.cpu, self.cpu) and can_fit(task.memory, self.memory)):
            return False
        self.cpu -= task.cpu
        self.memory -= task.memory
        return True


@dataclass(slots=True)
class PoolBudget:
    """What is left of one pool while its plan is made, and the place kept in it."""

    pool: PoolView
    cpu: float
    memory: float
    ends: list[PendingRelease] = field(default_factory=list)
    kept: BackfillBudget | None = None

    def occupy(self, cpu: float, memory: float, ends_in: float) -> None:
        """Count a run that holds resources of this pool; `ends_in` inf is unknown."""
        self.cpu -= cpu
        self.memory -= memory
        self.ends.append(PendingRelease(ends_in, cpu, memory))

    def can_ever_fit(self, cpu: float, memory: float) -> bool:
        """Whether that much would fit if the pool were empty."""
        return can_fit(cpu, self.pool.total_cpu) and can_fit(memory, self.pool.total_memory)

    def has_free(self, cpu: float, memory: float) -> bool:
        """Whether that much is free now."""
        return can_fit(cpu, self.cpu) and can_fit(memory, self.memory)

    def reserve(self, task: QueuedTask) -> None:
        """Keep a place for a task that does not fit, at the first moment when enough known ends have passed."""
        cpu, memory, starts_in = self.cpu, self.memory, 0.0
        for end in sorted(self.ends):
            enough = can_fit(task.cpu, cpu) and can_fit(task.memory, memory)
            if end.ends_in == inf or (enough and end.ends_in > starts_in):
                break
            cpu, memory, starts_in = cpu + end.cpu, memory + end.memory, end.ends_in
        if not (can_fit(task.cpu, cpu) and can_fit(task.memory, memory)):
            # A run without a known end may end next, before all others: only what is free beside the task even then,
            # or what the task does not use, may be taken.
            cpu, memory, starts_in = self.cpu, self.memory, inf
        self.kept = BackfillBudget(task, starts_in, cpu - task.cpu, memory - task.memory)


@dataclass(slots=True)
class DispatchDecision:
    """A plan with what it left over: rooms by pool, free slots by queue, and the starts, best first."""

    rooms: dict[str, PoolBudget]
    slots: dict[str, int]
    starts: list[QueuedTask]


def get_known_end(ends_in: float | None) -> float:
    """Seconds until a run ends; inf when that is not known, or was wrong."""
    return inf if ends_in is None or ends_in <= 0 else ends_in


def can_fit(need: float, free: float) -> bool:
    """Whether that much is free. Nothing always fits, even into a pool that was shrunk below its use."""
    return need <= free + EPSILON or need == 0


def make_plan(view: DispatchView) -> Plan:
    """Decide what starts now, and which tasks have a place reserved. Linear in the waiting tasks in view."""
    done = decide(view)
    return Plan(tuple(done.starts), tuple(_make_reservation(r.kept, r.pool.name) for r in done.rooms.values() if r.kept))


def decide(view: DispatchView) -> DispatchDecision:
    """The decision with what it left over, for those who explain it."""
    rooms = {pool.name: PoolBudget(pool, pool.total_cpu, pool.total_memory) for pool in view.pools}
    room_of = {queue.name: rooms[queue.pool] for queue in view.queues}
    slots = {queue.name: queue.capacity for queue in view.queues}
    for run in view.active:
        slots[run.queue] -= 1
        room_of[run.queue].occupy(run.cpu, run.memory, get_known_end(run.ends_in))
    starts = [task for task in _iterate_candidates(view, rooms, slots) if _try_start(task, room_of[task.queue], slots)]
    return DispatchDecision(rooms, slots, starts)


def _iterate_candidates(view: DispatchView, rooms: dict[str, PoolBudget], slots: dict[str, int]) -> Iterator[QueuedTask]:
    """The tasks of open queues with a free slot: queue priority, front, priority, age."""
    if view.halted is not None:
        return
    candidates = [q for q in view.queues if is_open(q, rooms[q.pool].pool) and q.waiting and slots[q.name] >= 1]
    candidates.sort(key=lambda queue: -queue.priority)
    for _, level in groupby(candidates, key=lambda queue: queue.priority):
        yield from _merge([queue.waiting for queue in level])


def _merge(lines: list[tuple[QueuedTask, ...]]) -> Iterable[QueuedTask]:
    return lines[0] if len(lines) == 1 else sorted(chain.from_iterable(lines), key=get_sort_key)


def get_sort_key(task: QueuedTask) -> tuple[int, int, int]:
    """Where a task stands among those of queues of one priority: smaller is earlier."""
    return -task.front, -task.priority, task.number


def is_open(queue: QueueView, pool: PoolView) -> bool:
    """Whether tasks of the queue may start as far as somebody's word goes."""
    return queue.status == ACTIVE and pool.status == ACTIVE


def _try_start(task: QueuedTask, room: PoolBudget, slots: dict[str, int]) -> bool:
    """Take the room and the slot for a task that may start; keep a place for the first that does not fit."""
    free = slots[task.queue]
    if free < 1:
        return False
    if not room.has_free(task.cpu, task.memory):
        if room.kept is None and room.can_ever_fit(task.cpu, task.memory):
            room.reserve(task)
        return False
    if room.kept is not None and not room.kept.admits(task, free):
        return False
    slots[task.queue] = free - 1
    room.occupy(task.cpu, task.memory, inf if task.expected is None else task.expected)
    return True


def _make_reservation(kept: BackfillBudget, pool: str) -> Reservation:
    task = kept.task
    starts_in = None if kept.starts_in == inf else kept.starts_in
    return Reservation(task.uuid, task.number, pool, starts_in, task.cpu, task.memory)
