"""Backtest of forecast rules on recorded traces: `python -m tests.bench.forecast_rules FOLDER`.

The jobs of a trace run in virtual time through the dispatch plan. Bursts of jobs, spread over the
trace, have deadlines: the submission plus a factor of the requested time, or of the usual run time
of the name if none was requested. The condition of a forecast rule is evaluated for each of them,
at its start and about ten times up to its deadline, with the forecast of that moment. Printed are
the alerts beside the jobs that had not ended at their deadlines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import median

from app.core.rules.conditions import ForecastDeadline, ForecastNode
from app.core.rules.evaluate import MetricRef, Reading, SubjectTimes, evaluate
from app.core.scheduling.forecasts.expected_end import ExpectedEnds
from app.core.scheduling.forecasts.forecast import MAX_QUEUE_DEPTH, make_forecast
from app.core.scheduling.plan import DispatchView, order_tasks
from tests.bench.forecasts import NamedJob, Replay, read_jobs
from tests.core.scheduling.trace_files import CASES

FACTORS = (0.5, 1.0, 2.0)
BURST = 20
"""Consecutive jobs with deadlines."""
REUSE_SECONDS = 120.0
"""Age of a forecast of a long line that still holds."""
LOOKS = 10
"""Evaluations before the first deadline of a job, and in each doubling of its age after it."""


@dataclass(slots=True)
class Watched:
    """One job with a forecast rule of one factor; times are those of the trace."""

    factor: float
    submit: float
    due: float
    node: ForecastNode
    fired_at: float = inf
    ended_at: float = inf

    @property
    def is_late(self) -> bool:
        """True if the job had not ended at its deadline."""
        return self.ended_at > self.due

    @property
    def is_alerted(self) -> bool:
        """True if the rule fired before the deadline."""
        return self.fired_at < self.due


@dataclass(frozen=True, slots=True)
class Score:
    """Alerts beside what happened; `lead` is the median of the seconds before the deadline."""

    jobs: int
    late: int
    alerts: int
    right: int
    lead: float

    @property
    def precision(self) -> float | None:
        """Share of the alerts whose job was late."""
        return self.right / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the late jobs with an alert before the deadline."""
        return self.right / self.late if self.late else None


def compute_score(watched: Sequence[Watched]) -> Score:
    """Return the score of rules whose jobs have ended."""
    right = [one for one in watched if one.is_late and one.is_alerted]
    return Score(
        len(watched),
        sum(one.is_late for one in watched),
        sum(one.is_alerted for one in watched),
        len(right),
        median([one.due - one.fired_at for one in right]) if right else 0.0,
    )


class Backtest:
    """Replay of a trace with forecast rules on some of its jobs."""

    def __init__(
        self, jobs: Sequence[NamedJob], cpu: float, memory: float = 0.0, *,
        factors: Sequence[float] = FACTORS, margin: float = 0.0, watch: int = 120,
    ) -> None:  # fmt: skip
        """Watch about so many jobs; `margin` is a share of the time up to the deadline."""
        self._replay = Replay(jobs, cpu, memory)
        self._margin = margin
        self._to_come = _choose_jobs(jobs, watch)
        self._runs = {job.number: job.run for job in self._to_come}
        allowed = _find_allowed_times(jobs)
        self._rules = {
            job.number: [self._make_rule(job, f, allowed[job.name, job.limit]) for f in factors]
            for job in self._to_come
        }
        self._open: dict[int, NamedJob] = {}
        self._look_at: dict[int, float] = {}
        self._started: set[int] = set()
        self._latest: tuple[float, ExpectedEnds] | None = None

    def _make_rule(self, job: NamedJob, factor: float, allowed: float) -> Watched:
        offset = factor * allowed
        form = ForecastDeadline(
            reference="queued_at", offset=offset, margin=self._margin * offset
        )  # fmt: skip
        return Watched(factor, job.submit, job.submit + offset, ForecastNode(forecast=form))

    def run(self) -> Iterator[Watched]:
        """Replay the trace, and return each watched job with its alert and its end."""
        replay = self._replay
        while replay.next_at < inf:
            while (look_at := min(self._look_at.values(), default=inf)) < replay.next_at:
                replay.now = look_at
                self._evaluate()
            replay.step()
            self._latest = None
            self._update()
            if min(self._look_at.values(), default=inf) <= replay.now:
                self._evaluate()
        for number, rules in self._rules.items():
            for rule in rules:
                rule.ended_at = replay.begun[number] + self._runs[number]
                yield rule

    def _update(self) -> None:
        """Admit arrivals, drop what has ended, and look at what has started."""
        replay = self._replay
        while self._to_come and self._to_come[-1].submit <= replay.now:
            job = self._to_come.pop()
            self._open[job.number], self._look_at[job.number] = job, replay.now
        for number, job in [*self._open.items()]:
            began = replay.begun.get(number)
            if began is None:
                continue
            if began + job.run <= replay.now:
                self._drop(number)
            elif number not in self._started:
                self._started.add(number)
                self._look_at[number] = replay.now

    def _drop(self, number: int) -> None:
        del self._open[number], self._look_at[number]

    def _evaluate(self) -> None:
        """Evaluate the rules of all watched jobs now."""
        now = self._replay.now
        made_at, ends = self._forecast()
        for number, job in [*self._open.items()]:
            found = ends.find(number, "queue", number not in self._replay.begun)
            times = SubjectTimes(job.submit, expected_end=found.shift(made_at) if found else None)
            waiting = [
                rule for rule in self._rules[number] if rule.fired_at == inf and now < rule.due
            ]
            first = self._rules[number][0].due - job.submit
            look_at = now + max(5.0, (now - job.submit) / LOOKS, first / LOOKS)
            for rule in waiting:
                verdict = evaluate(rule.node, _read_nothing, times, now)
                if verdict.state:
                    rule.fired_at = now
                look_at = min(look_at, verdict.next_at or inf)
            if all(rule.fired_at < inf for rule in waiting):
                self._drop(number)
            else:
                self._look_at[number] = look_at

    def _forecast(self) -> tuple[float, ExpectedEnds]:
        """Return expected ends, and when they were computed.

        Those of a long line hold for a while, as in the runtime, unless a task arrives or ends.
        """
        now = self._replay.now
        if self._latest is not None and now - self._latest[0] < REUSE_SECONDS:
            return self._latest
        view = _cut_line(self._replay.build_view(likely=True))
        (queue,) = view.queues
        is_whole = len(queue.waiting) == queue.waiting_total
        wanted = self._open.keys() - self._replay.begun.keys() if is_whole else None
        found = now, ExpectedEnds(view, make_forecast(view, wanted))
        self._latest = None if is_whole else found
        return found


