"""A waiting task before the plan: what is asked, what is answered, and the facts between."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core.scheduling.forecast import MAX_DECISIONS, Forecast, make_forecast
from app.core.scheduling.plan import ACTIVE, ActiveRun, DispatchView, PoolBudget, QueuedTask, QueueView
from app.core.text.units import format_count, format_ordinal
from db.states import ENDED, TaskStatus


class ParentTask(NamedTuple):
    """A task that another waits for: `kind` is success, or any for however it ends."""

    number: int
    name: str
    status: str
    kind: str


_SATISFYING_STATES = {"success": frozenset({TaskStatus.SUCCEEDED}), "any": ENDED}
"""By kind of dependency: the states of the parent that end the waiting."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """The task that is asked about. Seconds are from now; `attempt` counts the attempts made so far, `failures` those since a person last
    had it run again; `aside`: it is held since it cannot be read, which no release mends."""

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    priority: int
    cpu: float
    memory: float
    held_by: str | None
    not_before_in: float | None
    not_before_text: str | None
    retry_in: float | None
    attempt: int
    failures: int
    retries: int
    parents: tuple[ParentTask, ...]
    aside: bool = False

    @property
    def last_attempt(self) -> int:
        """The number of the last attempt that it may make by itself, if the next one is."""
        return self.attempt + 1 + max(0, self.retries - self.failures)

    @property
    def unmet(self) -> list[ParentTask]:
        """The parents that it still waits for."""
        return [parent for parent in self.parents if parent.status not in _SATISFYING_STATES[parent.kind]]


class WaitReason(NamedTuple):
    """One reason: a stable code, a sentence, and a form of it that fits 44 cells."""

    code: str
    text: str
    short: str


class Explanation(NamedTuple):
    """All reasons that hold now, most binding first, and the range of seconds in which it may start (None: unknown)."""

    reasons: tuple[WaitReason, ...]
    expected_in: tuple[float, float] | None

    @property
    def starts_in(self) -> float | None:
        """The range as one figure; None for one that only says by when."""
        if self.expected_in is None:
            return None
        soonest, latest = self.expected_in
        return None if soonest == 0 < latest else soonest


@dataclass(slots=True)
class PlanContext:
    """A view with what follows from it, worked out once for all tasks that are asked about."""

    view: DispatchView
    wanted: frozenset[int]
    queues: dict[str, QueueView]
    rooms: dict[str, PoolBudget]
    slots: dict[str, int]
    starts: dict[str, QueuedTask]
    holders: dict[str, list[ActiveRun]]
    """Active runs by pool, the soonest to end first."""
    decisions: int = MAX_DECISIONS
    """How far it is looked ahead."""
    futures: dict[str, Forecast] = field(default_factory=dict)

    def get_forecast(self, pool: str) -> Forecast:
        """What is foreseen for a pool; the pools share nothing."""
        if pool not in self.futures:
            queues = tuple(queue for queue in self.view.queues if queue.pool == pool)
            mine = {task.number for queue in queues for task in queue.waiting}
            alone = DispatchView((self.rooms[pool].pool,), queues, tuple(self.holders[pool]), self.view.halted)
            self.futures[pool] = make_forecast(alone, self.wanted & mine, self.decisions)
        return self.futures[pool]


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """One task with where it stands."""

    scene: PlanContext
    subject: TaskState
    position: int | None
    queue: QueueView
    room: PoolBudget
    holders: list[ActiveRun]

    @property
    def is_open(self) -> bool:
        """Whether queue and pool start anything at all."""
        return self.queue.status == ACTIVE and self.room.pool.status == ACTIVE

    @property
    def index(self) -> int | None:
        """Its place among the tasks in view, None when it lies beyond."""
        return next((i for i, task in enumerate(self.queue.waiting) if task.uuid == self.subject.uuid), None)

    @property
    def load(self) -> int:
        """Runs of the task's queue."""
        return sum(run.queue == self.queue.name for run in self.holders)

    @property
    def is_full(self) -> bool:
        """Whether the task's queue has no free slot."""
        return self.load >= self.queue.capacity

    def format_position(self, word: Callable[[int], str] = format_ordinal) -> str | None:
        """`first of 14`."""
        if self.position is None:
            return None
        return f"{word(self.position + 1)} of {format_count(max(self.queue.waiting_total, self.position + 1))}"
