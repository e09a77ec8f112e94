"""Metrics of SLA conditions: unit, scope and wording of each."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.translation import tr, tr_noop

SECONDS, RATIO, MIB, COUNT, HOURS, RATE = "seconds", "ratio", "mib", "count", "hours", "rate"

SCOPES = ("instance", "task", "schedule", "queue", "pool", "host", "taskdeck")
"""Kinds of subjects. The first part of a metric's name is the kind that has it."""


class Metric(NamedTuple):
    """A metric. `grows` is True if its value grows by a second each second, until a reset.

    `sentence` says the metric with its value in place of `{}`, where the value after `words` is
    hard to read.
    """

    unit: str
    words: str
    grows: bool = False
    sentence: str = ""


POOL_PATTERN = r"^pool\.[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*_ratio$"
"""Metrics of named resources of pools, such as `pool.gpu_ratio`."""
_POOL_METRIC = re.compile(POOL_PATTERN)


def find_resource(metric: object) -> str | None:
    """Return the named resource that a metric of pools measures: `gpu` of `pool.gpu_ratio`."""
    if not isinstance(metric, str) or not _POOL_METRIC.fullmatch(metric):
        return None
    return metric.removeprefix("pool.").removesuffix("_ratio")


class MetricTable(dict[str, Metric]):
    """Metrics by name. It also has those of named resources, but lists the others only."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or find_resource(name) is not None

    def __missing__(self, name: str) -> Metric:
        if (resource := find_resource(name)) is None:
            raise KeyError(name)
        return Metric(RATIO, tr("{resource} reserved", resource=resource))


METRICS = MetricTable({
    "instance.run_seconds": Metric(SECONDS, tr_noop("running"), True),
    "instance.queued_seconds": Metric(SECONDS, tr_noop("queued"), True),
    "instance.lateness_seconds": Metric(SECONDS, tr_noop("late by"), True),
    "instance.rss_mib": Metric(MIB, tr_noop("memory")),
    "instance.cpu_ratio": Metric(RATIO, tr_noop("CPU use")),
    "instance.output_idle_seconds": Metric(SECONDS, tr_noop("no output for"), True),
    "instance.log_mib": Metric(MIB, tr_noop("log")),
    "instance.attempt": Metric(COUNT, tr_noop("attempt")),
    "instance.exit_code": Metric(COUNT, tr_noop("exit code")),
    "task.seconds_since_success": Metric(SECONDS, tr_noop("no success for"), True),
    "task.consecutive_failures": Metric(
        COUNT, tr_noop("failures in a row"), sentence=tr_noop("failed {} times in a row")
    ),
    "task.success_ratio": Metric(RATIO, tr_noop("successes")),
    "schedule.seconds_since_success": Metric(SECONDS, tr_noop("no success for"), True),
    "schedule.missed": Metric(COUNT, tr_noop("missed fire times")),
    "queue.depth": Metric(COUNT, tr_noop("queued tasks")),
    "queue.oldest_wait_seconds": Metric(SECONDS, tr_noop("longest wait"), True),
    "queue.load_ratio": Metric(RATIO, tr_noop("slots in use")),
    "queue.paused_seconds": Metric(SECONDS, tr_noop("paused"), True),
    "queue.drain_rate": Metric(RATE, tr_noop("starts per minute")),
    "pool.cpu_ratio": Metric(RATIO, tr_noop("CPU reserved")),
    "pool.memory_ratio": Metric(RATIO, tr_noop("memory reserved")),
    "host.cpu_ratio": Metric(RATIO, tr_noop("CPU of the host")),
    "host.memory_ratio": Metric(RATIO, tr_noop("memory of the host")),
    "host.disk_free_ratio": Metric(RATIO, tr_noop("disk free")),
    "host.disk_full_in_hours": Metric(HOURS, tr_noop("disk full in")),
    "taskdeck.tick_lag_seconds": Metric(SECONDS, tr_noop("lag of the runtime")),
    "taskdeck.lock_wait_seconds": Metric(SECONDS, tr_noop("wait for the database")),
    "taskdeck.db_size_mib": Metric(MIB, tr_noop("database")),
    "taskdeck.slow_queries": Metric(COUNT, tr_noop("slow statements in an hour")),
    "taskdeck.backup_age_seconds": Metric(SECONDS, tr_noop("backup age"), True),
    "taskdeck.replica_lag_seconds": Metric(SECONDS, tr_noop("replica age"), True),
})  # fmt: skip
"""All metrics by name."""

ENDED_RUN_METRICS = ("instance.exit_code",)
"""Metrics that only an ended run has."""
DUE_METRICS = (
    "instance.run_seconds", "instance.queued_seconds", "instance.lateness_seconds",
    "task.seconds_since_success", "schedule.seconds_since_success",
)  # fmt: skip
"""Metrics that reach a limit at a known time, unless their subject is done before."""
WINDOW_METRICS = {
    "task.success_ratio": ("mean",), "queue.drain_rate": ("mean",),
    "schedule.missed": ("count", "sum"),
}  # fmt: skip
"""Statistics of each metric that always covers a time, which `window` may change."""
RATE_METRICS = tuple(
    name for name in METRICS if name.partition(".")[0] in ("queue", "pool", "host", "taskdeck")
) + ("instance.attempt",)
"""Metrics that `rate_over` can measure the change of."""
SHARES = tuple(
    name
    for name, metric in METRICS.items()
    if metric.unit == RATIO and name not in ("instance.cpu_ratio", "queue.load_ratio")
)
"""Ratios that are never above 1."""


def is_share(metric: str) -> bool:
    """Return whether a metric is a ratio that is never above 1."""
    return metric in SHARES or find_resource(metric) is not None


def has_rate(metric: str) -> bool:
    """Return whether `rate_over` can measure the change of a metric."""
    return metric in RATE_METRICS or find_resource(metric) is not None


def get_family(metric: str) -> str:
    """Return the kind of subject that has a metric: `queue` for `queue.depth`."""
    return metric.partition(".")[0]
