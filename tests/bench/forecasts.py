"""Backtest of start forecasts on recorded traces: `python -m tests.bench.forecasts FOLDER`.

The jobs of a trace run in virtual time through the dispatch plan. Now and then each waiting job
gets a forecast from the runs that have ended by then. Printed are the share of jobs that start
within their range, the goal being 80 %, and the median width of the range. FOLDER, by default that
of TASKDECK_CASES, holds `*.swf.gz` (Standard Workload Format) and `*.sacct.psv.gz` (Slurm).
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from statistics import median

from app.core.scheduling.forecasts import run_times
from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.forecasts.leeway import Leeway, PastForecast, learn_leeway
from app.core.scheduling.forecasts.run_times import PastRunTimes
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    PoolView,
    QueuedTask,
    QueueView,
    decide,
)
from app.core.scheduling.resources import CPU, MEMORY, make_amounts
from app.service.scheduling.forecast_leeway import KEPT, MAX_PENDING, SAMPLED, choose_evenly
from app.service.tasks.inspection.similar_runs import mask_digits
from db.queries.scheduling.run_history import RECENT
from tests.core.scheduling.trace_files import CASES, read_slurm_rows, read_swf

MAX_WAITING = 100
"""Waiting jobs of one forecast, as in a list of tasks."""


@dataclass(frozen=True, slots=True)
class NamedJob:
    """Job of a trace in seconds, cores and MiB; `limit` is None if it requested none."""

    number: int
    name: str
    submit: float
    run: float
    limit: float | None
    cpu: float
    memory: float = 0.0
    is_success: bool = True


@dataclass(frozen=True, slots=True)
class ForecastResult:
    """One forecast, and the actual wait, in seconds.

    `is_bound` is True if only a timeout gives the end of the range.
    """

    first: float
    last: float
    wait: float
    is_bound: bool

    @property
    def is_hit(self) -> bool:
        """True if the job starts within the range, with half a second of tolerance."""
        return self.first - 0.5 <= self.wait <= self.last + 0.5


class History:
    """Run times of the latest runs, by name, as the runtime keeps them."""

    def __init__(self) -> None:
        self._latest: deque[NamedJob] = deque(maxlen=RECENT)
        self._known: dict[str, PastRunTimes | None] = {}

    def add(self, job: NamedJob) -> None:
        """Record the end of a job."""
        self._latest.appendleft(job)
        self._known.clear()

    def find(self, name: str) -> PastRunTimes | None:
        """Return the run times of this name, else of names that differ only in digits."""
        if not self._known:
            groups = defaultdict[str, tuple[list[float], list[float]]](lambda: ([], []))
            for job in self._latest:
                for key in (job.name, f"\0{mask_digits(job.name)}"):
                    groups[key][not job.is_success].append(job.run)
            self._known = {key: run_times.learn_run_times(*runs) for key, runs in groups.items()}
        return self._known.get(name) or self._known.get(f"\0{mask_digits(name)}")


class PastForecasts:
    """Forecasts of the latest jobs, as the runtime samples them: one for each job."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[float, float, float]] = {}
        self._waiting: set[int] = set()
        self._ended: deque[PastForecast] = deque(maxlen=KEPT)

    def learn(self, replay: Replay) -> Leeway:
        """Return the leeway of the forecasts of jobs that have started or are late."""
        now, begun = replay.now, replay.begun
        for number in sorted(self._waiting & begun.keys(), key=begun.__getitem__):
            self._waiting.remove(number)
            at, first, last = self._told[number]
            self._ended.append(PastForecast(first, last, begun[number] - at, True))
        waiting = [
            PastForecast(first, last, now - at, False)
            for at, first, last in (self._told[number] for number in self._waiting)
        ]
        return learn_leeway([*self._ended, *waiting])

    def add(self, now: float, found: Mapping[int, tuple[float, float]]) -> None:
        """Record the forecasts of some jobs, evenly chosen."""
        new = [number for number in found if number not in self._told]
        for number in choose_evenly(new, min(SAMPLED, MAX_PENDING - len(self._waiting))):
            self._told[number] = now, *found[number]
            self._waiting.add(number)


