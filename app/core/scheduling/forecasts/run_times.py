"""Run times to plan with: from past runs, else from the timeout."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

# A median of fewer runs says little.
MIN_RUNS = 3

SAMPLES = 9
"""Number of equally likely run times, and of simulations of a forecast.

Of ten equally likely outcomes, the last lies within the range of the other nine with a chance of
80 %.
"""


@dataclass(frozen=True, slots=True)
class DurationStats:
    """Duration of successful runs in seconds, and their number."""

    median: float
    p95: float
    n: int


class PastRunTimes(NamedTuple):
    """Run times in seconds, ascending.

    `runs` are those of past runs, `usual` their statistics. The next run takes one of the times in
    `likely`, each with the same chance.
    """

    usual: DurationStats
    runs: tuple[float, ...]
    likely: tuple[float, ...]


def compute_duration_stats(run_seconds: Sequence[float]) -> DurationStats | None:
    """Return median and 95th percentile (nearest rank), or None below 3 runs."""
    n, runs = len(run_seconds), sorted(run_seconds)
    if n < MIN_RUNS:
        return None
    return DurationStats((runs[(n - 1) // 2] + runs[n // 2]) / 2, runs[ceil(0.95 * n) - 1], n)


def learn_run_times(
    run_seconds: Sequence[float], others: Sequence[float] = ()
) -> PastRunTimes | None:
    """Return what past runs tell about the next one, or None below 3 successful runs.

    `others` are the seconds of runs without success. They are not usual, but the next run may end
    like them, and then frees what it holds.
    """
    usual, runs = compute_duration_stats(run_seconds), tuple(sorted((*run_seconds, *others)))
    return PastRunTimes(usual, runs, sample_run_times(runs)) if usual else None


def estimate_duration(past: DurationStats | None, limit: float | None) -> float | None:
    """Return the run duration to plan with, in seconds; None is unbounded.

    The timeout applies until history is available. The 95th percentile is used instead of the
    median, so that a backfilled task rarely delays a reservation.
    """
    if past is None or limit is None:  # in the hot path of a round
        return limit if past is None else past.p95
    return min(past.p95, limit)


def estimate_remaining(
    elapsed: float, past: DurationStats | None, limit: float | None
) -> float | None:
    """Return the seconds until the expected end of a run; None is unknown.

    The value is 0 or negative for an overdue run. The expected end is the median, then the 95th
    percentile once the median has passed, and never beyond the limit.
    """
    aim = None if past is None else past.median if elapsed < past.median else past.p95
    end = _min_known(aim, limit)
    return None if end is None else end - elapsed


def sample_run_times(runs: Sequence[float], elapsed: float = 0.0) -> tuple[float, ...]:
    """Return equally likely run times beyond `elapsed`, ascending, from past ones, ascending.

    The next run is shorter than all `n` past runs with a chance of 1 / (n + 1), and longer with
    the same chance. The range of the past runs is therefore widened by the share 1 / n at both
    ends. Return an empty tuple if `elapsed` is beyond that range.
    """
    beyond = 1 + 1 / len(runs)
    known = (runs[0] / beyond, *runs, runs[-1] * beyond)
    if elapsed >= known[-1]:
        return ()
    first = _find_share(known, elapsed)
    return tuple(
        _interpolate(known, first + (1 - first) * (k + 0.5) / SAMPLES) for k in range(SAMPLES)
    )


def limit_run_times(times: tuple[float, ...], limit: float | None) -> tuple[float, ...]:
    """Return the run times, each at most the limit."""
    if limit is None or not times or limit >= times[-1]:
        return times
    return tuple(min(time, limit) for time in times)


def _find_share(known: Sequence[float], seconds: float) -> float:
    """Return the share of run times below `seconds`, which is below the last known one."""
    at = bisect_right(known, seconds)
    if at == 0:
        return 0.0
    below, above = known[at - 1], known[at]
    return (at - 1 + (seconds - below) / (above - below)) / (len(known) - 1)


def _interpolate(known: Sequence[float], share: float) -> float:
    """Return the run time below which this share of run times lies."""
    at, part = divmod(share * (len(known) - 1), 1)
    below = known[int(at)]
    return below + part * (known[min(int(at) + 1, len(known) - 1)] - below)


def _min_known(*known: float | None) -> float | None:
    return min((number for number in known if number is not None), default=None)
