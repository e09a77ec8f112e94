"""Time buckets of the history charts, duration histograms, and minutes with known data.

Times are whole UNIX minutes, durations are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple


class BucketSpan(NamedTuple):
    """Width of a bucket in minutes, and number of buckets."""

    minutes: int
    buckets: int


SPANS = {"hour": BucketSpan(1, 60), "day": BucketSpan(15, 96), "week": BucketSpan(120, 84)}

METRICS: dict[str, tuple[str, ...]] = {
    "throughput": ("all", "queue", "pool", "template"),
    "waits": ("all", "queue", "pool", "template"),
    "runs": ("all", "queue", "pool", "template"),
    "failures": ("all", "queue", "pool", "template"),
    "cpu": ("all", "pool"),
    "memory": ("all", "pool"),
    "resources": ("all", "resource", "pool"),
    "waiting": ("all", "queue", "pool"),
}
"""Available metrics, with the groupings that each supports."""
RESTRICTIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("pool",),
    "memory": ("pool",),
    "resources": ("pool",),
    "waiting": ("queue", "pool"),
}
"""Restrictions of metrics that do not support all of `KINDS`."""
KINDS = ("queue", "pool", "template")


def get_restrictions(metric: str) -> tuple[str, ...]:
    """Return the kinds of object that a metric can be restricted to."""
    return RESTRICTIONS.get(metric, KINDS)


STEPS_PER_DOUBLING = 8
"""Histogram steps per doubling of a duration, for a precision of 5 %."""
MIN_DURATION = 0.001
"""Shortest duration in seconds; shorter ones count as this value."""


@dataclass(frozen=True, slots=True)
class BucketFrame:
    """Buckets of a span; the last one contains the present."""

    first: int
    span: BucketSpan

    @classmethod
    def from_last_minute(cls, minute: int, span: BucketSpan) -> BucketFrame:
        """Return the frame whose last bucket contains `minute`."""
        return cls(
            find_bucket_start(minute, span.minutes) - (span.buckets - 1) * span.minutes, span
        )

    @property
    def bucket_starts(self) -> range:
        """First minute of each bucket."""
        return range(
            self.first, self.first + self.span.buckets * self.span.minutes, self.span.minutes
        )

    def find_known_buckets(self, sampled: Set[int], now: int) -> list[bool]:
        """Return for each bucket whether a runtime collected data in it."""
        width = self.span.minutes
        return [
            any(_was_runtime_up(minute, sampled, now) for minute in range(begin, begin + width))
            for begin in self.bucket_starts
        ]


def find_bucket_start(minute: int, width: int) -> int:
    """Return the first minute of the bucket that contains `minute`."""
    return minute - minute % width


def _was_runtime_up(minute: int, sampled: Set[int], now: int) -> bool:
    """Return True if a runtime was up in a minute.

    A single missing sample between two others is a late one. The sample of the current minute is
    not due yet.
    """
    return minute in sampled or minute - 1 in sampled and (minute + 1 in sampled or minute == now)


DurationHistogram = dict[str, int]
"""Histogram {step: count}. Steps are text as stored, because one answer merges 100,000 of them."""


@dataclass(slots=True)
class PeriodFigures:
    """Starts, ends, waits (first attempts) and durations (successes) of a period."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    waits: DurationHistogram = field(default_factory=DurationHistogram)
    runs: DurationHistogram = field(default_factory=DurationHistogram)

    def add(self, other: PeriodFigures) -> None:
        """Add the figures of another period."""
        self.started += other.started
        self.ended += other.ended
        self.failed += other.failed
        merge_counts(self.waits, other.waits)
        merge_counts(self.runs, other.runs)


def merge_counts(counted: DurationHistogram, more: Mapping[str, int]) -> None:
    """Add the counts of another histogram."""
    for at, count in more.items():
        counted[at] = counted.get(at, 0) + count


def compute_step(seconds: float) -> str:
    """Return the histogram step of a duration."""
    return str(round(STEPS_PER_DOUBLING * math.log2(max(MIN_DURATION, seconds))))


def compute_percentiles(counted: Mapping[str, int], shares: Sequence[float]) -> list[float | None]:
    """Return a percentile in seconds per share (0 to 1, ascending); None for no data."""
    if not counted:
        return [None] * len(shares)
    total, below, steps = (
        sum(counted.values()),
        0,
        iter(sorted((int(at), count) for at, count in counted.items())),
    )
    found: list[float | None] = []
    at = 0
    for share in shares:
        while below < max(1, math.ceil(total * share)):
            at, count = next(steps)
            below += count
        found.append(2.0 ** (at / STEPS_PER_DOUBLING))
    return found


def compute_mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the known values, None if there are none."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def sum_columns(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return the sum of the known values of each bucket."""
    sums: list[float | None] = []
    for bucket in zip(*columns, strict=True):
        found = [value for value in bucket if value is not None]
        sums.append(sum(found) if found else None)
    return sums
