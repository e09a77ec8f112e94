"""Short form of the backtest of forecasts, on a small trace."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pytest

from tests.bench.forecasts import backtest, main, read_jobs

pytestmark = pytest.mark.unit


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of two programs whose run times vary, on a busy machine of four cores."""
    random, lines = Random(7), ["; MaxProcs: 4"]
    for number in range(1, 601):
        program = random.choice((1, 2))
        seconds = round(random.lognormvariate(4 + program, 0.5)) + 1
        submit = number // 20 * 2200
        lines.append(f"{number} {submit} 0 {seconds} 1 -1 -1 1 36000 -1 1 3 1 {program} 1 -1 -1 -1")
    path = tmp_path / "small.swf.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_most_jobs_start_within_their_forecast(trace: Path):
    results = list(backtest(*read_jobs(trace, 600), forecasts=60))

    ranges = [one for one in results if not one.is_bound]
    share = sum(one.is_hit for one in ranges) / len(ranges)
    assert len(ranges) > 200
    assert 0.7 <= share <= 0.95


def test_the_backtest_prints_a_row_for_each_trace(trace: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(trace.parent), "--jobs", "200", "--forecasts", "10"]) == 0

    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["trace", "jobs", "starts", "inside"]
    assert row.split()[:2] == ["small", "200"]
