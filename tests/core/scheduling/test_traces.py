"""Recorded traces replayed in virtual time, judged by schedules that others computed."""

import json

import pytest

from tests.core.scheduling.simulator import Job, mean_slowdown, moments, starts
from tests.core.scheduling.trace_files import CASES, slurm, swf

assert CASES is not None


@pytest.mark.parametrize(("schedule", "estimate"), [("easy", 8), ("easy_clairvoyant", 17)])
def test_all_54006_jobs_of_sdsc_sp2_start_when_textbook_easy_starts_them(schedule: str, estimate: int):
    rows = swf(CASES / "reference" / f"SDSC-SP2.{schedule}.swf.gz")
    jobs = [Job(int(row[0]), row[1], row[3], row[estimate], row[7]) for row in rows]

    begun = starts(jobs, cpu=128)

    assert len(begun) == 54006
    assert begun == {int(row[0]): row[1] + row[2] for row in rows}


def test_4024_slurm_jobs_with_cpu_and_memory_wait_as_an_independent_simulator_says():
    rows = json.loads((CASES / "reference" / "computed_policy_rows.json").read_text())
    expected = rows["two_resource"]["xdmod-phillips"]["policies"]["easy"]
    jobs = list(slurm(CASES / "traces" / "xdmod-phillips.sacct.psv.gz"))

    begun = starts(jobs, cpu=64, memory=184000)

    waits = [begun[job.number] - job.submit for job in jobs]
    assert len(jobs) == len(begun) == 4024
    assert round(sum(waits) / len(waits), 1) == expected["avg_wait_s"]
    assert max(waits) == expected["max_wait_s"]
    assert round(mean_slowdown(jobs, begun), 2) == expected["avg_bsld"]


def test_a_cluster_whose_jobs_outrun_their_limits_is_never_over_its_pool_and_runs_each_job_once():
    rows = swf(CASES / "traces" / "HPC2N-first3000.swf.gz")
    jobs = [_with_memory(row) for row in rows if row[3] >= 0 and row[4] > 0]
    assert sum(job.run > job.limit for job in jobs) > 100
    begun: list[int] = []

    for moment in moments(jobs, cpu=240, memory=120 * 1024):
        held = (*moment.view.active, *moment.plan.starts)
        assert sum(run.cpu for run in held) <= 240 and sum(run.memory for run in held) <= 120 * 1024
        begun += [task.number for task in moment.plan.starts]

    assert sorted(begun) == sorted(job.number for job in jobs)


def _with_memory(row: list[float]) -> Job:
    """A job of a cluster of two cores and 1 GiB a node: memory as asked (KiB a core), else its share of the node."""
    memory = row[9] / 1024 if row[9] > 0 else 512.0
    return Job(int(row[0]), row[1], row[3], max(row[8], 0.0), row[4], memory * row[4])
