"""A waiting task before the plan: what is asked, what is answered, and the facts between."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core.scheduling.forecast import DECISIONS, Foreseen, foresee
from app.core.scheduling.plan import ACTIVE, Active, QueueView, Room, View, Waiting
from app.core.text.units import count, ordinal
from db.states import ENDED, Task


class Parent(NamedTuple):
    """A task that another waits for: `kind` is success, or any for however it ends."""

    number: int
    name: str
    status: str
    kind: str


_MET = {"success": frozenset({Task.SUCCEEDED}), "any": ENDED}
"""By kind of dependency: the states of the parent that end the waiting."""


@dataclass(frozen=True, slots=True)
class Subject:
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
    parents: tuple[Parent, ...]
    aside: bool = False

    @property
    def last_attempt(self) -> int:
        """The number of the last attempt that it may make by itself, if the next one is."""
        return self.attempt + 1 + max(0, self.retries - self.failures)

    @property
    def unmet(self) -> list[Parent]:
        """The parents that it still waits for."""
        return [parent for parent in self.parents if parent.status not in _MET[parent.kind]]


class Reason(NamedTuple):
    """One reason: a stable code, a sentence, and a form of it that fits 44 cells."""

    code: str
    text: str
    short: str


class Why(NamedTuple):
    """All reasons that hold now, most binding first, and the range of seconds in which it may start (None: unknown)."""

    reasons: tuple[Reason, ...]
    expected_in: tuple[float, float] | None

    @property
    def starts_in(self) -> float | None:
        """The range as one figure; None for one that only says by when."""
        if self.expected_in is None:
            return None
        soonest, latest = self.expected_in
        return None if soonest == 0 < latest else soonest


@dataclass(slots=True)
class Scene:
    """A view with what follows from it, worked out once for all tasks that are asked about."""

    view: View
    wanted: frozenset[int]
    queues: dict[str, QueueView]
    rooms: dict[str, Room]
    slots: dict[str, int]
    starts: dict[str, Waiting]
    holders: dict[str, list[Active]]
    """Active runs by pool, the soonest to end first."""
    decisions: int = DECISIONS
    """How far it is looked ahead."""
    futures: dict[str, Foreseen] = field(default_factory=dict)

    def future(self, pool: str) -> Foreseen:
        """What is foreseen for a pool; the pools share nothing."""
        if pool not in self.futures:
            queues = tuple(queue for queue in self.view.queues if queue.pool == pool)
            mine = {task.number for queue in queues for task in queue.waiting}
            alone = View((self.rooms[pool].pool,), queues, tuple(self.holders[pool]), self.view.halted)
            self.futures[pool] = foresee(alone, self.wanted & mine, self.decisions)
        return self.futures[pool]


@dataclass(frozen=True, slots=True)
class Case:
    """One task with where it stands."""

    scene: Scene
    subject: Subject
    position: int | None
    queue: QueueView
    room: Room
    holders: list[Active]

    @property
    def open(self) -> bool:
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
    def full(self) -> bool:
        """Whether the task's queue has no free slot."""
        return self.load >= self.queue.capacity

    def place(self, word: Callable[[int], str] = ordinal) -> str | None:
        """`first of 14`."""
        if self.position is None:
            return None
        return f"{word(self.position + 1)} of {count(max(self.queue.waiting_total, self.position + 1))}"
