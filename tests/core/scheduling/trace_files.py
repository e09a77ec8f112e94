"""Recorded traces as jobs: Standard Workload Format and Slurm accounting."""

import gzip
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tests.core.scheduling.simulator import TraceJob

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


def read_slurm(path: Path) -> Iterator[TraceJob]:
    """Yield the jobs that ran, with allotted cores and memory and the time limit as estimate."""
    return (job for job, _, _ in read_slurm_rows(path))


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
                    _parse_limit(fields[23]),
                    float(allotted["cpu"]),
                    memory,
                )
                yield job, f"{fields[8]} {fields[25]}", fields[16] == "COMPLETED"


def _parse_limit(limit: str) -> float:
    """Parse a limit such as `5-00:00:00` to seconds."""
    days, hours, minutes, seconds = map(
        int, re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", limit).groups(default="0")
    )
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
