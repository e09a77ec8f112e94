"""Past values of metrics, from stored tasks, runs, fire times and backups."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from app.core.rules.conditions import ForecastNode, walk
from app.core.rules.evaluate import MetricRef, Reading, SubjectTimes
from app.core.rules.rule_plan import Labels, RulePlan, list_exact_names
from app.core.rules.window_stats import compute_stat
from app.service.rules.facts.fire_windows import FindStart, FireWindows
from app.service.rules.facts.snapshot import get_task_name
from app.service.rules.facts.values import DRAIN_WINDOW, RUN_VALUES, has_value_of
from db import timestamps
from db.engine import Connection
from db.queries import reads, schedules
from db.queries.home import backups
from db.queries.rules import checkins, rule_values
from db.queries.rules.rule_values import PastTaskRow, RunRow
from db.rows import ScheduleRow
from db.states import FAILED

DAY = 86400.0
"""Seconds of a day."""
NO_DATA = Reading(None)
STORED = {
    "instance.run_seconds", "instance.queued_seconds", "instance.lateness_seconds",
    "instance.attempt", "instance.exit_code", "task.seconds_since_success",
    "task.consecutive_failures", "task.success_ratio", "schedule.seconds_since_success",
    "schedule.missed", "queue.depth", "queue.oldest_wait_seconds", "queue.load_ratio",
    "queue.drain_rate", "pool.cpu_ratio", "pool.memory_ratio", "taskdeck.backup_age_seconds",
}  # fmt: skip
"""Metrics with past values; windows of ended runs have them for every instance metric."""
_FAILED = {str(status) for status in FAILED}


def list_unstored(plan: RulePlan) -> list[str]:
    """Return the parts of a rule that have no past values."""
    found: list[str] = []
    for ref in plan.refs:
        is_run_window = ref.metric.startswith("instance.") and ref.window > 0
        is_level_window = ref.is_windowed and ref.metric.split(".")[0] in ("queue", "pool", "host")
        if ref.metric == "queue.drain_rate" or is_run_window:
            continue
        if ref.metric not in STORED or ref.runs or is_level_window:
            found.append(f"baseline of {ref.metric}" if ref.runs else ref.metric)
    if any(isinstance(node, ForecastNode) for node in walk(plan.conditions.when)):
        found.append("forecast")
    return found


class StepSeries:
    """A value that changes at times; None before the first one."""

    def __init__(self, points: Iterable[tuple[float, float | None]]) -> None:
        self.times: list[float] = []
        self.values: list[float | None] = []
        for at, value in points:
            self.times.append(at)
            self.values.append(value)

    def get(self, at: float) -> float | None:
        found = bisect_right(self.times, at) - 1
        return self.values[found] if found >= 0 else None


class PastSubject(NamedTuple):
    """A subject of the past, with the time in which it existed."""

    kind: str
    title: str
    name: str
    labels: Labels
    begin: float
    end: float
    task: PastTaskRow | None = None
    runs: Sequence[RunRow] = ()


class Past:
    """Stored facts of a time. `is_complete` is False if there are more than are read."""

    def __init__(self, c: Connection, plan: RulePlan, since: float, until: float) -> None:
        self._c, self._plan, self.since, self.until = c, plan, since, until
        windows = [ref.window or ref.rate_over for ref in plan.refs]
        first = timestamps.from_unix(since - max([DAY, *windows]))
        metrics = {ref.metric for ref in plan.refs}
        self._tasks = rule_values.list_past_tasks(c, first)
        self._task_of = {task.uuid: task for task in self._tasks if task.status != "cancelled"}
        self.is_complete = len(self._tasks) < rule_values.MAX_PAST_TASKS
        self._fires = rule_values.map_fire_times(c, [task.uuid for task in self._tasks])
        self._queues = {row.name: row for row in reads.list_queues(c)}
        self._pools = {row.name: row for row in reads.list_pools(c)}
        self._runs_of: dict[str, list[RunRow]] = {}
        for run in sorted(rule_values.list_runs_of(c, [task.uuid for task in self._tasks]),
                          key=lambda run: run.attempt):  # fmt: skip
            self._runs_of.setdefault(run.task_id, []).append(run)
        self._ended = self._group_runs(lambda run: run.end_time)
        self._started = self._group_runs(lambda run: run.start_time)
        self._waits = self._list_waits()
        self._schedules = schedules.list_all(c)
        self._schedule_of = {get_task_name(row): row.name for row in self._schedules}
        self._missed = self._map_missed(first) if "schedule.missed" in metrics else {}
        self._windows = FireWindows(c, {})
        self._finders: dict[str, FindStart | None] = {}
        self._series: dict[str, StepSeries] = {}
        self._checkins = {row.name: row for row in checkins.list_checkins(c)}

    def _group_runs(
        self, get_time: Callable[[RunRow], str | None]
    ) -> dict[str, list[tuple[float, RunRow]]]:
        """Return runs by label and name, such as `queue:gpu`, each in the order of a time."""
        found: dict[str, list[tuple[float, RunRow]]] = {}
        for runs in self._runs_of.values():
            for run in runs:
                at = get_time(run)
                if at is None:
                    continue
                labels = [f"instance:{run.task_id}", f"task:{run.name}", f"queue:{run.queue}",
                          f"pool:{run.pool}", "host:host", "taskdeck:taskdeck"]  # fmt: skip
                if fire := self._fires.get(run.task_id):
                    labels.append(f"schedule:{fire[0]}")
                for label in labels:
                    found.setdefault(label, []).append((timestamps.to_unix(at), run))
        for runs_of_label in found.values():
            runs_of_label.sort(key=lambda pair: pair[0])
        return found

    def _map_missed(self, first: str) -> dict[str, list[float]]:
        """Return {schedule: times of its missed fire times}."""
        found: dict[str, list[float]] = {}
        for schedule, at in rule_values.list_missed_fires(self._c, first):
            found.setdefault(schedule, []).append(timestamps.to_unix(at))
        return found

    def _list_waits(self) -> dict[str, list[tuple[float, float]]]:
        """Return {queue: times in which a task waited}, with the begin and the end of each."""
        found: dict[str, list[tuple[float, float]]] = {}
        for task in self._tasks:
            for begin, end in self._split_waits(task):
                found.setdefault(task.queue, []).append((begin, end))
        return found

    def _split_waits(self, task: PastTaskRow) -> Iterable[tuple[float, float]]:
        begin = timestamps.to_unix(max(task.created_at, task.not_before or task.created_at))
        for run in self._runs_of.get(task.uuid, ()):
            if run.start_time is not None:
                yield begin, timestamps.to_unix(run.start_time)
            begin = timestamps.to_unix(run.end_time) if run.end_time else self.until
        ended = timestamps.to_unix(task.ended_at) if task.ended_at else self.until
        if begin < ended and task.status not in ("scheduled", "running"):
            yield begin, ended

    # --- subjects --------------------------------------------------------------------------

    def list_subjects(self) -> Iterable[PastSubject]:
        """Return the subjects of the rule's kind."""
        kind, limits = self._plan.base, (self.since, self.until)
        if kind == "instance":
            return [self._make_instance(task) for task in self._tasks]
        if kind == "task":
            names = {task.name for task in self._tasks}
            names |= {*list_exact_names(self._plan.match.task)}
            names |= {*(self._schedule_of if self._plan.match.schedule else ())}
            queues = {task.name: task for task in self._tasks}
            return [
                PastSubject(kind, name, name, self._label(queues.get(name), name), *limits)
                for name in sorted(names)
            ]
        if kind == "queue":
            return [
                PastSubject(kind, f"queue {row.name}", row.name,
                            Labels(queue=row.name, pool=row.pool), *limits)
                for row in self._queues.values()
            ]  # fmt: skip
        if kind == "pool":
            return [PastSubject(kind, f"pool {name}", name, Labels(pool=name), *limits)
                    for name in self._pools]  # fmt: skip
        if kind == "schedule":
            return [self._make_schedule(row) for row in self._schedules]
        return [PastSubject(kind, kind, kind, Labels(), *limits)]

    def _label(self, task: PastTaskRow | None, name: str) -> Labels:
        if task is None:
            return Labels(name, schedule=self._schedule_of.get(name))
        pool = self._queues[task.queue].pool if task.queue in self._queues else None
        fire = self._fires.get(task.uuid)
        tags: Mapping[str, str] = json.loads(task.tags) if task.tags else {}
        return Labels(name, task.template, fire[0] if fire else None, task.queue, pool, tags)

    def _make_instance(self, task: PastTaskRow) -> PastSubject:
        begin = timestamps.to_unix(task.created_at)
        end = timestamps.to_unix(task.ended_at) if task.ended_at else self.until
        if self._plan.covers_ended and task.ended_at:
            end = min(self.until, end + DAY)  # an alert about a failure lasts at most a day
        return PastSubject(
            "instance", f"#{task.number} {task.name}", task.name, self._label(task, task.name),
            begin, end, task, self._runs_of.get(task.uuid, ()),
        )  # fmt: skip

    def _make_schedule(self, row: ScheduleRow) -> PastSubject:
        queue, template = row.task.get("queue") or "default", row.task.get("template")
        pool = self._queues[queue].pool if queue in self._queues else None
        labels = Labels(get_task_name(row), template, row.name, queue, pool)
        begin = max(self.since, timestamps.to_unix(row.created_at))
        return PastSubject("schedule", f"schedule {row.name}", row.name, labels, begin, self.until)

    def list_times(self, subject: PastSubject) -> Iterable[float]:
        """Return the times at which a value of the subject may change."""
        yield from (subject.begin, subject.end, subject.end + 0.001)
        for _, run in self._started.get(self._get_label(subject), ()):
            for text in (run.created_at, run.start_time, run.end_time):
                if text:
                    yield timestamps.to_unix(text)
        if subject.kind == "instance" and self._plan.covers_ended:
            yield from (at for at, _ in self._ended.get(f"task:{subject.name}", ()))
        if subject.name in self._checkins:
            yield timestamps.to_unix(self._checkins[subject.name].at)
        if subject.kind == "schedule":
            yield from self._missed.get(subject.name, ())
        for queue in self._list_queues(subject):
            for begin, end in self._waits.get(queue, ()):
                yield from (begin, end)

    def _list_queues(self, subject: PastSubject) -> Iterable[str]:
        families = {ref.metric.partition(".")[0] for ref in self._plan.refs}
        return [subject.labels.queue] if "queue" in families and subject.labels.queue else []

    def _get_label(self, subject: PastSubject) -> str:
        if subject.task is not None:
            return f"instance:{subject.task.uuid}"
        return f"{subject.kind}:{subject.name}"

    # --- values ----------------------------------------------------------------------------

    def read_values(self, subject: PastSubject, now: float) -> Callable[[MetricRef], Reading]:
        """Return the reader of a subject's values at a past time."""

        def read(ref: MetricRef) -> Reading:
            family, _, name = ref.metric.partition(".")
            if family == "instance":
                return self._read_instance(subject, ref, name, now)
            return self._read_level(subject, ref, family, name, now)

        return read

    def _read_instance(
        self, subject: PastSubject, ref: MetricRef, name: str, now: float
    ) -> Reading:
        label = self._get_label(subject)
        if ref.rate_over:
            runs = _cut(self._started.get(label, ()), now - ref.rate_over, now)
            times = [at for at, run in runs if run.attempt > 1]
            return Reading(float(len(times)), min(times) + ref.rate_over if times else None)
        if ref.window:
            runs = _cut(self._ended.get(label, ()), now - ref.window, now)
            values = [RUN_VALUES[name](run) for _, run in runs if has_value_of(name, run)]
            known = [value for value in values if value is not None]
            leaves = runs[0][0] + ref.window if runs else None
            return Reading(compute_stat(ref.stat, known), leaves)
        is_still = name == "lateness_seconds" and _find_run(subject.runs, now) is not None
        return Reading(self._read_present(subject, name, now), is_still=is_still)

    def _read_present(self, subject: PastSubject, name: str, now: float) -> float | None:
        task = subject.task
        if task is None:
            return None
        run = _find_run(subject.runs, now)
        started = timestamps.to_unix(run.start_time) if run and run.start_time else None
        ended = timestamps.to_unix(run.end_time) if run and run.end_time else None
        is_over = ended is not None and ended <= now
        if name == "exit_code":
            return self._read_exit_code(subject, run, now) if is_over else None
        if name == "queued_seconds":
            waits = (now - begin for begin, end in self._split_waits(task) if begin <= now < end)
            return next(waits, None)
        if name == "attempt":
            is_retried = is_over and (not task.ended_at or timestamps.to_unix(task.ended_at) > now)
            return float(run.attempt + is_retried if run else 1)
        if name == "lateness_seconds":
            fire = self._fires.get(task.uuid)
            planned = fire[1] if fire else task.not_before or task.created_at
            until = min(now, started) if started is not None else now
            return max(0.0, until - timestamps.to_unix(planned))
        return now - started if started is not None and not is_over else None

    def _read_exit_code(self, subject: PastSubject, run: RunRow | None, now: float) -> float | None:
        """Return the exit code of a failed run, until a task of its name succeeds."""
        if run is None or run.exit_code is None or run.end_time is None:
            return None
        later = _cut(
            self._ended.get(f"task:{subject.name}", ()), timestamps.to_unix(run.end_time), now
        )
        return None if any(one.status == "succeeded" for _, one in later) else float(run.exit_code)

    def _read_level(
        self, subject: PastSubject, ref: MetricRef, family: str, name: str, now: float
    ) -> Reading:
        labels = {"host": "host", "taskdeck": "taskdeck"}
        label = labels.get(family) or getattr(subject.labels, family)
        if label is None:
            return NO_DATA
        if name in ("seconds_since_success", "consecutive_failures", "success_ratio"):
            return self._read_outcomes(f"{family}:{label}", ref, name, now, subject.begin)
        if name == "missed":
            return self._count_missed(label, ref, now)
        if name == "drain_rate":
            span = ref.rate_over or ref.window or DRAIN_WINDOW
            starts = _cut(self._started.get(f"queue:{label}", ()), now - span, now)
            leaves = starts[0][0] + span if starts else None
            return Reading(len(starts) / (span / 60), leaves)
        value = self._get_series(name, label).get(now)
        if name in ("oldest_wait_seconds", "backup_age_seconds"):
            if value is None:
                return Reading(0.0, is_still=True) if family == "queue" else NO_DATA
            return Reading(now - value)
        return Reading(value or 0.0)

    def _read_outcomes(
        self, label: str, ref: MetricRef, name: str, now: float, since: float
    ) -> Reading:
        runs = self._ended.get(label, ())
        past = runs[: bisect_right(runs, now, key=lambda pair: pair[0])]
        if name == "seconds_since_success":
            times = [at for at, run in past[-1000:] if run.status == "succeeded"]
            known = self._checkins.get(label.partition(":")[2])
            if known is not None and timestamps.to_unix(known.at) <= now:
                times.append(timestamps.to_unix(known.at))
            if known is not None and not times:  # earlier check-ins are not stored
                return NO_DATA
            return Reading(max(0.0, now - max(times, default=since)))
        if name == "consecutive_failures":
            failures = 0
            for _, run in reversed(past):
                if run.status == "succeeded":
                    break
                failures += run.status in _FAILED
            return Reading(float(failures))
        span = ref.window or DAY
        judged = [pair for pair in _cut(past, now - span, now)
                  if pair[1].status in {"succeeded", *_FAILED}]  # fmt: skip
        if not judged:
            return NO_DATA
        good = sum(run.status == "succeeded" for _, run in judged)
        return Reading(good / len(judged), judged[0][0] + span)

    def _count_missed(self, schedule: str, ref: MetricRef, now: float) -> Reading:
        span = ref.window or ref.rate_over or DAY
        times = self._missed.get(schedule, [])
        recent = [at for at in times if now - span < at <= now]
        return Reading(float(len(recent)), min(recent) + span if recent else None)

    def _get_series(self, name: str, label: str) -> StepSeries:
        key = f"{name}:{label}"
        if key not in self._series:
            self._series[key] = StepSeries(self._make_points(name, label))
        return self._series[key]

    def _make_points(self, name: str, label: str) -> Iterable[tuple[float, float | None]]:
        if name == "backup_age_seconds":
            times = [timestamps.to_unix(at) for at in backups.list_good_times(self._c)]
            return [(at, at) for at in sorted(times)]
        if name == "depth":
            return _add_up((span, 1.0) for span in self._waits.get(label, ()))
        if name == "oldest_wait_seconds":
            return _find_oldest(self._waits.get(label, ()))
        family = "queue" if name == "load_ratio" else "pool"
        runs = [run for _, run in self._started.get(f"{family}:{label}", ())]
        spans = [(self._get_span(run), self._weigh(name, run, label)) for run in runs]
        return _add_up(spans)

    def _get_span(self, run: RunRow) -> tuple[float, float]:
        end = timestamps.to_unix(run.end_time) if run.end_time else self.until + 1
        return timestamps.to_unix(run.start_time or run.created_at), end

    def _weigh(self, name: str, run: RunRow, label: str) -> float:
        if name == "load_ratio":
            row = self._queues.get(label)
            return 1 / row.capacity if row and row.capacity else 0.0
        pool = self._pools.get(label)
        if pool is None:
            return 0.0
        asked, total = (
            (run.cpu, pool.total_cpu) if name == "cpu_ratio" else (run.memory, pool.total_memory)
        )
        return asked / total if total else 0.0

    # --- times -----------------------------------------------------------------------------

    def read_times(self, subject: PastSubject, now: float) -> SubjectTimes:
        """Return the times of a subject for deadlines, as known at a past time."""
        task = subject.task
        if task is not None:
            failed_at = self._find_failure(subject, now) if self._plan.ended else None
            is_over = task.ended_at is not None and timestamps.to_unix(task.ended_at) <= now
            if is_over and failed_at is None:
                return SubjectTimes(known_since=float("inf"))
            run, fire = _find_run(subject.runs, now), self._fires.get(task.uuid)
            started = timestamps.to_unix(run.start_time) if run and run.start_time else None
            planned = fire[1] if fire else task.not_before or task.created_at
            queued = timestamps.to_unix(max(task.created_at, task.not_before or task.created_at))
            return SubjectTimes(
                queued, started, timestamps.to_unix(planned), known_since=subject.begin,
                failed_at=failed_at,
            )  # fmt: skip
        runs = self._ended.get(self._get_label(subject), ())
        past = runs[: bisect_right(runs, now, key=lambda pair: pair[0])]
        times = [self._get_planned(run) for _, run in past[-1000:] if run.status == "succeeded"]
        failed_submitted, failed_at = max(self._list_failures(past[-1000:]), default=(None, None))
        return SubjectTimes(
            success_submitted=max(times, default=None), known_since=subject.begin,
            failed_at=failed_at, failed_submitted=failed_submitted,
            find_start=self._find_starts(subject),
        )  # fmt: skip

    def _get_planned(self, run: RunRow) -> float:
        """Return the fire time of the task of a run, else its submission."""
        fire = self._fires.get(run.task_id)
        return timestamps.to_unix(fire[1] if fire else run.created_at)

    def _find_starts(self, subject: PastSubject) -> FindStart | None:
        key = f"{subject.kind}:{subject.name}"
        if key not in self._finders:
            is_own = subject.kind == "schedule"
            rows = [
                row for row in self._schedules
                if (row.name if is_own else get_task_name(row)) == subject.name
            ]  # fmt: skip
            self._finders[key] = self._windows.make_finder(rows)
        return self._finders[key]

    def _list_failures(
        self, runs: Sequence[tuple[float, RunRow]]
    ) -> Iterable[tuple[float, float]]:  # fmt: skip
        """Yield submission and end of the runs that failed with no attempt left."""
        for at, run in runs:
            task = self._task_of.get(run.task_id)
            if task is not None and run.status in _FAILED and _is_last(task, run):
                yield self._get_planned(run), at

    def _find_failure(self, subject: PastSubject, now: float) -> float | None:
        """Return when a task had used its attempts, if no task of the name succeeded since."""
        assert subject.task is not None
        for run in subject.runs:
            is_last = _is_last(subject.task, run)
            if run.end_time is None or run.status not in _FAILED or not is_last:
                continue
            ended = timestamps.to_unix(run.end_time)
            later = _cut(self._ended.get(f"task:{subject.name}", ()), ended, now)
            if ended <= now and not any(one.status == "succeeded" for _, one in later):
                return ended
        return None


