"""Tests with recorded traces in virtual time, compared with reference schedules."""

import json

import pytest

from tests.core.scheduling.simulator import (
    TraceJob,
    compute_mean_slowdown,
    map_start_times,
    simulate,
)
from tests.core.scheduling.trace_files import CASES, read_slurm, read_swf

assert CASES is not None


@pytest.mark.parametrize(("schedule", "estimate"), [("easy", 8), ("easy_clairvoyant", 17)])
def test_sdsc_sp2_jobs_start_like_textbook_easy_backfill(schedule: str, estimate: int):
    rows = read_swf(CASES / "reference" / f"SDSC-SP2.{schedule}.swf.gz")
    jobs = [TraceJob(int(row[0]), row[1], row[3], row[estimate], row[7]) for row in rows]

    begun = map_start_times(jobs, cpu=128)

    assert len(begun) == 54006
    assert begun == {int(row[0]): row[1] + row[2] for row in rows}


def test_slurm_jobs_wait_like_an_independent_simulator():
    rows = json.loads((CASES / "reference" / "computed_policy_rows.json").read_text())
    expected = rows["two_resource"]["xdmod-phillips"]["policies"]["easy"]
    jobs = list(read_slurm(CASES / "traces" / "xdmod-phillips.sacct.psv.gz"))

    begun = map_start_times(jobs, cpu=64, memory=184000)

    waits = [begun[job.number] - job.submit for job in jobs]
    assert len(jobs) == len(begun) == 4024
    assert round(sum(waits) / len(waits), 1) == expected["avg_wait_s"]
    assert max(waits) == expected["max_wait_s"]
    assert round(compute_mean_slowdown(jobs, begun), 2) == expected["avg_bsld"]


def test_jobs_that_exceed_their_limits_never_exceed_the_pool():
    rows = read_swf(CASES / "traces" / "HPC2N-first3000.swf.gz")
    jobs = [_make_job(row) for row in rows if row[3] >= 0 and row[4] > 0]
    assert sum(job.run > job.limit for job in jobs) > 100
    begun: list[int] = []

    for moment in simulate(jobs, cpu=240, memory=120 * 1024):
        held = (*moment.view.active, *moment.plan.starts)
        assert sum(run.needs["cpu"] for run in held) <= 240 and sum(
            run.needs["memory"] for run in held
        ) <= (120 * 1024)
        begun += [task.number for task in moment.plan.starts]

    assert sorted(begun) == sorted(job.number for job in jobs)


def _make_job(row: list[float]) -> TraceJob:
    """Return a job of a cluster with two cores and 1 GiB per node.

    Memory is the request (KiB a core), or else the job's share of the node.
    """
    memory = row[9] / 1024 if row[9] > 0 else 512.0
    return TraceJob(int(row[0]), row[1], row[3], max(row[8], 0.0), row[4], memory * row[4])
