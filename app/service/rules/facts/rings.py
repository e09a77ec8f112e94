"""Values of the last minutes in memory, for windows of metrics that no table keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from app.core.rules.evaluate import MetricRef, Reading
from app.core.rules.window_stats import compute_stat

INTERVAL = 5.0
"""Seconds between two values of a ring."""
SLACK = 1.5 * INTERVAL
"""Seconds by which the oldest value may be younger than a full window."""
TREND_SPAN, TREND_LEAST = 3600.0, 600.0
"""Seconds of free disk space that a trend uses at most, and needs at least."""


class Ring:
    """Values of one metric of one subject, oldest first."""

    def __init__(self) -> None:
        self.values: deque[tuple[float, float]] = deque()

    def add(self, at: float, value: float | None, span: float) -> None:
        """Add a value, at most one each five seconds; drop values older than `span`."""
        if value is not None and (not self.values or at - self.values[-1][0] >= INTERVAL):
            self.values.append((at, value))
        while self.values and self.values[0][0] < at - span - SLACK:
            self.values.popleft()

    def list_since(self, since: float) -> Sequence[float]:
        return [value for at, value in self.values if at >= since]


class Rings:
    """Rings by metric and subject."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], Ring] = {}

    def add(self, metric: str, subject: str, at: float, value: float | None, span: float) -> None:
        self._rings.setdefault((metric, subject), Ring()).add(at, value, span)

    def read(self, ref: MetricRef, subject: str, now: float) -> Reading:
        """Return the statistic or the change over a window, without data until it is full."""
        ring = self._rings.get((ref.metric, subject))
        span = ref.window or ref.rate_over
        if ring is None or not ring.values or ring.values[0][0] > now - span + SLACK:
            return Reading(None, is_warming=True)
        values = ring.list_since(now - span - SLACK if ref.rate_over else now - span)
        if not values:
            return Reading(None, is_warming=True)
        if ref.rate_over:
            return Reading(values[-1] - values[0])
        return Reading(compute_stat(ref.stat, values))

    def find_hours_to_zero(self, metric: str, now: float) -> Reading:
        """Return the hours until a falling value reaches 0, from its trend in the last hour."""
        ring = self._rings.get((metric, "host"))
        points = list(ring.values) if ring else []
        if not points or points[-1][0] - points[0][0] < TREND_LEAST:
            return Reading(None, is_warming=True)
        slope = _find_slope(points)
        if slope >= 0:
            return Reading(float("inf"))
        return Reading(max(0.0, points[-1][1] / -slope / 3600))


def _find_slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least squares line through points."""
    middle = sum(at for at, _ in points) / len(points)
    level = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    if not spread:
        return 0.0
    return sum((at - middle) * (value - level) for at, value in points) / spread
