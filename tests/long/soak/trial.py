"""One soak trial: a home under full load, sampled and judged."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths
from app.client import Client
from tests.long.chaos.killer import pause
from tests.long.chaos.run_steps import read_rows
from tests.long.soak import short_retention_runtime
from tests.long.soak.sampling import ROLES, Sample, compute_slope, take_sample
from tests.long.soak.workload import BATCH_SIZE, EXPECTED_STATES, MAX_BACKLOG, SLOTS, Workload
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess, wait_until

SAMPLES = 60
MAX_GROWTH = {"runtime": 0.5, "keeper": 0.1, "guard": 0.1}
"""Limits of RSS growth in MiB per 10,000 tasks over the second half. PSS is shown but not judged,
because it depends on other processes that map the same libraries."""

MAX_SIZES = {"journal": 8.0, "runtime_log": 2.2, "keeper_log": 0.3, "wal": 64.0}
"""Limits in MiB at any sample."""

MAX_RATIO = 1.5
"""Limit of the disk and database size per kept log in the second half, relative to the second
quarter."""

CLEANUP_DELAY = 10.0
"""Seconds after which expired rows must be gone; cleanups run every few seconds."""

DESCRIPTOR_TOLERANCE = 4
"""Allowed difference in descriptors: a reader's connection, or an old journal file."""


