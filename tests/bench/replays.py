"""Replay of recorded traces beside reference schedules: `python -m tests.bench.replays`.

The tables: the share of jobs of SDSC-SP2 that start at the second of the recorded EASY schedule;
the average bounded slowdown by the protocol of a paper (RLScheduler, SC'20), with the longest wait
of our policies; a pool of cores and memory beside an independent simulator; and the CPU time of a
decision while 100,000 jobs wait. The files are in the folder of TASKDECK_CASES.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from app.core.scheduling.order import FIFO, SHORTEST
from app.core.scheduling.plan import Amounts
from tests.core.scheduling.trace_files import CASES, read_jobs, read_swf
from tests.trials.replays.replay import (
    PERFECT,
    PRIORITY,
    USER,
    ReplayFigures,
    ReplayOptions,
    TraceJob,
    TraceReplay,
    compute_figures,
)

SEQUENCE = 1024
"""Jobs of a sequence of the paper's protocol."""
PAPER_TRACES = {
    "Lublin-1": ("lublin_256.swf.gz", 256.0),
    "SDSC-SP2": ("SDSC-SP2-1998-4.2-cln.swf.gz", 128.0),
}


def replay_jobs(jobs: Sequence[TraceJob], totals: Amounts, options: ReplayOptions) -> TraceReplay:
    """Return a finished replay."""
    replay = TraceReplay(jobs, totals, options)
    for _ in replay:
        pass
    return replay


def read_reference(
    path: Path, until: float | None = None
) -> tuple[list[TraceJob], dict[int, float]]:
    """Return the jobs of a recorded schedule in order of submission, and their starts by number.

    `until` leaves out jobs that are submitted so many seconds after the first one.
    """
    rows = sorted(read_swf(path), key=lambda row: (row[1], row[0]))
    if until is not None:
        rows = [row for row in rows if row[1] <= rows[0][1] + until]
    jobs = [TraceJob(int(row[0]), row[1], row[3], row[8], {"cpu": row[7]}) for row in rows]
    return jobs, {int(row[0]): row[1] + row[2] for row in rows}


def list_sequences(cases: Path, trace: str) -> Iterator[list[TraceJob]]:
    """Yield the ten sequences of jobs of the paper's protocol.

    `reference/rlscheduler_sc20_table.json` states the protocol: jobs with a run time of 0 are left
    out, a negative one is 10 s, and the requested time is the run time if it is unknown.
    """
    table = json.loads((cases / "reference" / "rlscheduler_sc20_table.json").read_text())
    rows = sorted(row for row in read_swf(cases / "traces" / PAPER_TRACES[trace][0]) if row[3])
    for first in table["protocol"]["start_indices"]:
        yield [
            TraceJob(
                int(row[0]),
                row[1],
                row[3] if row[3] > 0 else 10.0,
                row[8] if row[8] > 0 else None,
                {"cpu": max(row[4], row[7])},
            )
            for row in rows[first : first + SEQUENCE]
        ]


def compare_starts(cases: Path) -> Iterator[str]:
    """Yield the table of jobs that start as in the recorded schedules."""
    yield (
        f"{'SDSC-SP2':18} {'jobs':>7} {'same second':>12} {'share':>8} {'slowdown':>9}"
        f" {'stated':>8} {'CPU':>6}"
    )
    for schedule, estimates in (("easy", USER), ("easy_clairvoyant", PERFECT)):
        jobs, expected = read_reference(cases / "reference" / f"SDSC-SP2.{schedule}.swf.gz")
        began = time.process_time()
        replay = replay_jobs(jobs, {"cpu": 128.0}, ReplayOptions(FIFO, estimates))
        took = time.process_time() - began
        same = sum(expected[replay.jobs[at].number] == start for at, start in replay.starts.items())
        stated = sum(
            max(1.0, (expected[job.number] - job.submit + job.run) / max(job.run, 10.0))
            for job in jobs
        ) / len(jobs)
        ours = compute_figures(replay).mean_slowdown
        yield (
            f"{schedule:18} {len(jobs):>7,} {same:>12,} {100 * same / len(jobs):>6.2f} %"
            f" {ours:>9.2f} {stated:>8.2f} {took:>4.1f} s"
        )


