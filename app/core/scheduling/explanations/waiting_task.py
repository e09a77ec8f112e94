"""A waiting task with the facts that explain why it waits."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core.scheduling.forecasts.forecast import Forecast, make_forecast
from app.core.scheduling.limits import LimitBudget
from app.core.scheduling.plan import (
    ACTIVE,
    ActiveRun,
    Amounts,
    DispatchView,
    PoolBudget,
    QueuedTask,
    QueueView,
    split_view,
)
from app.core.text.units import format_count, format_ordinal
from app.translation import tr
from db.states import SATISFYING, SKIPPED

_UNPAUSED = {"paused": "running"}


class ParentTask(NamedTuple):
    """A task that another task waits for.

    `kind` is success, any (for every end), failure (every other end than success) or start.
    `status` is paused if the processes of its run are.
    """

    number: int
    name: str
    status: str
    kind: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """State of the task to explain.

    Times are in seconds from now. `attempt` counts all attempts; `failures` counts those since the
    last manual retry. `subjects` are its tags and its group that limits bound.
    """

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    priority: int
    needs: Amounts
    held_by: str | None
    not_before_in: float | None
    not_before_text: str | None
    retry_in: float | None
    attempt: int
    failures: int
    retries: int
    parents: tuple[ParentTask, ...]
    subjects: tuple[str, ...] = ()
    oom_note: str = ""
    """Note on the memory of the next attempt, after a run that was killed for memory."""

    @property
    def last_attempt(self) -> int:
        """Number of the last automatic attempt."""
        return self.attempt + 1 + max(0, self.retries - self.failures)

    @property
    def unmet(self) -> list[ParentTask]:
        """Parents that the task still waits for."""
        return [
            parent
            for parent in self.parents
            if parent.status != SKIPPED
            and _UNPAUSED.get(parent.status, parent.status) not in SATISFYING[parent.kind]
        ]


class WaitReason(NamedTuple):
    """One reason for waiting: a stable code, a sentence, and a 44-cell form."""

    code: str
    text: str
    short: str
    subject: str = ""
    """The subject of a limit, for the code `limit`."""


class Explanation(NamedTuple):
    """All current reasons, most binding first, and the expected start.

    `expected_in` is a range in seconds, None if unknown. `before` counts the tasks of the queue
    that go first, if the task is too far back for a forecast.
    """

    reasons: tuple[WaitReason, ...]
    expected_in: tuple[float, float] | None
    before: int | None = None

    @property
    def starts_in(self) -> float | None:
        """Expected start in seconds; None if the range has only an upper bound."""
        if self.expected_in is None:
            return None
        soonest, latest = self.expected_in
        return None if soonest == 0 < latest else soonest


Forecaster = Callable[[DispatchView], Forecast]
"""Function that returns the forecast of a part of a view."""


def simulate_until(numbers: Collection[int], part: DispatchView) -> Forecast:
    """Simulate a part of a view until those of its waiting tasks that have these numbers start."""
    waiting = {task.number for queue in part.queues for task in queue.waiting}
    waiting |= {later.task.number for later in part.later}
    return make_forecast(part, waiting.intersection(numbers))


def skip_forecast(part: DispatchView) -> Forecast:
    """Return an empty forecast, for readers that need only reasons: a simulation takes long."""
    return Forecast({}, {}, {}, {})


@dataclass(slots=True)
class PlanContext:
    """A dispatch view and its plan, computed once for all tasks to explain.

    `numbers` holds the numbers of these tasks, of their parents, and of the reserved tasks.
    """

    view: DispatchView
    numbers: frozenset[int]
    queues: dict[str, QueueView]
    budgets: dict[str, PoolBudget]
    slots: dict[str, int]
    starts: dict[str, QueuedTask]
    holders: dict[str, list[ActiveRun]]
    """Active runs by pool, earliest expected end first."""
    limits: LimitBudget | None = None
    """Amounts of limits that the plan leaves."""
    forecaster: Forecaster | None = None
    """Source of forecasts shared by several readers; by default, only these tasks are simulated."""
    forecasts: dict[str, Forecast] = field(default_factory=dict[str, Forecast])
    _parts: list[DispatchView] = field(init=False)

    def __post_init__(self) -> None:
        self._parts = split_view(self.view)

    def get_forecast(self, pool: str) -> Forecast:
        """Return the forecast of a pool, with those of the pools that share resources with it."""
        if pool not in self.forecasts:
            names = {view.name: part for part in self._parts for view in part.pools}
            part = names[pool]
            found = self.forecaster(part) if self.forecaster else simulate_until(self.numbers, part)
            self.forecasts |= {one.name: found for one in part.pools}
        return self.forecasts[pool]


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """One waiting task with its queue, its pool and its position."""

    context: PlanContext
    subject: TaskState
    position: int | None
    queue: QueueView
    budget: PoolBudget
    holders: list[ActiveRun]

    @property
    def is_open(self) -> bool:
        """True if queue and pool are both active."""
        return self.queue.status == ACTIVE and self.budget.pool.is_active

    @property
    def index(self) -> int | None:
        """Position among the queue's tasks in the view; None if it is beyond the view."""
        return next(
            (i for i, task in enumerate(self.queue.waiting) if task.uuid == self.subject.uuid), None
        )

    @property
    def place(self) -> int | None:
        """Place in the queue; None if it is beyond the first tasks, which the view has all."""
        at, gap = self.index, self.queue.first_gap
        return None if at is None or (gap is not None and at >= gap) else at

    @property
    def load(self) -> int:
        """Number of active runs in the task's queue."""
        return sum(run.queue == self.queue.name for run in self.holders)

    @property
    def is_full(self) -> bool:
        """True if the task's queue has no free slot."""
        return self.load >= self.queue.capacity

    def format_position(self, word: Callable[[int], str] = format_ordinal) -> str | None:
        """Format the position in the queue: `first of 14`; None if it is the only task."""
        if self.position is None:
            return None
        total = max(self.queue.waiting_total, self.position + 1)
        nth = word(self.position + 1)
        return tr("{nth} of {total}", nth=nth, total=format_count(total)) if total > 1 else None