class Replay:
    """A trace that runs through one queue of one pool in virtual time."""

    def __init__(self, jobs: Sequence[NamedJob], cpu: float, memory: float) -> None:
        self._pool = PoolView("pool", make_amounts(cpu, memory, None), "active")
        self._arrivals = sorted(jobs, key=lambda job: (-job.submit, -job.number))
        self._history = History()
        self._waiting: dict[int, NamedJob] = {}
        self._running: dict[int, tuple[NamedJob, float]] = {}
        self._ends: list[tuple[float, int]] = []
        self.now = 0.0
        self.begun: dict[int, float] = {}
        self.waiting_since_start: list[int] = []

    def step(self) -> bool:
        """Advance to the next arrival or end and start what may start; False at the end."""
        if self.next_at == inf:
            return False
        self.now = self.next_at
        while self._ends and self._ends[0][0] <= self.now:
            job, _ = self._running.pop(heappop(self._ends)[1])
            self._history.add(job)
        while self._arrivals and self._arrivals[-1].submit <= self.now:
            job = self._arrivals.pop()
            self._waiting[job.number] = job
        if self._waiting:
            for task in decide(self.build_view()).starts:
                job = self._waiting.pop(task.number)
                self._running[job.number] = job, self.now
                heappush(self._ends, (self.now + job.run, job.number))
                self.begun[job.number] = self.now
        return True

    @property
    def next_at(self) -> float:
        """Time of the next arrival or end, inf after the last one."""
        return min(
            self._arrivals[-1].submit if self._arrivals else inf,
            self._ends[0][0] if self._ends else inf,
        )

    @property
    def backlog(self) -> int:
        """Number of waiting jobs."""
        return len(self._waiting)

    def build_view(self, likely: bool = False) -> DispatchView:
        """Return the dispatch view, with likely run times for a forecast."""
        waiting = tuple(self._build_task(job, likely) for job in self._waiting.values())
        active = tuple(self._build_run(job, at, likely) for job, at in self._running.values())
        capacity = len(waiting) + len(active)
        queue = QueueView("queue", "pool", capacity, 0, "active", waiting, len(waiting), None, None)
        return DispatchView((self._pool,), (queue,), active, None)

    def _build_task(self, job: NamedJob, likely: bool) -> QueuedTask:
        past = self._history.find(job.name) if likely else None
        return QueuedTask(
            str(job.number), job.number, job.name, "queue", 0, 0,
            make_amounts(job.cpu, job.memory, None),
            run_times.estimate_duration(None, job.limit), job.limit,
            run_times.limit_run_times(past.likely, job.limit) if past else (),
        )  # fmt: skip

    def _build_run(self, job: NamedJob, began: float, likely: bool) -> ActiveRun:
        elapsed = self.now - began
        past = self._history.find(job.name)
        usual = past.usual if past and elapsed < past.usual.p95 else None
        limit = None if job.limit is None else max(1e-3, job.limit - elapsed)
        left = run_times.estimate_remaining(elapsed, usual, job.limit)
        times = run_times.sample_run_times(past.runs, elapsed) if likely and past else ()
        rest = tuple(seconds - elapsed for seconds in times)
        return ActiveRun(
            job.number, job.name, "queue", make_amounts(job.cpu, job.memory, None),
            limit if left is not None and left <= 0 else left, limit,
            run_times.limit_run_times(rest, limit),
        )  # fmt: skip


