"""Statistics of the values in a window."""

from __future__ import annotations

import math
from collections.abc import Sequence


def compute_stat(stat: str, values: Sequence[float]) -> float | None:
    """Return a statistic such as `mean` or `p95`; None without values, except for counts."""
    if stat in ("count", "sum"):
        return float(len(values)) if stat == "count" else math.fsum(values)
    if not values:
        return None
    if stat == "mean":
        return math.fsum(values) / len(values)
    if stat in ("min", "max"):
        return min(values) if stat == "min" else max(values)
    return find_percentile(values, 50 if stat == "median" else int(stat[1:]))


def find_percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated between the nearest values."""
    known = sorted(values)
    at, part = divmod(percent / 100 * (len(known) - 1), 1)
    below = known[int(at)]
    return below + part * (known[min(int(at) + 1, len(known) - 1)] - below)
