"""Recorded traces as jobs: Standard Workload Format and Slurm accounting."""

import gzip
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from app.core.scheduling.plan import Amounts
from app.core.scheduling.resources import make_amounts
from app.core.text.units import parse_duration
from tests.trials.replays.job_trace import fit_jobs, read_trace
from tests.trials.replays.replay import TraceJob

MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


def _find_cases() -> Path | None:
    """Return the folder of recorded cases.

    TASKDECK_CASES names it; the default is `shared/cases` beside a parent folder.
    """
    named = os.environ.get("TASKDECK_CASES")
    folders = (
        [Path(named)]
        if named
        else [folder / "shared" / "cases" for folder in Path(__file__).resolve().parents]
    )
    return next((folder for folder in folders if (folder / "traces").is_dir()), None)


CASES = _find_cases()


def read_swf(path: Path) -> list[list[float]]:
    """Return the rows of a workload file, 18 numbers each."""
    with gzip.open(path, "rt") as lines:
        return [
            [float(word) for word in line.split()]
            for line in lines
            if line.strip() and not line.startswith(";")
        ]


def read_jobs(path: Path, totals: Amounts) -> list[TraceJob]:
    """Return the jobs of a trace that a machine with these resources can run."""
    with gzip.open(path, "rt") as lines:
        return fit_jobs(read_trace(lines), totals)


def read_slurm_rows(path: Path) -> Iterator[tuple[TraceJob, str, bool]]:
    """Yield the jobs that ran, with their names; True if they succeeded."""
    with gzip.open(path, "rt") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.rstrip("\n").split("|")
            submit, start, end = (
                datetime.fromisoformat(fields[i]).timestamp() for i in (10, 12, 13)
            )
            allotted = dict(part.split("=", 1) for part in fields[22].split(","))
            memory = float(allotted["mem"][:-1]) * MIB[allotted["mem"][-1]]
            if end > start:
                job = TraceJob(
                    number,
                    submit,
                    end - start,
                    parse_duration(fields[23]),
                    make_amounts(float(allotted["cpu"]), memory, None),
                )
                yield job, f"{fields[8]} {fields[25]}", fields[16] == "COMPLETED"
