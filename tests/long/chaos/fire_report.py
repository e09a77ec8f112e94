"""Schedules that fire each second, for trials that kill their runtime.

Each second must have one row, each submitted row one task, and each task one run.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from app import paths
from app.service.schedules.firing import FIRE_TIME
from db import timestamps
from db.sqlite_files import make_read_only_uri
from tests.runtime_process import RuntimeProcess, wait_until

UNENDED = ["scheduled", "blocked", "held", "queued", "running", "retrying"]
FAILING = "fails"
"""Schedule whose tasks fail."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "all": {"every": "1s", "missed": "run-all", "overlap": "queue"},
    "skip": {"every": "1s", "missed": "run-all", "overlap": "skip"},
    "once": {"every": "2s", "missed": "run-once", "overlap": "queue"},
    "none": {"every": "1s", "missed": "skip", "overlap": "queue"},
    FAILING: {"every": "1s", "missed": "run-once", "overlap": "queue"},
}


@dataclass(frozen=True, slots=True)
class FireReport:
    """Fire times that were handled, by outcome, and what was wrong with them."""

    outcomes: Counter[str]
    faults: Sequence[str]


def create_schedules(living: RuntimeProcess) -> None:
    """Create schedules whose tasks note in a file that they ran."""
    living.call("queue.set", name="default", capacity=16)
    for name, keys in SCHEDULES.items():
        script = f'echo "{name} ${FIRE_TIME}" >> {living.home}/ran'
        if name == FAILING:
            script += "; exit 1"
        living.call(
            "schedule.create", name=name, script=script, timezone="UTC", cwd="/", env={},
            cpu=0.01, **keys,
        )  # fmt: skip


def end_schedules(living: RuntimeProcess) -> None:
    """Pause the schedules, and wait for the end of their tasks."""
    for name in SCHEDULES:
        living.call("schedule.pause", name=name)
    wait_until(lambda: not living.call("ls", status=UNENDED)["tasks"], "all ended")


def report_fires(home: Path, until: datetime) -> FireReport:
    """Compare the fire times from the start of each schedule with their tasks and runs."""
    ran = Counter((home / "ran").read_text().splitlines())
    faults = [f"{line} ran {count} times" for line, count in ran.items() if count > 1]
    outcomes: Counter[str] = Counter()
    database = make_read_only_uri(paths.get_database_path(home))
    with closing(sqlite3.connect(database, uri=True)) as c:
        for name, keys in SCHEDULES.items():
            rows = c.execute(
                "SELECT fire_time, outcome FROM fires WHERE schedule = ? ORDER BY fire_time",
                (name,),
            ).fetchall()
            outcomes += Counter(outcome for _, outcome in rows)
            start = c.execute("SELECT start FROM schedules WHERE name = ?", (name,)).fetchone()[0]
            times = [timestamps.parse_time(at) for at in (start, *(at for at, _ in rows))]
            faults += _find_gaps(name, [*times, until], int(keys["every"][:-1]))
            (count,) = c.execute(
                "SELECT count(*) FROM tasks WHERE submitted_by = ?", (f"schedule {name}",)
            ).fetchone()
            submitted = [at for at, outcome in rows if outcome == "submitted"]
            if count != len(submitted):
                faults.append(f"{name}: {count} tasks for {len(submitted)} fire times")
            faults += [
                f"{name} {at} did not run"
                for at in submitted
                if f"{name} {timestamps.parse_time(at).isoformat()}" not in ran
            ]
    return FireReport(outcomes, faults)


def _find_gaps(name: str, times: Sequence[datetime], seconds: int) -> list[str]:
    """Return the steps that are too long, or too short before the last one."""
    step, faults = timedelta(seconds=seconds), list[str]()
    for at, (first, second) in enumerate(pairwise(times)):
        is_end = at == len(times) - 2
        if second - first > step or (second - first < step and not is_end):
            faults.append(f"{name}: nothing was done between {first} and {second}")
    return faults