def backtest(
    jobs: Sequence[NamedJob],
    cpu: float,
    memory: float = 0.0,
    forecasts: int = 150,
    learns: bool = True,
) -> Iterator[ForecastResult]:
    """Yield a result for each waiting job of up to so many moments of a trace.

    If it `learns`, forecasts have leeway from those of earlier moments.
    """
    replay, told = Replay(jobs, cpu, memory), list[tuple[float, int, float, float]]()
    events = backlogged = 0
    past = PastForecasts() if learns else None
    every = max(1, 2 * len(jobs) // forecasts)
    while replay.step():
        events += 1
        backlogged += replay.backlog > 0
        if replay.backlog and events >= every:
            events = 0
            leeway = {"pool": past.learn(replay)} if past else {}
            forecast = make_forecast(replay.build_view(likely=True), leeway=leeway)
            found = forecast.may_start
            told += [(replay.now, number, *found[number]) for number in list(found)[:MAX_WAITING]]
            if past:
                past.add(replay.now, forecast.bare_start)
    for at, number, first, last in told:
        yield ForecastResult(first, last, replay.begun[number] - at, first == 0 < last)


def read_jobs(path: Path, limit: int) -> tuple[list[NamedJob], float, float]:
    """Return the first jobs of a trace, and the cores and MiB of its machine."""
    if path.name.endswith(".psv.gz"):
        rows = list(read_slurm_rows(path))[:limit]
        jobs = [
            NamedJob(
                job.number,
                name,
                job.submit,
                job.run,
                job.limit,
                job.needs[CPU],
                job.needs[MEMORY],
                done,
            )  # fmt: skip
            for job, name, done in rows
        ]
        return jobs, 64.0, 184000.0
    rows = [row for row in read_swf(path) if row[3] > 0 and max(row[4], row[7]) > 0][:limit]
    with gzip.open(path, "rt") as lines:
        cores = next(
            float(line.split(":")[1])
            for line in lines
            if line.startswith(("; MaxProcs:", "; MaxNodes:"))
        )
    return [_make_job(row) for row in rows], cores, 0.0


def _make_job(row: Sequence[float]) -> NamedJob:
    """Return a job, named after its user and program, else after its requests."""
    cpu = row[4] if row[4] > 0 else row[7]
    user, program = int(row[11]), int(row[13])
    name = f"{chr(0x100 + user)}-{program}" if user > 0 else f"{int(cpu)} cores {int(row[8])}"
    limit = row[8] if row[8] > 0 else None
    run = row[3] if limit is None else min(row[3], limit)
    return NamedJob(int(row[0]), name, row[1], run, limit, cpu, 0.0, row[10] in (1, -1))


def main(words: Sequence[str] | None = None) -> int:
    """Print the shares and widths of each trace."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forecasts")
    parser.add_argument("folder", type=Path, nargs="?", default=CASES and CASES / "traces")
    parser.add_argument("--jobs", type=int, default=5000, help="jobs of a trace (default 5000)")
    parser.add_argument("--forecasts", type=int, default=150, help="moments (default 150)")
    args = parser.parse_args(words)
    if args.folder is None:
        parser.error("name the folder of the traces, or set TASKDECK_CASES")
    paths = sorted(p for end in ("swf", "sacct.psv") for p in args.folder.glob(f"*.{end}.gz"))
    if not paths:
        parser.error(f"there is no trace in {args.folder}")
    print(f"{'trace':32} {'jobs':>6} {'starts':>7} {'inside':>7} {'2nd half':>8}"
          f" {'below':>6} {'above':>6}"
          f" {'width':>8} {'wait':>8} {'by limit':>9} {'in time':>8} {'took':>6}")  # fmt: skip
    for path in paths:
        began = time.monotonic()
        jobs, cpu, memory = read_jobs(path, args.jobs)
        results = list(backtest(jobs, cpu, memory, args.forecasts))
        print(_format_row(path.name.split(".")[0], len(jobs), results, time.monotonic() - began))
    return 0


def _format_row(name: str, jobs: int, results: Sequence[ForecastResult], seconds: float) -> str:
    bounds = [one for one in results if one.is_bound]
    ranges = [one for one in results if not one.is_bound]
    shares = [
        _format_share([one.is_hit for one in ranges]),
        _format_share([one.is_hit for one in ranges[len(ranges) // 2 :]]),
        _format_share([one.wait < one.first - 0.5 for one in ranges]),
        _format_share([one.wait > one.last + 0.5 for one in ranges]),
    ]
    width = median([one.last - one.first for one in ranges]) if ranges else 0.0
    wait = median([one.wait for one in ranges]) if ranges else 0.0
    return (
        f"{name:32} {jobs:>6} {len(ranges):>7} {shares[0]:>7} {shares[1]:>8}"
        f" {shares[2]:>6} {shares[3]:>6}"
        f" {width:>7.0f}s {wait:>7.0f}s {len(bounds):>9}"
        f" {_format_share([one.is_hit for one in bounds]):>8} {seconds:>5.0f}s"
    )


def _format_share(hits: Sequence[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f}%" if hits else "–"


if __name__ == "__main__":
    sys.exit(main())
