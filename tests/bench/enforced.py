"""Benchmark of a drain of no-ops in a pool that enforces limits, beside the same without.

The keeper divides a folder of the kernel's own tree. Of a tree without the controllers of memory
and CPU, the files of the limits stay unwritten. A machine whose tree may not be changed has no
figures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from app.keeper import cgroups, keeper
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.drain import measure_drain
from tests.bench.figures import Figure
from tests.runtime_process import wait_until

COUNT, ROUNDS = 800, 5
GOAL = 0.8
START = """
import os, sys
sys.path.insert(0, sys.argv[1])
from app.keeper import cgroups, keeper

def enable(folder, real=cgroups.enable_controllers):
    real(folder)
    return list(cgroups.CONTROLLERS)

def write(path, value, real=cgroups._write):
    if os.path.exists(path):
        real(path, value)

cgroups.enable_controllers, cgroups._write = enable, write
sys.exit(keeper.main(os.fsencode(sys.argv[2]), None, os.fsencode(sys.argv[3])))
"""
"""Program of a keeper that takes the controllers as present."""


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure ends per second, and the median of the ratios within each round."""
    try:
        place = Path(cgroups.find_own_folder()) / f"taskdeck-bench-{os.getpid()}"
        place.mkdir()
    except (OSError, ValueError) as error:
        yield Figure.make_absent(f"drain with cgroups: no tree of cgroup v2 to change ({error})")
        return
    try:
        house.run_ok("serve", "--detach")
        house.run_ok("stop")
        wait_until(lambda: start_dividing_keeper(house.home, place), "the first keeper has ended")
        house.run_ok("serve", "--detach")
        rounds = [
            tuple(COUNT / measure_drain(house, count=COUNT, enforce=one) for one in order)[::step]
            for order, step in ((("none", "memory,cpu"), 1), (("memory,cpu", "none"), -1))
            for _ in range(ROUNDS // 2 + 1)
        ]
        house.close()
    finally:
        cgroups.remove_folder(os.fspath(place))
    plain, grouped = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    ratio = statistics.median(grouped / plain for plain, grouped in rounds)
    what = f"drain: {COUNT} no-ops of Taskdeck, a cgroup each"
    yield Figure(what, grouped, "ends/s", plain, "without", ratio, GOAL, at_most=False)


def start_dividing_keeper(home: Path, place: Path) -> bool:
    """Start the keeper of a home for the next runtime; return False if the home has one."""
    folder = os.path.abspath(f"{keeper.__file__}/../../..")
    words = [sys.executable, "-I", "-S", "-c", START, folder, home, place]
    return subprocess.run(words, stdin=subprocess.DEVNULL, cwd="/", check=False).returncode == 0