def compare_paper(cases: Path) -> Iterator[str]:
    """Yield the paper's table with our policies, each with its longest wait."""
    table = json.loads((cases / "reference" / "rlscheduler_sc20_table.json").read_text())
    published = table["avg_bounded_slowdown"]
    yield f"{'bounded slowdown':44} " + " ".join(
        f"{name:>10} {'longest':>10}" for name in PAPER_TRACES
    )
    for kind, shown in (
        ("no_backfilling", "published"),
        ("with_backfilling", "published, backfill"),
    ):
        for policy in published[kind]["Lublin-1"]:
            cells = [f"{published[kind][name][policy]:>10.2f} {'–':>10}" for name in PAPER_TRACES]
            yield f"{policy + ' (' + shown + ')':44} " + " ".join(cells)
    for shown, options in (
        ("ours: fifo, no backfill", ReplayOptions(FIFO, USER, backfills=False)),
        ("ours: priority, users' estimates (default)", ReplayOptions(PRIORITY, USER)),
        ("ours: shortest, users' estimates", ReplayOptions(SHORTEST, USER)),
        ("ours: priority, perfect estimates", ReplayOptions(PRIORITY, PERFECT)),
        ("ours: shortest, perfect estimates", ReplayOptions(SHORTEST, PERFECT)),
    ):
        cells = list[str]()
        for name, (_, cores) in PAPER_TRACES.items():
            found = [
                compute_figures(replay_jobs(jobs, {"cpu": cores}, options))
                for jobs in list_sequences(cases, name)
            ]
            mean = sum(one.mean_slowdown for one in found) / len(found)
            cells.append(f"{mean:>10.2f} {max(one.longest_wait for one in found):>8.0f} s")
        yield f"{shown:44} " + " ".join(cells)


def compare_two_resources(cases: Path) -> Iterator[str]:
    """Yield the table of a pool of cores and memory."""
    rows = json.loads((cases / "reference" / "computed_policy_rows.json").read_text())
    expected = rows["two_resource"]["xdmod-phillips"]
    totals = {"cpu": float(expected["pool_cpu"]), "memory": float(expected["pool_mem_mib"])}
    jobs = read_jobs(cases / "traces" / "xdmod-phillips.sacct.psv.gz", totals)
    yield (
        f"{'xdmod-phillips':28} {'mean wait':>10} {'p95':>8} {'longest':>8} {'slowdown':>10}"
        f" {'cores':>7} {'memory':>7}"
    )
    for policy, row in expected["policies"].items():
        yield _format_row(
            f"reference: {policy}", row["avg_wait_s"], row["p95_wait_s"], row["max_wait_s"],
            row["avg_bsld"], row["cpu_util"], row["mem_util"],
        )  # fmt: skip
    for shown, options in (
        ("ours: fifo, no backfill", ReplayOptions(FIFO, backfills=False)),
        ("ours: priority (default)", ReplayOptions(PRIORITY)),
        ("ours: shortest", ReplayOptions(SHORTEST)),
    ):
        yield _format_figures(shown, compute_figures(replay_jobs(jobs, totals, options)))


def measure_rounds(waiting: int = 100_000, rounds: int = 2000) -> Iterator[str]:
    """Yield the table of the time of a decision while so many tasks wait."""
    yield f"{waiting:,} waiting jobs of".ljust(34) + f"{'mean':>9} {'p99':>9} {'longest':>9}"
    for shown, memories, limits in (
        ("64 needs, 8 estimates", (0.0,), [3600.0 * 2**n for n in range(8)]),
        ("64 needs, own estimates", (0.0,), []),
        ("1,024 needs, own estimates", tuple(1024.0 * n for n in range(1, 17)), []),
    ):
        random = Random(1)
        kinds = [
            {"cpu": float(cores), "memory": memory} for cores in range(1, 65) for memory in memories
        ]
        jobs = [
            TraceJob(
                number,
                max(0, number - waiting),
                random.uniform(1e3, 1e5),
                random.choice(limits) if limits else random.uniform(1e3, 2e5),
                random.choice(kinds),
            )
            for number in range(waiting + rounds)
        ]
        replay, times = TraceReplay(jobs, {"cpu": 128.0, "memory": 128.0 * 1024}), list[float]()
        while len(times) < rounds and replay.advance():
            began = time.process_time()
            replay.start()
            times.append(time.process_time() - began)
        times.sort()
        cells = sum(times) / len(times), times[len(times) * 99 // 100], times[-1]
        yield f"{shown:34}" + " ".join(f"{1000 * one:>6.2f} ms" for one in cells)


def _format_figures(name: str, one: ReplayFigures) -> str:
    return _format_row(
        name, one.mean_wait, one.p95_wait, one.longest_wait, one.mean_slowdown,
        one.utilisation["cpu"], one.utilisation["memory"],
    )  # fmt: skip


def _format_row(
    name: str, mean: float, p95: float, longest: float, slowdown: float, cpu: float, memory: float
) -> str:
    return (
        f"{name:28} {mean:>10.1f} {p95:>8.0f} {longest:>8.0f} {slowdown:>10.2f}"
        f" {100 * cpu:>5.2f} % {100 * memory:>5.2f} %"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replays")
    parser.add_argument("folder", type=Path, nargs="?", default=CASES)
    args = parser.parse_args(words)
    if args.folder is None:
        parser.error("name the folder of recorded cases, or set TASKDECK_CASES")
    for table in (compare_starts, compare_paper, compare_two_resources):
        for line in table(args.folder):
            print(line, flush=True)
        print()
    for line in measure_rounds():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
