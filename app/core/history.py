"""Figures over time: the buckets of an hour, a day and a week, durations counted in steps, and which minutes are known. Pure.

Moments are whole UNIX minutes, durations seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """So many buckets of so many minutes."""

    minutes: int
    buckets: int


SPANS = {"hour": Span(1, 60), "day": Span(15, 96), "week": Span(120, 84)}

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

STEPS = 8
"""Steps in which a duration doubles: what is told of one is right to 5 %."""
LEAST = 0.001
"""Seconds: what is shorter counts as this."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The buckets of a span, the last of which holds now."""

    first: int
    span: Span

    @classmethod
    def ending(cls, minute: int, span: Span) -> Frame:
        """The frame whose last bucket holds this minute."""
        return cls(begin_of(minute, span.minutes) - (span.buckets - 1) * span.minutes, span)

    @property
    def begins(self) -> range:
        """The first minute of each bucket."""
        return range(self.first, self.first + self.span.buckets * self.span.minutes, self.span.minutes)

    def known(self, sampled: Set[int], now: int) -> list[bool]:
        """Which buckets a runtime has seen something of."""
        width = self.span.minutes
        return [any(_seen(minute, sampled, now) for minute in range(begin, begin + width)) for begin in self.begins]


def begin_of(minute: int, width: int) -> int:
    """The first minute of the bucket of so many minutes that holds a minute."""
    return minute - minute % width


def _seen(minute: int, sampled: Set[int], now: int) -> bool:
    """Whether a runtime was up: a single minute without a sample between two with one is a late sample, the present one is not due."""
    return minute in sampled or minute - 1 in sampled and (minute + 1 in sampled or minute == now)


@dataclass(slots=True)
class Figures:
    """What began and ended; how long was waited (first attempts) and run (successes), {step: how many}."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    waits: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Count these in."""
        self.started += other.started
        self.ended += other.ended
        self.failed += other.failed
        self.waits.update(other.waits)
        self.runs.update(other.runs)


def step(seconds: float) -> int:
    """The step that a duration falls into."""
    return round(STEPS * math.log2(max(LEAST, seconds)))


def seconds(step: int) -> float:
    """The duration that a step stands for."""
    return 2.0 ** (step / STEPS)


def percentile(counted: Mapping[int, int], share: float) -> float | None:
    """The seconds that so large a share (0 to 1) of the durations did not exceed; None of none."""
    left = math.ceil(sum(counted.values()) * share)
    for at in sorted(counted):
        left -= counted[at]
        if left <= 0:
            return seconds(at)
    return None


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None when none is."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def added(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The sum in each bucket of what is known there."""
    sums: list[float | None] = []
    for bucket in zip(*columns, strict=True):
        found = [value for value in bucket if value is not None]
        sums.append(sum(found) if found else None)
    return sums
