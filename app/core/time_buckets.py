"""Figures over time: the buckets of an hour, a day and a week, durations counted in steps, and which minutes are known. Pure.

Moments are whole UNIX minutes, durations seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple


class BucketSpan(NamedTuple):
    """So many buckets of so many minutes."""

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
    "waiting": ("all", "queue", "pool"),
}
"""What can be asked, and by what each can be told apart."""
RESTRICTIONS: dict[str, tuple[str, ...]] = {"cpu": ("pool",), "memory": ("pool",), "waiting": ("queue", "pool")}
"""Of what alone each can be asked; where it is not named, of a queue, a pool or a template."""
KINDS = ("queue", "pool", "template")


def get_restrictions(metric: str) -> tuple[str, ...]:
    """Of what alone a metric can be asked."""
    return RESTRICTIONS.get(metric, KINDS)

STEPS_PER_DOUBLING = 8
"""Steps in which a duration doubles: what is told of one is right to 5 %."""
MIN_DURATION = 0.001
"""Seconds: what is shorter counts as this."""


@dataclass(frozen=True, slots=True)
class BucketFrame:
    """The buckets of a span, the last of which holds now."""

    first: int
    span: BucketSpan

    @classmethod
    def from_last_minute(cls, minute: int, span: BucketSpan) -> BucketFrame:
        """The frame whose last bucket holds this minute."""
        return cls(find_bucket_start(minute, span.minutes) - (span.buckets - 1) * span.minutes, span)

    @property
    def bucket_starts(self) -> range:
        """The first minute of each bucket."""
        return range(self.first, self.first + self.span.buckets * self.span.minutes, self.span.minutes)

    def find_known_buckets(self, sampled: Set[int], now: int) -> list[bool]:
        """Which buckets a runtime has seen something of."""
        width = self.span.minutes
        return [any(_was_runtime_up(minute, sampled, now) for minute in range(begin, begin + width)) for begin in self.bucket_starts]


def find_bucket_start(minute: int, width: int) -> int:
    """The first minute of the bucket of so many minutes that holds a minute."""
    return minute - minute % width


def _was_runtime_up(minute: int, sampled: Set[int], now: int) -> bool:
    """Whether a runtime was up: a single minute without a sample between two with one is a late sample, the present one is not due."""
    return minute in sampled or minute - 1 in sampled and (minute + 1 in sampled or minute == now)


DurationHistogram = dict[str, int]
"""{step of durations: how many}. The steps are text, as they are stored: an answer merges a hundred thousand of them."""


@dataclass(slots=True)
class PeriodFigures:
    """What began and ended; how long was waited (first attempts) and run (successes)."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    waits: DurationHistogram = field(default_factory=dict)
    runs: DurationHistogram = field(default_factory=dict)

    def add(self, other: PeriodFigures) -> None:
        """Count these in."""
        self.started += other.started
        self.ended += other.ended
        self.failed += other.failed
        merge_counts(self.waits, other.waits)
        merge_counts(self.runs, other.runs)


def merge_counts(counted: DurationHistogram, more: Mapping[str, int]) -> None:
    """Count durations in."""
    for at, count in more.items():
        counted[at] = counted.get(at, 0) + count


def compute_step(seconds: float) -> str:
    """The step that a duration falls into."""
    return str(round(STEPS_PER_DOUBLING * math.log2(max(MIN_DURATION, seconds))))


def compute_percentiles(counted: Mapping[str, int], shares: Sequence[float]) -> list[float | None]:
    """For each share (0 to 1, growing) the seconds that so many of the durations did not exceed; None of none."""
    if not counted:
        return [None] * len(shares)
    total, below, steps = sum(counted.values()), 0, iter(sorted((int(at), count) for at, count in counted.items()))
    found: list[float | None] = []
    at = 0
    for share in shares:
        while below < max(1, math.ceil(total * share)):
            at, count = next(steps)
            below += count
        found.append(2.0 ** (at / STEPS_PER_DOUBLING))
    return found


def compute_mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None when none is."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def sum_columns(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The sum in each bucket of what is known there."""
    sums: list[float | None] = []
    for bucket in zip(*columns, strict=True):
        found = [value for value in bucket if value is not None]
        sums.append(sum(found) if found else None)
    return sums
