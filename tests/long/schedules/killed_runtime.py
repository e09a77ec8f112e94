"""Schedules that fire each second while their runtime is killed at random moments.

Each second must have one row, each submitted row one task, and each task one run.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import paths
from app.service.schedules.firing import FIRE_TIME
from db import timestamps
from db.sqlite_files import make_read_only_uri
from tests.long.chaos.killer import pause
from tests.long.chaos.results import open_runtime
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

UNENDED = ["scheduled", "blocked", "held", "queued", "running", "retrying"]
LONGEST_LIFE = 2.5
"""Maximum seconds from the start of a runtime to its kill."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "all": {"every": "1s", "missed": "run-all", "overlap": "queue"},
    "skip": {"every": "1s", "missed": "run-all", "overlap": "skip"},
    "once": {"every": "2s", "missed": "run-once", "overlap": "queue"},
    "none": {"every": "1s", "missed": "skip", "overlap": "queue"},
}


@dataclass(frozen=True, slots=True)
class KillResult:
    """Fire times that were handled, by outcome, and what was wrong with them."""

    kills: int
    outcomes: Counter[str]
    faults: list[str]


def run_trial(kills: int, seed: int) -> KillResult:
    """Kill the runtime while schedules fire, then compare fire times, tasks and runs."""
    pick = random.Random(seed)
    with open_runtime() as living:
        for name, keys in SCHEDULES.items():
            script = f'echo "{name} ${FIRE_TIME}" >> {living.home}/ran'
            living.call(
                "schedule.create", name=name, script=script, timezone="UTC", cwd="/", env={},
                cpu=0.01, **keys,
            )  # fmt: skip
        living.call("queue.set", name="default", capacity=16)
        for _ in range(kills):
            _kill_at_random(living, pick)
        for name in SCHEDULES:
            living.call("schedule.pause", name=name)
        wait_until(lambda: not living.call("ls", status=UNENDED)["tasks"], "all ended")
        return _compare(living, kills)


def _kill_at_random(living: RuntimeProcess, pick: random.Random) -> None:
    pid = living.pid
    pause(pick.uniform(0.0, LONGEST_LIFE))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"runtime {pid} gone")
    living.start()


def _compare(living: RuntimeProcess, kills: int) -> KillResult:
    ran = Counter((living.home / "ran").read_text().splitlines())
    faults = [f"{line} ran {count} times" for line, count in ran.items() if count > 1]
    outcomes: Counter[str] = Counter()
    database = paths.get_database_path(living.home)
    with closing(sqlite3.connect(make_read_only_uri(database), uri=True)) as c:
        for name, keys in SCHEDULES.items():
            rows = c.execute(
                "SELECT fire_time, outcome FROM fires WHERE schedule = ? ORDER BY fire_time",
                (name,),
            ).fetchall()
            outcomes += Counter(outcome for _, outcome in rows)
            times = [timestamps.parse_time(at) for at, _ in rows]
            faults += _find_gaps(name, times, int(keys["every"][:-1]))
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
    return KillResult(kills, outcomes, faults)


def _find_gaps(name: str, times: list[datetime], seconds: int) -> list[str]:
    step = timedelta(seconds=seconds)
    return [
        f"{name}: nothing was done between {first} and {second}"
        for first, second in zip(times, times[1:], strict=False)
        if second - first != step
    ]


def format_report(result: KillResult) -> str:
    """Return the figures of a trial in one line, and its faults."""
    found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(result.outcomes.items()))
    lines = [f"{result.kills} kills, {result.outcomes.total()} fire times: {found}"]
    return "\n".join([*lines, *result.faults])