def _is_last(task: PastTaskRow, run: RunRow) -> bool:
    """Return whether a run was the last attempt of its task, unless a person asked for more."""
    return run.attempt > task.retries or run.end_time == task.ended_at


def _cut(
    runs: Sequence[tuple[float, RunRow]], since: float, until: float
) -> Sequence[tuple[float, RunRow]]:
    """Return the runs after `since` and up to `until`."""
    low = bisect_right(runs, since, key=lambda pair: pair[0])
    return runs[low : bisect_right(runs, until, key=lambda pair: pair[0])]


def _find_run(runs: Sequence[RunRow], now: float) -> RunRow | None:
    """Return the last run that had started."""
    started = [run for run in runs if run.start_time and timestamps.to_unix(run.start_time) <= now]
    return started[-1] if started else None


def _add_up(spans: Iterable[tuple[tuple[float, float], float]]) -> list[tuple[float, float]]:
    """Return the sum of the weights of the spans that cover a time, at each change."""
    changes: dict[float, float] = {}
    for (begin, end), weight in spans:
        changes[begin] = changes.get(begin, 0.0) + weight
        changes[end] = changes.get(end, 0.0) - weight
    total, points = 0.0, []
    for at in sorted(changes):
        total += changes[at]
        points.append((at, max(0.0, round(total, 9))))
    return points


def _find_oldest(spans: Sequence[tuple[float, float]]) -> Iterable[tuple[float, float | None]]:
    """Yield the begin of the oldest span that covers a time, at each change."""
    begins = sorted(spans)
    moments = sorted({at for span in spans for at in span})
    waiting: list[tuple[float, float]] = []
    index = 0
    for at in moments:
        while index < len(begins) and begins[index][0] <= at:
            heappush(waiting, begins[index])
            index += 1
        while waiting and waiting[0][1] <= at:
            heappop(waiting)
        yield at, waiting[0][0] if waiting else None
