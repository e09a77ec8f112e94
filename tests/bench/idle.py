"""Benchmark of the idle cost: CPU with and without a deck, and memory."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.recorder import Recorder

SECONDS = 20.0


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure a home in which one task has run."""
    house.run_ok("submit", "--wait", "--", "true")
    yield _measure_without_deck(house)
    yield from measure_with_deck(house, "one task has run")
    memory = sum(map(read_pss, _list_pids(house)))
    yield Figure("memory of runtime, keeper, guard", memory, "MiB PSS", None, "", memory, 70)


def _measure_without_deck(house: AcceptanceHome) -> Figure:
    """Measure the CPU share of runtime, keeper and guard together."""
    pids = _list_pids(house)
    before = sum(map(read_cpu, pids))
    select.select([], [], [], SECONDS)
    share = (sum(map(read_cpu, pids)) - before) / SECONDS * 100
    return Figure("idle, runtime, keeper and guard", share, "% of a core", None, "", share, 1, 0.3)


def measure_with_deck(house: AcceptanceHome, where: str) -> Iterator[Figure]:
    """Measure the CPU share of runtime, keeper, guard and an open deck together."""
    pids = _list_pids(house)
    with Recorder(["taskdeck"], house.env, house.work, 120, 40) as deck:
        deck.record(5.0)
        before = sum(map(read_cpu, [*pids, deck.pid]))
        deck.record(SECONDS)
        share = (sum(map(read_cpu, [*pids, deck.pid])) - before) / SECONDS * 100
        deck.type("q").end()
    yield Figure(f"idle, a deck open, {where}", share, "% of a core", None, "", share, 2)


def _list_pids(house: AcceptanceHome) -> list[int]:
    found = house.run_json("status")
    return [found["runtime"]["pid"], found["keeper"]["pid"], found["keeper"]["guard_pid"]]


def read_cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_pss(pid: int) -> float:
    """Return the proportional set size of a process in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
