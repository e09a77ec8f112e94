"""Usage samples of a run, kept in ten cells and measured on a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app.runtime.duties.usage import MAX_CELL, MAX_CELLS, UsageSampler, UsageTrend


def test_the_trend_of_a_run_fits_ten_cells_whatever_its_duration():
    trend = UsageTrend(0.0)
    for at in range(0, 6 * 3600, 2):
        trend.add(float(at), at / 3600, 100.0)

    assert (len(trend.cpu), len(trend.memory), trend.cell) == (MAX_CELLS, MAX_CELLS, MAX_CELL)
    assert trend.cpu == sorted(trend.cpu)
    assert trend.cpu[-1] == (6 * 3600 - 2) / 3600
    assert trend.cpu[0] > 5.5 - 0.05


def test_short_runs_have_short_cells_that_merge_to_their_maximum():
    trend = UsageTrend(0.0)
    for at, cpu in ((0.0, 1.0), (2.0, 4.0), (4.0, 2.0), (27.0, 3.0)):
        trend.add(at, cpu, 1.0)
    assert trend.cell * MAX_CELLS < 30
    assert (trend.cpu[0], trend.cpu[-1], len(trend.cpu)) == (4.0, 3.0, MAX_CELLS)

    trend.add(40.0, 1.0, 1.0)

    assert trend.cell * MAX_CELLS < 60
    assert (trend.cpu[0], max(trend.cpu), len(trend.cpu)) == (4.0, 4.0, 8)


def test_a_gap_longer_than_all_cells_leaves_only_new_values():
    trend = UsageTrend(0.0)
    trend.add(0.0, 5.0, 5.0)
    trend.add(1e6, 1.0, 1.0)

    assert len(trend.cpu) <= MAX_CELLS
    assert (max(trend.cpu), trend.cpu[-1]) == (1.0, 1.0)


def test_a_measured_run_reports_its_processes_and_peaks(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        usage = UsageSampler(tmp_path)
        usage.measure([("r", process.pid)])
        usage.measure([("r", process.pid)])
        told = usage.runs["r"].to_run_use()
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    usage.measure([("r", os.getpid())])

    assert told.processes == 1
    assert told.most_memory == max(told.memory_cells) > 1.0
    assert len(told.cpu_cells) == 1
    assert usage.runs["r"].most_memory >= told.most_memory