@dataclass(frozen=True, slots=True)
class SoakResult:
    """Work done and samples taken."""

    submitted: int
    seconds: float
    samples: Sequence[Sample]
    unexpected_rows: list[Any]

    @property
    def second_half(self) -> Sequence[Sample]:
        return self.samples[len(self.samples) // 2 :]

    def compute_growth(self, role: str) -> float:
        """Return the RSS growth in MiB per 10,000 tasks over the second half."""
        return compute_slope([(one.ended / 10_000, one.rss[role]) for one in self.second_half])

    def count_young(self, now: Sample) -> int:
        """Return the number of runs that may still be kept at a sample.

        They belong to tasks that ended recently, wait or run.
        """
        since = now.seconds - short_retention_runtime.RETENTION.total_seconds() - CLEANUP_DELAY
        before = max((one.ended for one in self.samples if one.seconds <= since), default=0)
        return now.ended - before + MAX_BACKLOG + BATCH_SIZE

    @staticmethod
    def compute_size_per_log(samples: Sequence[Sample], name: str) -> list[float]:
        """Return the KiB of `database` or `runs` per kept log."""
        return [getattr(one, name) * 1024 / max(1, one.files) for one in samples]

    def list_verdicts(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each verdict: its subject, the observed value, and true if the value is allowed."""
        for role in ROLES:
            grown, most = self.compute_growth(role), MAX_GROWTH[role]
            yield (
                f"memory of the {role}, flat",
                f"{grown:+.3f} MiB for 10,000 tasks (may be {most})",
                grown <= most,
            )
        for role in ROLES:
            descriptor_counts = [one.descriptors[role] for one in self.second_half]
            yield (
                f"descriptors of the {role}, constant",
                f"{min(descriptor_counts)} to {max(descriptor_counts)}",
                max(descriptor_counts) - min(descriptor_counts) <= DESCRIPTOR_TOLERANCE,
            )
        zombies = max(one.zombies for one in self.samples)
        yield "no zombie", f"{zombies}", zombies == 0
        for name, most in MAX_SIZES.items():
            seen = max(getattr(one, name) for one in self.samples)
            yield (
                f"{name.replace('_', '.')} bounded",
                f"at most {seen:.2f} MiB (may be {most})",
                seen <= most,
            )
        over = max(one.files - self.count_young(one) for one in self.second_half)
        yield (
            "old logs go",
            f"{max(one.files for one in self.second_half):,} at most, {max(0, over):,} too old",
            over <= 0,
        )
        for name in ("database", "runs"):
            before, seen = (
                max(self.compute_size_per_log(part, name))
                for part in (
                    self.samples[len(self.samples) // 4 :][: len(self.second_half) // 2],
                    self.second_half,
                )
            )
            yield (
                f"{name} bounded",
                f"{before:.3g}, then {seen:.3g} KiB for each log that is kept",
                seen <= MAX_RATIO * before,
            )
        yield (
            "every task ended as it must",
            f"{len(self.unexpected_rows)} did not, e.g. {self.unexpected_rows[:2]}",
            not self.unexpected_rows,
        )


@contextmanager
def open_runtime() -> Iterator[tuple[RuntimeProcess, dict[str, int]]]:
    """Open a home whose runtime keeps ended tasks for seconds only; yield it with its pids."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        home, config = Path(folder, "home"), Path(folder, "config")
        short_retention_runtime.write_configuration(config)
        paths.make_home(home)
        living = RuntimeProcess(home)
        env = {**os.environ, HOME_VARIABLE: str(home), "XDG_CONFIG_HOME": str(config)}
        argv = [sys.executable, "-P", "-m", "tests.long.soak.short_retention_runtime", str(home)]
        root = Path(__file__).parents[3]
        runtime = subprocess.Popen(
            argv, env=env | {"PYTHONPATH": str(root)}, cwd=root, stderr=subprocess.DEVNULL
        )
        try:
            yield living, wait_until(lambda: _read_pids(home), "the runtime is running")
        finally:
            living.kill_all()
            runtime.wait()


def _read_pids(home: Path) -> dict[str, int] | None:
    client = Client(home, autostart=False)
    try:
        if not client.is_runtime_up():
            return None
        status = client.call("status")
        return {
            "runtime": status["runtime"]["pid"],
            "keeper": status["keeper"]["pid"],
            "guard": status["keeper"]["guard_pid"],
        }
    finally:
        client.close()


def run_soak(
    seconds: float, looks: int = SAMPLES, say: Callable[[str], None] | None = None
) -> SoakResult:
    """Run at full load for the given seconds, then until all tasks have ended."""
    with open_runtime() as (living, pids):
        work, began = Workload(living.open_client(autostart=False)), time.monotonic()
        samples: list[Sample] = []
        while (now := time.monotonic() - began) < seconds or len(samples) < looks:
            if now >= (len(samples) + 1) * seconds / looks:
                samples.append(
                    take_sample(living.home, pids, began, work.submitted - work.count_unfinished())
                )
                if say:
                    say(f"{samples[-1].seconds:.0f} s, {samples[-1].ended:,} tasks ended")
            if not work.submit_more():
                pause(0.1)
        took = time.monotonic() - began
        wait_until(lambda: work.finish() == 0, "all has ended")
        return SoakResult(
            work.submitted, took, samples, _find_failures(living.home, work.submitted)
        )


def _find_failures(home: Path, submitted: int) -> list[Any]:
    """Return tasks that ended unexpectedly, loads that are not 0, and a wrong last number."""
    tasks = read_rows(home, "SELECT name, status, number FROM tasks")
    odd: list[Any] = [task for task in tasks if EXPECTED_STATES.get(task[0]) != task[1]]
    loads = (
        "SELECT name, current_load FROM queues WHERE current_load <> 0 UNION ALL SELECT name,"
        " used_cpu FROM pools WHERE used_cpu <> 0"
    )
    odd += read_rows(home, loads)
    last = max((number for _, _, number in tasks), default=submitted)
    return odd if last == submitted else [*odd, ("last number", last)]


COLUMNS = (
    ("SECONDS", lambda s: f"{s.seconds:.0f}"),
    ("ENDED", lambda s: f"{s.ended:,}"),
    *((f"{role.upper()} PSS/RSS", lambda s,
    role=role: f"{s.pss[role]:.1f}/{s.rss[role]:.1f}") for role in ROLES),
    ("FDS", lambda s: "/".join(str(s.descriptors[role]) for role in ROLES)),
    ("ZOMBIES", lambda s: str(s.zombies)),
    ("JOURNAL", lambda s: f"{s.journal:.2f}"),
    ("RUNTIME.LOG", lambda s: f"{s.runtime_log:.2f}"),
    ("KEEPER.LOG", lambda s: f"{s.keeper_log:.2f}"),
    ("WAL", lambda s: f"{s.wal:.1f}"),
    ("DATABASE", lambda s: f"{s.database:.1f}"),
    ("RUNS", lambda s: f"{s.files:,}, {s.runs:.1f}"),
)  # fmt: skip


def format_report(found: SoakResult, rows_shown: int = 20) -> str:
    """Return a table of some samples (memory and sizes in MiB), then the verdicts."""
    every = max(1, len(found.samples) // rows_shown)
    cells = [[head for head, _ in COLUMNS]] + [
        [show(s) for _, show in COLUMNS] for s in found.samples[every - 1 :: every]
    ]
    widths = [max(len(row[at]) for row in cells) for at in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    rate = found.submitted / found.seconds
    lines.append(
        f"{found.submitted:,} tasks in {found.seconds:.0f} s ({rate:.0f}/s, {SLOTS} slots):"
        f" {found.submitted / 3600:.1f} hours of one a second"
    )
    lines += [
        f"{'ok ' if good else 'BAD'}  {what}: {seen}" for what, seen, good in found.list_verdicts()
    ]
    return "\n".join(lines)
