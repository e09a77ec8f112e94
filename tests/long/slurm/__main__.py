"""Long test of Slurm pools: `python -m tests.long.slurm`.

Clusters on the loopback lose their controller, a node, the primary of a backup and the spool. The
controller dies before it has saved what it acknowledged; the process that hands over is killed.
The program exits 1 if a run begins twice, has a wrong code, or is lost without a reason. Needs root
and the packages of Slurm; takes eight minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.long.slurm import scenes
from tests.long.slurm.controller_kills import kill_controller
from tests.long.slurm.homes import kill_home
from tests.long.slurm.marked_runs import Report
from tests.outer.slurm.loopback_cluster import find_obstacle, open_cluster

NODES = 6
ON_CLUSTER = (
    scenes.kill_runtimes,
    scenes.stop_after_restart,
    scenes.stop_a_deaf_run,
    scenes.silence_controller,
    scenes.lose_node,
)
WITH_OWN_CLUSTER = (scenes.take_over_by_backup, scenes.outlive_job_age, scenes.fill_spool)


def main() -> int:
    """Run all scenes and print what became of the runs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.slurm", description="Failures of a site with Slurm."
    )
    parser.add_argument("--rounds", type=int, default=3, help="kills of the controller")
    rounds = parser.parse_args().rounds
    if obstacle := find_obstacle():
        print(f"skipped: {obstacle}")
        return 0
    report = Report()
    for number in range(rounds):
        with open_cluster(NODES) as cluster:
            play(f"controller killed, round {number + 1}", report, kill_controller, cluster, report)
    with open_cluster(NODES, settings={"SlurmdTimeout": "5"}) as cluster:
        for scene in ON_CLUSTER:
            play(scene.__name__, report, scene, cluster, report)
            cluster.reset()
    with open_cluster(NODES) as cluster:
        play("kill_home", report, kill_home, cluster, report)
    for scene in WITH_OWN_CLUSTER:
        play(scene.__name__, report, scene, report)
    print(report.format())
    return 1 if report.faults else 0


def play(name: str, report: Report, scene: Callable[..., object], *arguments: object) -> None:
    """Run a scene in a folder of its own, and count an error as a fault."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="td-slurm-home-") as folder:
        try:
            done = scene(Path(folder), *arguments)
            if inspect.iscoroutine(done):
                asyncio.run(done)
        except (AssertionError, TimeoutError) as error:
            report.faults.append(f"{name}: {type(error).__name__} {error}")
    seconds = time.monotonic() - begun
    print(f"{name}: {seconds:.0f} s, {len(report.faults)} faults", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
