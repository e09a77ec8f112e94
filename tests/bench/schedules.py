"""Benchmark of 10,000 schedules: CPU of the runtime while none fires, and while one fires a second.

Judged is what they add. The schedule that fires skips its fire times, because its first task never
ends, so the cost is that of firing alone.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from app.service.schedules.imports import MAX_LINES
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.idle import read_cpu

SCHEDULES = 10_000
SECONDS = 20.0
IDLE_SHARE, IDLE_SECONDS, DEADLINE = 10.0, 3, 120.0
"""An idle runtime uses at most this share of a core, in per cent, in so many successive seconds."""
GOAL = 1.0
"""Per cent of a core."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure a home without schedules, with 10,000 idle ones, and with one that fires."""
    house.submit("--", "sleep", "1000")
    empty = _measure_share(house)
    lines = _list_lines()
    for at in range(0, SCHEDULES, MAX_LINES):
        part = "".join(lines[at : at + MAX_LINES])
        house.run_ok("import", "crontab", "-", "--apply", "--json", input=part)
    yield _make_figure("none fires", _measure_share(house), empty, "no schedule")
    house.run_ok("schedule", "create", "tick", "--every", "1s", "--", "sleep", "1000")
    firing = _measure_share(house)
    house.run_ok("schedule", "pause", "tick")
    yield _make_figure("1 fires a second", firing, _measure_share(house), "none fires")


def _list_lines() -> list[str]:
    """Return lines of a crontab that fire once a year, on different days from half a year ahead."""
    first = datetime.now(UTC) + timedelta(days=180)
    days = [first + timedelta(days=at % 100) for at in range(SCHEDULES)]
    return [
        f"{at % 60} {at // 60 % 24} {day.day} {day.month} * true {at}\n"
        for at, day in enumerate(days)
    ]


def _measure_share(house: AcceptanceHome) -> float:
    """Return the CPU share of the idle runtime in per cent of a core."""
    pid = house.run_json("status")["runtime"]["pid"]
    house.run_ok("db", "backup")  # the next one is due in an hour
    _wait_until_idle(pid)
    return _use_cpu(pid, SECONDS)


def _wait_until_idle(pid: int) -> None:
    """Wait until the runtime has done the work of the last change."""
    deadline, idle = time.monotonic() + DEADLINE, 0
    while idle < IDLE_SECONDS:
        idle = idle + 1 if _use_cpu(pid, 1.0) <= IDLE_SHARE else 0
        if time.monotonic() > deadline:
            raise TimeoutError("the runtime does not become idle")


def _use_cpu(pid: int, seconds: float) -> float:
    """Return the CPU share of a process in the next seconds, in per cent of a core."""
    before, began = read_cpu(pid), time.monotonic()
    select.select([], [], [], seconds)
    return (read_cpu(pid) - before) / (time.monotonic() - began) * 100


def _make_figure(when: str, share: float, beside: float, what: str) -> Figure:
    name = f"runtime with {SCHEDULES:,} schedules, {when}"
    return Figure(name, share, "% of a core", beside, what, share - beside, GOAL)
