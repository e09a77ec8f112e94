"""Replay of a job trace in virtual time: jobs arrive, the plan decides, runs end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, inf

from app.core.scheduling.order import PRIORITY, compute_rank
from app.core.scheduling.plan import (
    ActiveRun,
    Amounts,
    DispatchView,
    FreeAmounts,
    PendingRelease,
    PoolView,
    QueuedTask,
    QueueView,
    make_budgets,
    start_tasks,
)
from tests.trials.replays.waiting_line import SortKey, WaitingLine

USER, PERFECT = ESTIMATES = ("user", "perfect")

BRIEF_RUN = 10.0
"""Shorter runs count as 10 seconds in the bounded slowdown."""


@dataclass(frozen=True, slots=True)
class TraceJob:
    """Job of a trace, in seconds. `limit` is the run time that its user requested, if any."""

    number: int
    submit: float
    run: float
    limit: float | None
    needs: Amounts
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Order of the tasks, their estimates, and whether later tasks may go first.

    The users' estimate of a job without one is its actual run time, as in published replays. After
    `ageing` seconds the job that has waited longest goes first, as in a pool; 0 is never.
    """

    policy: str = PRIORITY
    estimates: str = USER
    backfills: bool = True
    ageing: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    """Figures of a replay, in seconds; `utilisation` is by resource, 0 to 1.

    The bounded slowdown of a job is (wait + run) / run, with runs of at least 10 s, and at least 1.
    The longest wait is that of job `longest_number`. `makespan` is from first submit to last end.
    """

    jobs: int
    mean_wait: float
    p95_wait: float
    longest_wait: float
    longest_number: int | None
    mean_slowdown: float
    makespan: float
    utilisation: Mapping[str, float]


@dataclass(slots=True)
class _Running:
    """A started job: its task, and when it ends and is expected to end."""

    task: QueuedTask
    ends: float
    due: float


