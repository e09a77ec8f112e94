"""A simulator in virtual time: jobs arrive, the plan decides, runs end."""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.core.scheduling.plan import (
    ActiveRun,
    Amounts,
    DispatchView,
    Plan,
    PoolView,
    QueuedTask,
    QueueView,
    make_plan,
)
from app.core.scheduling.resources import make_amounts


@dataclass(frozen=True, slots=True)
class TraceJob:
    """Job of a trace in seconds, cores and MiB; `limit` is the requested run time."""

    number: int
    submit: float
    run: float
    limit: float
    cpu: float
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """Decision at one moment: its view and its plan."""

    now: float
    view: DispatchView
    plan: Plan


def simulate(
    jobs: Sequence[TraceJob], cpu: float, memory: float = 0.0
) -> Iterator[SimulatedDecision]:
    """Run the jobs through one queue of one pool, with a decision at each submit and each end."""
    pool = PoolView("pool", make_amounts(cpu, memory, None), "active")
    by_number = {job.number: job for job in jobs}
    arrivals = sorted(jobs, key=lambda job: (-job.submit, -job.number))
    waiting: dict[int, QueuedTask] = {}
    due: dict[int, float] = {}
    ends: list[tuple[float, int]] = []
    while arrivals or ends:
        now = min([job.submit for job in arrivals[-1:]] + [end for end, _ in ends[:1]])
        gone = _pop_ended(ends, due, now)
        for number in gone:
            del due[number]
        ends = [end for end in ends if end[1] not in gone]
        while not gone and arrivals and arrivals[-1].submit <= now:
            job = arrivals.pop()
            waiting[job.number] = _make_task(job)
        view = _make_view(
            pool, waiting, [_make_run(by_number[number], end - now) for number, end in due.items()]
        )
        decided = make_plan(view)
        for task in decided.starts:
            del waiting[task.number]
            due[task.number] = now + by_number[task.number].limit
            insort(ends, (now + by_number[task.number].run, task.number))
        yield SimulatedDecision(now, view, decided)


def _make_view(
    pool: PoolView, waiting: dict[int, QueuedTask], active: Sequence[ActiveRun]
) -> DispatchView:
    line = tuple(waiting.values())
    queue = QueueView(
        "queue", pool.name, len(line) + len(active), 0, "active", line, len(line), None, None
    )
    return DispatchView((pool,), (queue,), tuple(active), None)


def _get_needs(job: TraceJob) -> Amounts:
    return make_amounts(job.cpu, job.memory, None)


def _make_task(job: TraceJob) -> QueuedTask:
    return QueuedTask(str(job.number), job.number, "", "queue", 0, 0, _get_needs(job), job.limit)


def _make_run(job: TraceJob, ends_in: float) -> ActiveRun:
    return ActiveRun(job.number, "", "queue", _get_needs(job), ends_in)


def map_start_times(jobs: Sequence[TraceJob], cpu: float, memory: float = 0.0) -> dict[int, float]:
    """Return the start time of each job."""
    return {
        task.number: moment.now
        for moment in simulate(jobs, cpu, memory)
        for task in moment.plan.starts
    }


def compute_mean_slowdown(jobs: Sequence[TraceJob], begun: dict[int, float]) -> float:
    """Return the mean bounded slowdown, (wait + run) / run, with runs of at least 10 s."""
    return sum(
        max(1.0, (begun[j.number] - j.submit + j.run) / max(j.run, 10.0)) for j in jobs
    ) / len(jobs)


def _pop_ended(ends: Sequence[tuple[float, int]], due: dict[int, float], now: float) -> set[int]:
    """Return the first run that ends now, and all that end now as expected.

    The reference schedules treat an unexpected end as an event of its own, and several expected
    ends as one.
    """
    if not ends or ends[0][0] > now:
        return set()
    return {
        number
        for end, number in ends
        if end <= now and (number == ends[0][1] or due[number] <= now)
    }
