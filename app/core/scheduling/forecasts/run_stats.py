"""Statistics of past runs of the same kind: usual duration and recommended request."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from app.core.scheduling.forecasts.run_times import MIN_RUNS, DurationStats, compute_duration_stats
from app.core.text.units import format_number

REQUEST_MARGIN = 1.2
"""Ratio of a recommended request to the 95th percentile of use."""
MIN_SECONDS = 1.0
"""Minimum seconds of a run for a meaningful CPU use."""


class PastRun(NamedTuple):
    """One successful run: seconds, CPU seconds, peak MiB; None if not measured."""

    seconds: float | None
    cpu_seconds: float | None
    peak: float | None


@dataclass(frozen=True, slots=True)
class RunStats:
    """Statistics of `n` past runs.

    `of` is the match: "template", "name", or "like" for names that differ only in digits. Cores are
    means over whole runs, MiB are peaks; each has the maximum and the 95th percentile (None: not
    measured).
    """

    of: str
    n: int
    usual: DurationStats | None
    cpu_most: float | None
    cpu_p95: float | None
    memory_most: float | None
    memory_p95: float | None

    @property
    def cpu(self) -> float | None:
        """Recommended cores."""
        return None if self.cpu_p95 is None else round_up_cpu(self.cpu_p95 * REQUEST_MARGIN)

    @property
    def memory(self) -> float | None:
        """Recommended MiB."""
        return (
            None if self.memory_p95 is None else round_up_memory(self.memory_p95 * REQUEST_MARGIN)
        )


def compute_run_stats(group: str, runs: Sequence[PastRun]) -> RunStats | None:
    """Return the statistics of these runs, or None if there are too few."""
    if len(runs) < MIN_RUNS:
        return None
    seconds = [run.seconds for run in runs if run.seconds is not None]
    cores = [
        run.cpu_seconds / run.seconds
        for run in runs
        if run.cpu_seconds is not None and run.seconds is not None and run.seconds >= MIN_SECONDS
    ]
    peaks = [run.peak for run in runs if run.peak]
    return RunStats(
        group,
        len(runs),
        compute_duration_stats(seconds),
        *_compute_max_and_p95(cores),
        *_compute_max_and_p95(peaks),
    )


def _compute_max_and_p95(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return maximum and 95th percentile (nearest rank), None for fewer than 3 values."""
    if len(values) < MIN_RUNS:
        return None, None
    ranked = sorted(values)
    return ranked[-1], ranked[ceil(0.95 * len(ranked)) - 1]


def round_up_cpu(cores: float) -> float:
    """Round cores up, to a tenth up to one core, to a half above; never return 0."""
    step = 10 if cores <= 1 else 2
    return max(1, ceil(round(cores * step, 6))) / step


def round_up_memory(mib: float) -> float:
    """Round MiB up to a typical input: `64M` `110M` `1.3G` `11G`."""
    if mib < 1000:
        step = 1 if mib < 100 else 10
        return float(max(1, ceil(round(mib / step, 6))) * step)
    step = 102.4 if mib < 10 * 1024 else 1024
    return round(ceil(round(mib / step, 6)) * step, 1)


def format_exact_memory(mib: float) -> str:
    """Format MiB as typed, without loss: `11G` `1.3G` `110M`."""
    in_g = format_number(mib / 1024)
    return (
        f"{in_g}G"
        if mib >= 1000 and abs(float(in_g) * 1024 - mib) < 0.01
        else f"{format_number(mib)}M"
    )
