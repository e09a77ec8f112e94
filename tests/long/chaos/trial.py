"""One chaos trial: a home, its load generator and its killer, and the outcome."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths
from tests.long.chaos.killer import ROLES, Killer, pause
from tests.long.chaos.load_generator import LoadGenerator
from tests.long.chaos.run_steps import STEPS
from tests.runtime_process import RuntimeProcess

STOP_INTERVAL = 60
"""Kills between two rounds of SIGSTOP."""


@dataclass(frozen=True, slots=True)
class ChaosOutcome:
    """Work done and failures found; `cells` counts runs by (killed process, step)."""

    tasks: int
    seconds: float
    killer: Killer
    faults: dict[str, list[Any]]
    held: dict[str, dict[str, int]]

    @property
    def unmet_cells(self) -> list[tuple[str, str]]:
        return [(who, step) for who in ROLES for step in STEPS if not self.killer.cells[who, step]]


def run_trial(
    tasks: int, kills: int, seed: int, capacity: int = 16, patience: float = 60.0, say: Any = None
) -> ChaosOutcome:
    """Run the given numbers of tasks and kills in a temporary home."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        paths.make_home(Path(folder))
        living = RuntimeProcess(Path(folder))
        try:
            living.start()
            load = LoadGenerator(living, random.Random(seed), capacity)
            killer = Killer(living, random.Random(seed + 1))
            _run_kills(load, killer, tasks, kills, say)
            load.drain(patience)
            killer.wait_until_complete()
            usage = {role: _read_usage(pid) for role, pid in killer.pids.items()}
            return ChaosOutcome(
                len(load.jobs), time.monotonic() - began, killer, load.find_failures(), usage
            )
        finally:
            living.kill_all()


def _run_kills(load: LoadGenerator, killer: Killer, tasks: int, kills: int, say: Any) -> None:
    killer.wait_until_complete()
    load.start()
    try:
        while (done := killer.kills.total()) < kills or len(load.jobs) < tasks:
            if load.errors:
                break
            if done < kills:
                killer.kill_one()
                if done % STOP_INTERVAL == STOP_INTERVAL // 2:
                    killer.stop_each()
            pause(killer.dice.uniform(0, 0.15))
            if say and done % 50 == 0:
                say(f"{done} kills, {len(load.jobs)} tasks, {load.count_unfinished()} left")
    finally:
        load.finish()


def _read_usage(pid: int) -> dict[str, int]:
    """Return the open descriptors and resident memory (KiB) of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    size = int(status.partition("VmRSS:")[2].split()[0])
    return {"descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())), "rss": size}


def format_report(outcome: ChaosOutcome) -> str:
    """Return the table of deaths by step, and the verdict."""
    killer = outcome.killer
    lines = [f"{'killed':8}" + "".join(f"{step:>11}" for step in STEPS)]
    for who in ROLES:
        lines.append(f"{who:8}" + "".join(f"{killer.cells[who, step]:>11}" for step in STEPS))
    lines.append(
        f"{outcome.tasks} tasks, kills {dict(killer.kills)}, {killer.stops} stops of a second,"
        f" {killer.slowed} in slow motion, keepers killed at a call {dict(killer.calls)},"
        f" {outcome.seconds:.0f} s; slowest return to full strength {killer.worst:.1f} s"
    )
    lines.append(f"at the end: {outcome.held}")
    lines += [f"{what}: {len(where)}, e.g. {where[:2]}" for what, where in outcome.faults.items()]
    lines += [f"cells never met: {outcome.unmet_cells}"] if outcome.unmet_cells else []
    lines.append(
        "0 lost, 0 twice, 0 wrong codes, counters at 0" if not outcome.faults else "FAILED"
    )
    return "\n".join(lines)
