"""Tests with recorded traces in virtual time, compared with reference schedules.

`python -m tests.bench.replays` compares the whole traces.
"""

import json
from dataclasses import replace

import pytest

from app.core.scheduling.order import FIFO
from app.core.scheduling.resources import make_amounts
from tests.bench.replays import list_sequences, read_reference, replay_jobs
from tests.core.scheduling.trace_files import CASES, read_jobs
from tests.trials.replays.replay import ReplayOptions, TraceReplay, compute_figures

assert CASES is not None
REFERENCE = CASES / "reference"
DAYS = 86400.0


@pytest.mark.parametrize(
    ("schedule", "estimates"), [("easy", "user"), ("easy_clairvoyant", "perfect")]
)
def test_sdsc_sp2_jobs_start_like_textbook_easy_backfill(schedule: str, estimates: str):
    jobs, expected = read_reference(REFERENCE / f"SDSC-SP2.{schedule}.swf.gz", until=60 * DAYS)

    replay = replay_jobs(jobs, {"cpu": 128.0}, ReplayOptions(FIFO, estimates))

    begun = {replay.jobs[at].number: start for at, start in replay.starts.items()}
    # A later start may depend on jobs that are left out.
    early = {number for number, start in expected.items() if start < jobs[-1].submit}
    assert len(early) > 3000
    assert {number: begun[number] for number in early} == {n: expected[n] for n in early}


@pytest.mark.parametrize(("policy", "backfills"), [("easy", True), ("strict", False)])
def test_slurm_jobs_wait_like_an_independent_simulator(policy: str, backfills: bool):
    rows = json.loads((REFERENCE / "computed_policy_rows.json").read_text())
    expected = rows["two_resource"]["xdmod-phillips"]["policies"][policy]
    totals = {"cpu": 64.0, "memory": 184000.0}
    jobs = read_jobs(CASES / "traces" / "xdmod-phillips.sacct.psv.gz", totals)

    figures = compute_figures(replay_jobs(jobs, totals, ReplayOptions(FIFO, backfills=backfills)))

    assert figures.jobs == 4024
    assert {
        "avg_wait_s": round(figures.mean_wait, 1),
        "p95_wait_s": figures.p95_wait,
        "max_wait_s": figures.longest_wait,
        "avg_bsld": round(figures.mean_slowdown, 2),
        "makespan_s": figures.makespan,
        "cpu_util": round(figures.utilisation["cpu"], 4),
        "mem_util": round(figures.utilisation["memory"], 4),
    } == expected


def test_first_come_first_served_has_the_published_slowdown():
    found = [
        compute_figures(replay_jobs(jobs, {"cpu": 256.0}, ReplayOptions(FIFO, backfills=False)))
        for jobs in list_sequences(CASES, "Lublin-1")
    ]

    assert sum(one.mean_slowdown for one in found) / len(found) == pytest.approx(7273.77, abs=0.01)


def test_jobs_that_exceed_their_limits_never_exceed_the_pool():
    totals = {"cpu": 240.0, "memory": 120.0 * 1024}
    jobs = [
        replace(job, needs=make_amounts(job.needs["cpu"], 512 * job.needs["cpu"], None))
        for job in read_jobs(CASES / "traces" / "HPC2N-first3000.swf.gz", {"cpu": 240.0})
    ]
    assert sum(job.run > job.limit for job in jobs if job.limit) > 100
    replay = TraceReplay(jobs, totals, ReplayOptions(FIFO))

    while replay.advance():
        view = replay.make_view()
        held = [*view.active, *replay.start()]
        assert all(sum(run.needs[name] for run in held) <= totals[name] for name in totals)

    assert len(replay.starts) == len(jobs)
