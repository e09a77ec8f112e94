"""Values of metrics for one subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from app.core.rules import catalog
from app.core.rules.evaluate import MetricRef, Reading, SubjectTimes
from app.core.rules.window_stats import compute_stat
from app.core.scheduling.forecasts.expected_end import ExpectedEnd
from app.service.rules.facts.home_facts import DAY
from app.service.rules.facts.instances import FAILED_WORDS
from app.service.rules.facts.probes import RunProbe
from app.service.rules.facts.run_memory import RememberedRun
from app.service.rules.facts.snapshot import Snapshot
from app.service.rules.facts.subjects import Subject
from db import timestamps
from db.maintenance import slow_queries
from db.queries import reads
from db.queries.rules import metrics
from db.queries.rules.rule_values import RunRow

NO_DATA = Reading(None)
DRAIN_WINDOW = 300.0
"""Seconds over which starts are counted by default."""
MIN_BASELINE_RUNS = 3
"""Successful runs that a baseline needs at least."""
RUN_VALUES: Mapping[str, Callable[[RunRow], float | None]] = {
    "run_seconds": lambda row: row.run_seconds,
    "queued_seconds": lambda row: _measure_wait(row.created_at, row.start_time),
    "lateness_seconds": lambda row: _measure_wait(row.created_at, row.start_time),
    "rss_mib": lambda row: row.max_rss,
    "cpu_ratio": lambda row: (
        row.cpu_seconds / row.run_seconds
        if row.cpu_seconds is not None and row.run_seconds
        else None
    ),
    "log_mib": lambda row: None if row.log_bytes is None else row.log_bytes / 2**20,
    "attempt": lambda row: float(row.attempt),
    "exit_code": lambda row: None if row.exit_code is None else float(row.exit_code),
    "output_idle_seconds": lambda row: None,
}


def _measure_wait(created: str, started: str | None) -> float | None:
    if started is None:
        return None
    return max(0.0, timestamps.to_unix(started) - timestamps.to_unix(created))


def has_value_of(name: str, run: RunRow) -> bool:
    """Return whether a run counts in a window: a cancelled run has no run time of its own."""
    return name != "run_seconds" or run.status != "cancelled"


def _to_unix(text: str | None) -> float | None:
    return timestamps.to_unix(text) if text else None


class SubjectValues:
    """Values of one subject in one pass; `rule_since` is when the rule began to apply."""

    def __init__(self, snapshot: Snapshot, subject: Subject, rule_since: float) -> None:
        self._snapshot, self._subject, self._since = snapshot, subject, rule_since

    def read(self, ref: MetricRef) -> Reading:
        """Return the value of a metric; None if the subject has none."""
        family, _, name = ref.metric.partition(".")
        if ref.runs:
            return self._read_baseline(ref, name)
        if family == "instance":
            return self._read_instance(ref, name)
        subject = self._find_subject(family)
        if subject is None:
            return NO_DATA
        if ref.is_windowed and ref.metric not in catalog.WINDOW_METRICS:
            return self._snapshot.memory.rings.read(ref, subject, self._snapshot.now)
        return read_level(self._snapshot, ref, subject, self._since)

    def _find_subject(self, family: str) -> str | None:
        if family in ("host", "taskdeck"):
            return family
        return getattr(self._subject.labels, family)

    # --- instances -------------------------------------------------------------------------

    def _read_instance(self, ref: MetricRef, name: str) -> Reading:
        if ref.rate_over:
            return self._count_restarts(ref.rate_over)
        if ref.window:
            return self._read_window(ref, name)
        row, run = self._subject.candidate, self._subject.run
        if run is not None:
            return Reading(RUN_VALUES[name](run) if name != "queued_seconds" else None)
        if row is None:
            return NO_DATA
        is_late_by_now = name == "lateness_seconds" and row.start_time is not None
        return Reading(self._read_present(name), is_still=is_late_by_now)

    def _read_present(self, name: str) -> float | None:
        """Return a value of a waiting or active instance."""
        row, now = self._subject.candidate, self._snapshot.now
        assert row is not None
        if name == "queued_seconds":
            is_waiting = row.runid is None and row.status == "queued"
            return max(0.0, now - self.queued_at) if is_waiting else None
        if name == "lateness_seconds":
            until = timestamps.to_unix(row.start_time) if row.start_time else now
            return max(0.0, until - self.scheduled_at)
        if name == "attempt":
            return float(row.attempts if row.runid else row.attempts + 1)
        if row.runid is None or row.start_time is None:
            return None
        started = timestamps.to_unix(row.start_time)
        if name == "run_seconds":
            return max(0.0, now - started)
        probe = self._probe
        if name == "output_idle_seconds":
            return max(0.0, now - max(started, probe.output_at or started))
        return {
            "rss_mib": probe.memory, "cpu_ratio": probe.cpu, "log_mib": probe.log_mib or 0.0,
        }.get(name)  # fmt: skip

    @cached_property
    def _probe(self) -> RunProbe:
        row = self._subject.candidate
        return self._snapshot.memory.probes.read_run(row.runid) if row and row.runid else RunProbe()

    @cached_property
    def queued_at(self) -> float:
        row = self._subject.candidate
        assert row is not None
        times = [row.created_at, row.not_before or row.created_at, row.retry_at or row.created_at]
        return timestamps.to_unix(max(times))

    @cached_property
    def submitted_at(self) -> float:
        """Return the submission, or the planned start if that is later; a retry changes neither."""
        row = self._subject.candidate
        assert row is not None
        return timestamps.to_unix(max(row.created_at, row.not_before or row.created_at))

    @cached_property
    def scheduled_at(self) -> float:
        """Return the fire time of the schedule, else the earliest start."""
        row = self._subject.candidate
        assert row is not None
        if self._subject.fire_time:
            return timestamps.to_unix(self._subject.fire_time)
        return timestamps.to_unix(row.not_before or row.created_at)

    def _list_runs(self, kind: str, span: float) -> Sequence[RememberedRun]:
        """Return the runs in a window that belong to the subject."""
        subject = self._subject
        if subject.kind == "instance":
            uuid = subject.key.partition(":")[2]
            return self._snapshot.group_runs(kind, span, "instance").get(uuid, [])
        if subject.kind in ("host", "taskdeck"):
            return self._snapshot.group_runs(kind, span, "all").get("", [])
        if subject.kind == "schedule":
            found = self._snapshot.group_runs(kind, span, "task")
            return found.get(subject.labels.task or "", [])
        return self._snapshot.group_runs(kind, span, subject.kind).get(subject.name, [])

    def _count_restarts(self, span: float) -> Reading:
        restarts = [one for one in self._list_runs("started", span) if one.row.attempt > 1]
        leaves = min((one.at + span for one in restarts), default=None)
        return Reading(float(len(restarts)), leaves)

    def _read_window(self, ref: MetricRef, name: str) -> Reading:
        runs = [one for one in self._list_runs("ended", ref.window) if has_value_of(name, one.row)]
        pairs = [(one.at, RUN_VALUES[name](one.row)) for one in runs]
        known = [(at, value) for at, value in pairs if value is not None]
        leaves = min((at + ref.window for at, _ in known), default=None)
        return Reading(compute_stat(ref.stat, [value for _, value in known]), leaves)

    def _read_baseline(self, ref: MetricRef, name: str) -> Reading:
        runs = self._snapshot.get_past_runs(self._subject, ref.runs)
        found = [RUN_VALUES[name](row) for row in runs]
        values = [value for value in found if value is not None]
        least = min(MIN_BASELINE_RUNS, ref.runs)
        if len(values) < least:
            return Reading(None, lack=f"{len(values)} of {least} past runs")
        return Reading(compute_stat(ref.stat, values))

    # --- times for deadlines ---------------------------------------------------------------

    def read_times(self, with_forecast: bool) -> SubjectTimes:
        """Return the times of the subject for deadlines."""
        row, kind = self._subject.candidate, self._subject.kind
        expected = self._find_expected_end() if with_forecast else None
        if kind == "instance":
            if row is None:
                return self._read_ended_times()
            started = timestamps.to_unix(row.start_time) if row.start_time else None
            since = max(self._since, timestamps.to_unix(row.created_at))
            return SubjectTimes(
                self.submitted_at, started, self.scheduled_at, None, expected, since
            )  # fmt: skip
        if kind == "schedule":
            found = self._snapshot.get_schedule_success(self._subject.name)
            failed = self._snapshot.get_schedule_failure(self._subject.name)
            return SubjectTimes(
                success_submitted=timestamps.to_unix(found[0]) if found else None,
                expected_end=expected, known_since=self._since,
                failed_at=timestamps.to_unix(failed[1]) if failed else None,
                failed_submitted=timestamps.to_unix(failed[0]) if failed else None,
                find_start=self._snapshot.make_start_finder(self._subject),
            )  # fmt: skip
        name = self._subject.labels.task or ""
        facts = self._snapshot.get_outcomes(name)
        success, by = _to_unix(facts.submitted), f"#{facts.number}" if facts.number else ""
        checked_in = self._snapshot.checkins.get(name)
        if checked_in is not None and (success is None or checked_in > success):
            success, by = checked_in, "a check-in"
        return SubjectTimes(
            success_submitted=success,
            expected_end=expected,
            known_since=self._since,
            failed_at=_to_unix(facts.failed),
            failed_submitted=_to_unix(facts.failed_submitted),
            success_by=by,
            find_start=self._snapshot.make_start_finder(self._subject),
        )

    def _read_ended_times(self) -> SubjectTimes:
        """Return the times of a run that failed; a success has none, so no deadline applies."""
        run = self._subject.run
        if run is None or run.status not in FAILED_WORDS or run.end_time is None:
            return SubjectTimes(known_since=self._since)
        planned = max(run.created_at, run.not_before or run.created_at)
        return SubjectTimes(
            timestamps.to_unix(planned),
            timestamps.to_unix(run.start_time) if run.start_time else None,
            timestamps.to_unix(self._subject.fire_time or run.not_before or run.created_at),
            known_since=self._since,
            failed_at=timestamps.to_unix(run.end_time),
        )

    def _find_expected_end(self) -> ExpectedEnd | None:
        """Return the range of the expected end, from past runs and the queue ahead."""
        row, now = self._subject.candidate, self._snapshot.now
        if row is None and self._subject.kind != "instance":
            return self._find_end_of_name()
        if row is None:
            return None
        return self._snapshot.find_expected_end(self._subject, now)

    def _find_end_of_name(self) -> ExpectedEnd | None:
        """Return the expected end of the active or waiting instance of a name, or of the next."""
        snapshot = self._snapshot
        own = snapshot.find_instances_of(self._subject)
        ends = [end for one in own if (end := snapshot.find_expected_end(one, snapshot.now))]
        if ends:
            return min(ends, key=lambda end: end.probable)
        return snapshot.find_end_of_next(self._subject)


def read_level(
    snapshot: Snapshot, ref: MetricRef, subject: str, rule_since: float
) -> Reading:  # fmt: skip
    """Return a value of a task name, schedule, queue, pool, host or of Taskdeck now."""
    family, _, name = ref.metric.partition(".")
    key = (ref, subject, rule_since if family == "task" else 0.0)
    if key not in snapshot.levels:
        snapshot.levels[key] = _LEVELS[family](snapshot, ref, name, subject, rule_since)
    return snapshot.levels[key]


def _read_task(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    facts = snapshot.get_outcomes(subject)
    if name == "consecutive_failures":
        return Reading(float(facts.failures))
    if name == "seconds_since_success":
        last = snapshot.find_last_success(subject)
        return Reading(max(0.0, snapshot.now - (since if last is None else last)))
    span = ref.window or ref.rate_over or DAY
    runs = snapshot.group_runs("ended", span, "task").get(subject, [])
    judged = [one for one in runs if one.row.status in {"succeeded", *FAILED_WORDS}]
    if not judged:
        return NO_DATA
    good = sum(one.row.status == "succeeded" for one in judged)
    return Reading(good / len(judged), min(one.at for one in judged) + span)


def _read_schedule(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    row = snapshot.schedules.get(subject)
    if row is None:
        return NO_DATA
    if name == "missed":
        span = ref.window or ref.rate_over or DAY
        times = [at for at in snapshot.missed.get(subject, []) if at > snapshot.now - span]
        return Reading(float(len(times)), min(times, default=0.0) + span if times else None)
    found = snapshot.get_schedule_success(subject)
    begin = (
        timestamps.to_unix(found[1] or found[0]) if found else timestamps.to_unix(row.created_at)
    )
    return Reading(max(0.0, snapshot.now - begin))


def _read_queue(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    row = snapshot.queues.get(subject)
    if row is None:
        return NO_DATA
    if name == "depth":
        return Reading(float(snapshot.counters.get((subject, "queued"), 0)))
    if name == "load_ratio":
        return Reading(row.current_load / row.capacity) if row.capacity else NO_DATA
    if name == "drain_rate":
        return _read_drain_rate(snapshot, ref, subject)
    if name == "oldest_wait_seconds":
        oldest = reads.find_longest_queued(snapshot.c, subject)
        age = _get_age(oldest, snapshot.now) if oldest else 0.0
        return Reading(age, is_still=oldest is None)
    is_paused = row.status == "paused" and row.status_at
    age = _get_age(row.status_at or "", snapshot.now) if is_paused else 0.0
    return Reading(age, is_still=not is_paused)


def _read_drain_rate(snapshot: Snapshot, ref: MetricRef, subject: str) -> Reading:
    span = ref.rate_over or ref.window or DRAIN_WINDOW
    starts = snapshot.group_runs("started", span, "queue").get(subject, [])
    leaves = min((one.at + span for one in starts), default=None)
    return Reading(len(starts) / (span / 60), leaves)


def _get_age(since: str, now: float) -> float:
    return max(0.0, now - timestamps.to_unix(since))


_POOL_COLUMNS = ("cpu_ratio", "memory_ratio")


def _read_pool(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    row = snapshot.pools.get(subject)
    if row is None:
        return NO_DATA
    if (resource := catalog.find_resource(ref.metric)) and name not in _POOL_COLUMNS:
        share = snapshot.find_share(subject, resource)
        return NO_DATA if share is None else Reading(share)
    used, total = (
        (row.used_cpu, row.total_cpu)
        if name == "cpu_ratio"
        else (row.used_memory, row.total_memory)
    )
    return Reading(used / total) if total else NO_DATA


def _read_host(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    if name == "disk_full_in_hours":
        return snapshot.memory.rings.find_hours_to_zero("host.disk_free", snapshot.now)
    return Reading(snapshot.host.get(name))


def _read_taskdeck(
    snapshot: Snapshot, ref: MetricRef, name: str, subject: str, since: float
) -> Reading:
    if name == "tick_lag_seconds":
        return Reading(snapshot.memory.probes.read_tick_lag())
    if name == "lock_wait_seconds":
        return Reading(slow_queries.find_longest_wait(snapshot.c, snapshot.now))
    if name == "slow_queries":
        return Reading(float(slow_queries.count_slow_in_hour(snapshot.c, snapshot.now)))
    if name == "db_size_mib":
        return Reading(snapshot.database_path.stat().st_size / 2**20)
    old_name = {"backup_age_seconds": "backup-age", "replica_lag_seconds": "replica-lag"}[name]
    found = metrics.read_metric(snapshot.c, old_name, snapshot.now)
    return Reading(found.value, is_warming=bool(found.problem))


_LEVELS: Mapping[str, Callable[[Snapshot, MetricRef, str, str, float], Reading]] = {
    "task": _read_task, "schedule": _read_schedule, "queue": _read_queue, "pool": _read_pool,
    "host": _read_host, "taskdeck": _read_taskdeck,
}  # fmt: skip