def _read_nothing(_: MetricRef) -> Reading:
    return Reading(None)


def _cut_line(view: DispatchView) -> DispatchView:
    """Return a view with the first waiting jobs, as the runtime reads them."""
    (queue,) = view.queues
    line = tuple(order_tasks(view))[:MAX_QUEUE_DEPTH]
    return replace(view, queues=(replace(queue, waiting=line),))


def _choose_jobs(jobs: Sequence[NamedJob], watch: int) -> list[NamedJob]:
    """Return bursts of jobs, the last one first; none of the first tenth, which makes history."""
    ordered = sorted(jobs, key=lambda job: (job.submit, job.number))
    rest = ordered[len(ordered) // 10 :]
    every = max(BURST, len(rest) * BURST // max(watch, 1))
    return [job for at, job in enumerate(rest) if at % every < BURST][::-1]


def _find_allowed_times(jobs: Sequence[NamedJob]) -> dict[tuple[str, float | None], float]:
    """Return the requested time, else the median run time of the name, by name and request."""
    runs = defaultdict[str, list[float]](list)
    for job in jobs:
        runs[job.name].append(job.run)
    return {(job.name, job.limit): job.limit or median(runs[job.name]) for job in jobs}


def main(words: Sequence[str] | None = None) -> int:
    """Print the scores of each trace."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forecast_rules")
    parser.add_argument("folder", type=Path, nargs="?", default=CASES and CASES / "traces")
    parser.add_argument("--jobs", type=int, default=3000, help="jobs of a trace (default 3000)")
    parser.add_argument("--watch", type=int, default=120,
                        help="jobs of a trace with deadlines (default 120)")  # fmt: skip
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS,
                        help="deadlines as multiples of the requested time")  # fmt: skip
    parser.add_argument("--margin", type=float, default=0.0,
                        help="margin, as a share of the time allowed (default 0)")  # fmt: skip
    args = parser.parse_args(words)
    if args.folder is None:
        parser.error("name the folder of the traces, or set TASKDECK_CASES")
    paths = sorted(p for end in ("swf", "sacct.psv") for p in args.folder.glob(f"*.{end}.gz"))
    if not paths:
        parser.error(f"there is no trace in {args.folder}")
    print(f"A sample: about {args.watch} of the first {args.jobs} jobs of a trace have deadlines.")
    print(f"{'trace':24} {'factor':>6} {'jobs':>5} {'late':>5} {'alerts':>6} {'right':>5}"
          f" {'precision':>9} {'recall':>6} {'lead':>8} {'took':>5}")  # fmt: skip
    for path in paths:
        began = time.monotonic()
        jobs, cpu, memory = read_jobs(path, args.jobs)
        watched = [*Backtest(
            jobs, cpu, memory, factors=sorted(args.factors), margin=args.margin, watch=args.watch
        ).run()]  # fmt: skip
        took = time.monotonic() - began
        for factor in sorted(args.factors):
            score = compute_score([one for one in watched if one.factor == factor])
            print(_format_row(path.name.split(".")[0][:24], factor, score, took))
    return 0


def _format_row(name: str, factor: float, score: Score, seconds: float) -> str:
    return (
        f"{name:24} {factor:>6g} {score.jobs:>5} {score.late:>5} {score.alerts:>6}"
        f" {score.right:>5} {_format_share(score.precision):>9} {_format_share(score.recall):>6}"
        f" {score.lead:>7.0f}s {seconds:>4.0f}s"
    )


def _format_share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


if __name__ == "__main__":
    sys.exit(main())
