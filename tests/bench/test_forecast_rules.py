"""Short form of the backtest of forecast rules, and its arithmetic."""

from __future__ import annotations

import gzip
from math import inf
from pathlib import Path
from random import Random

import pytest

from app.core.rules.conditions import ForecastDeadline, ForecastNode
from tests.bench.forecast_rules import Backtest, Watched, compute_score, main
from tests.bench.forecasts import NamedJob

pytestmark = pytest.mark.unit

NODE = ForecastNode(forecast=ForecastDeadline(reference="queued_at", offset=100.0))


def watch(fired_at: float, ended_at: float) -> Watched:
    return Watched(1.0, 0.0, 100.0, NODE, fired_at, ended_at)


def test_the_score_counts_right_false_and_missing_alerts():
    score = compute_score([
        watch(20.0, 150.0), watch(60.0, 101.0),  # right: 80 s and 40 s before the deadline
        watch(50.0, 90.0),  # false
        watch(inf, 120.0), watch(100.0, 120.0),  # late without an alert before the deadline
        watch(inf, 100.0),  # in time, no alert
    ])  # fmt: skip

    assert (score.jobs, score.late, score.alerts, score.right) == (6, 4, 3, 2)
    assert (score.precision, score.recall, score.lead) == (2 / 3, 0.5, 60.0)


def test_a_score_without_alerts_has_no_precision():
    score = compute_score([watch(inf, 100.0)])
    assert (score.precision, score.recall, score.lead) == (None, None, 0.0)


def test_rules_fire_on_a_hand_made_trace_for_the_job_behind_a_long_one():
    steady = [NamedJob(n, "short", 100.0 * n, 50.0, 60.0, 1.0) for n in range(1, 31)]
    long = [NamedJob(100 + n, "long", 4000.0 + 1100 * n, 1000.0, 2000.0, 1.0) for n in range(4)]
    behind = NamedJob(200, "short", 7310.0, 50.0, 100.0, 1.0)  # a long one runs until 8300
    jobs = [*steady, *long, behind]

    found = [*Backtest(jobs, 1.0, factors=(1.0, 20.0), watch=len(jobs)).run()]

    (soon, later) = [one for one in found if one.submit == behind.submit]
    assert soon.is_late and soon.fired_at == behind.submit
    assert not later.is_late and not later.is_alerted
    calm = [one for one in found if one.submit <= 3000]
    assert not any(one.is_late or one.is_alerted for one in calm)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of two programs whose run times vary, on a busy machine of four cores."""
    random, lines = Random(7), ["; MaxProcs: 4"]
    for number in range(1, 301):
        program = random.choice((1, 2))
        seconds = round(random.lognormvariate(4 + program, 0.5)) + 1
        submit = number // 20 * 2200
        lines.append(f"{number} {submit} 0 {seconds} 1 -1 -1 1 900 -1 1 3 1 {program} 1 -1 -1 -1")
    path = tmp_path / "small.swf.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_most_alerts_are_right_and_few_late_jobs_are_missed(
    trace: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([str(trace.parent), "--factors", "1", "--watch", "100"]) == 0

    note, head, row = capsys.readouterr().out.splitlines()
    assert "sample" in note and head.split()[:4] == ["trace", "factor", "jobs", "late"]
    jobs, late, alerts, right = (int(word) for word in row.split()[2:6])
    assert jobs >= 100 and 10 < late < 90
    assert right / alerts > 0.7 and right / late > 0.8
