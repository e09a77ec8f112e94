"""Benchmark of 10,000 schedules: CPU of the runtime while none fires, and while one fires a second.

Judged is what they add. The schedule that fires skips its fire times, because its first task never
ends, so the cost is that of firing alone.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from app.service.schedules.imports import MAX_LINES
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.idle import read_cpu

SCHEDULES = 10_000
SECONDS = 20.0
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
    """Return the CPU share of the runtime in per cent of a core."""
    pid = house.run_json("status")["runtime"]["pid"]
    select.select([], [], [], 5.0)  # the work of the last change
    before = read_cpu(pid)
    select.select([], [], [], SECONDS)
    return (read_cpu(pid) - before) / SECONDS * 100


def _make_figure(when: str, share: float, beside: float, what: str) -> Figure:
    name = f"runtime with {SCHEDULES:,} schedules, {when}"
    return Figure(name, share, "% of a core", beside, what, share - beside, GOAL)
