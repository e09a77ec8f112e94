"""Benchmark of whole command processes against the bare interpreter."""

from __future__ import annotations

import os
import statistics
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.bench.figures import Figure
from tests.bench.workload import submit_bulk

ROUNDS = 21


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure `submit`, `status`, and `ls` of 10,000 queued tasks, each beside the interpreter."""
    bare = make_bare_interpreter(house)
    house.run_ok("queue", "create", "parked", "--capacity", "1")
    house.run_ok("queue", "pause", "parked")
    for what, words, goal, better in (
        ("taskdeck submit, a process", ("submit", "-q", "parked", "--", "true"), 4, 3),
        ("taskdeck status, a process", ("status",), 4, 3),
        ("taskdeck ls of 10,000, a process", ("ls", "--limit", "0"), 10, 6),
    ):
        if words[0] == "ls":
            submit_bulk(house, 10_000 - ROUNDS, "parked")
        ours, raw = measure_in_turn(house, [PROGRAM, *words], [bare, "-I", "-c", "pass"])
        yield Figure(
            what, ours * 1e3, "ms", raw * 1e3, "python -I -c pass", ours / raw, goal, better
        )


def make_bare_interpreter(house: AcceptanceHome) -> Path:
    """Create an empty environment; the machine's site-packages slow every start."""
    venv.create(house.work / "bare", symlinks=True)
    return house.work / "bare" / "bin" / "python"


def measure_in_turn(
    house: AcceptanceHome, *commands: Sequence[str | os.PathLike[str]]
) -> list[float]:
    """Return the median seconds of each command, run alternately without output."""
    rounds = [[measure_process(house, command) for command in commands] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def measure_process(house: AcceptanceHome, command: Sequence[str | os.PathLike[str]]) -> float:
    """Return the seconds of one process from its spawn to its end."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(
        command[0], [os.fspath(word) for word in command], house.env, file_actions=null
    )
    status = os.waitpid(pid, 0)[1]
    took = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{command} failed: {os.waitstatus_to_exitcode(status)}")
    return took