class TraceReplay:
    """Jobs that run through one queue of one pool, with a decision at each submit and each end."""

    def __init__(
        self, jobs: Iterable[TraceJob], totals: Amounts, options: ReplayOptions | None = None
    ) -> None:
        """Prepare a replay. Each job must fit into the empty pool."""
        self.jobs = sorted(jobs, key=lambda job: (job.submit, job.number))
        self.totals, self.options = totals, options or ReplayOptions()
        self.starts: dict[int, float] = {}
        """Start by position in `jobs`."""
        self.now = self.jobs[0].submit if self.jobs else 0.0
        self._pool = PoolView("pool", totals, "active")
        self._free = FreeAmounts(totals)
        self._line = WaitingLine()
        self._running: dict[int, _Running] = {}
        self._ends: list[tuple[float, int]] = []
        self._arrived = 0
        self._oldest = 0
        """Position of the first job that has not started."""
        self._aged: int | None = None
        """Position of the job that goes first, or went first last."""

    def __iter__(self) -> Iterator[list[QueuedTask]]:
        """Yield the tasks that start, decision by decision, to the end of the trace."""
        while self.advance():
            yield self.start()

    @property
    def done(self) -> int:
        """Number of jobs that have started."""
        return len(self.starts)

    def advance(self) -> bool:
        """Move to the next end or submit; return False after the last one."""
        arrives = self.jobs[self._arrived].submit if self._arrived < len(self.jobs) else inf
        ends = self._ends[0][0] if self._ends else inf
        if arrives == ends == inf:
            return False
        self.now = min(arrives, ends)
        if ends <= arrives:
            for number in self._pop_ended():
                self._free.change(self._running.pop(number).task.needs, 1)
            if not self._running:  # no rounding error of sums lasts
                self._free = FreeAmounts(self.totals)
            self._age_oldest()
            return True
        while self._arrived < len(self.jobs) and self.jobs[self._arrived].submit <= self.now:
            self._line.add(self._make_key(self._arrived), self._make_task(self._arrived))
            self._arrived += 1
        self._age_oldest()
        return True

    def _age_oldest(self) -> None:
        """Let the job that has waited longest go first if it is old, unless an old job runs."""
        ageing = self.options.ageing
        while ageing and self._oldest in self.starts:
            self._oldest += 1
        at = self._oldest
        if not ageing or at >= self._arrived or at == self._aged:
            return
        if self.now - self.jobs[at].submit <= ageing or self._has_aged_run(at, ageing):
            return
        task = self._make_task(at)
        self._line.remove(self._make_key(at), task)
        self._aged = at
        self._line.add(self._make_key(at), task)

    def _has_aged_run(self, oldest: int, ageing: float) -> bool:
        """Return True if an older job runs that had waited as long, and has not run as long."""
        return any(
            at < oldest
            and self.starts[at] - self.jobs[at].submit > ageing
            and self.now - self.starts[at] < ageing
            for at in self._running
        )

    def start(self) -> list[QueuedTask]:
        """Start the tasks that the plan chooses, and return them."""
        budget = make_budgets([self._pool], {})[self._pool.name]
        budget.free = self._free.copy()
        line = self._line.find_open(budget)
        if not line.has_candidates():
            return []
        budget.ends = [
            PendingRelease(
                one.due - self.now if one.due > self.now else inf, one.task.needs, "", True
            )
            for one in self._running.values()
        ]
        tasks = line.walk(self.options.backfills)
        chosen = start_tasks(tasks, {"queue": budget}, {"queue": len(self._line) + 1})
        for task in chosen:
            self._begin(task)
        return chosen

    def make_view(self) -> DispatchView:
        """Return the input of a plan over all waiting tasks."""
        waiting = tuple(self._line)
        active = tuple(
            ActiveRun(number, "", "queue", one.task.needs, one.due - self.now)
            for number, one in self._running.items()
        )
        capacity = len(waiting) + len(active) + 1
        queue = QueueView("queue", "pool", capacity, 0, "active", waiting, len(waiting), None, None)
        return DispatchView((self._pool,), (queue,), active, None)

    def _begin(self, task: QueuedTask) -> None:
        self._line.remove(self._make_key(task.number), task)
        self._free.change(task.needs, -1)
        self.starts[task.number] = self.now
        ends = self.now + self.jobs[task.number].run
        due = self.now + self._estimate(self.jobs[task.number])
        self._running[task.number] = _Running(task, ends, due)
        heappush(self._ends, (ends, task.number))

    def _pop_ended(self) -> list[int]:
        """Return the first run that ends now, and all that end now as expected.

        An unexpected end is an event of its own, and several expected ends are one.
        """
        gone, left = [heappop(self._ends)[1]], list[tuple[float, int]]()
        while self._ends and self._ends[0][0] <= self.now:
            end = heappop(self._ends)
            if self._running[end[1]].due <= self.now:
                gone.append(end[1])
            else:
                left.append(end)
        for end in left:
            heappush(self._ends, end)
        return gone

    def _make_task(self, at: int) -> QueuedTask:
        job = self.jobs[at]
        expected = self._estimate(job)
        return QueuedTask(str(at), at, "", "queue", 0, 0, job.needs, expected, expected)

    def _make_key(self, at: int) -> SortKey:
        job = self.jobs[at]
        rank = compute_rank(self.options.policy, job.submit, self._estimate(job))
        return (-inf if at == self._aged else -job.priority if rank is None else rank, at)

    def _estimate(self, job: TraceJob) -> float:
        return job.run if self.options.estimates == PERFECT or job.limit is None else job.limit


def compute_figures(replay: TraceReplay) -> ReplayFigures:
    """Return the figures of a finished replay."""
    jobs, totals = replay.jobs, replay.totals
    if not jobs:
        return ReplayFigures(0, 0.0, 0.0, 0.0, None, 0.0, 0.0, dict.fromkeys(totals, 0.0))
    waits = [replay.starts[at] - job.submit for at, job in enumerate(jobs)]
    slowdowns = [
        max(1.0, (wait + job.run) / max(job.run, BRIEF_RUN))
        for wait, job in zip(waits, jobs, strict=True)
    ]
    longest = max(range(len(jobs)), key=waits.__getitem__)
    last = max(replay.starts[at] + job.run for at, job in enumerate(jobs))
    makespan = last - jobs[0].submit
    return ReplayFigures(
        len(jobs),
        sum(waits) / len(jobs),
        sorted(waits)[ceil(0.95 * len(jobs)) - 1],
        waits[longest],
        jobs[longest].number,
        sum(slowdowns) / len(jobs),
        makespan,
        {
            name: sum(job.run * job.needs.get(name, 0.0) for job in jobs) / (total * makespan)
            for name, total in totals.items()
            if total > 0
        },
    )
