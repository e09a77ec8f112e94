"""Short form of the failures of a Slurm site: one kill of the controller, two of the runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.long.slurm.controller_kills import kill_controller
from tests.long.slurm.marked_runs import Report
from tests.long.slurm.scenes import kill_runtimes
from tests.outer.slurm.loopback_cluster import find_obstacle, open_cluster


@pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())
async def test_no_run_begins_twice_whoever_is_killed(tmp_path: Path):
    report = Report()
    with open_cluster(2) as cluster:
        (tmp_path / "controller").mkdir()
        await kill_controller(tmp_path / "controller", cluster, report, (0.0, 0.5, 2.0))
        await kill_runtimes(tmp_path, cluster, report, rounds=2)
    assert report.faults == [], report.format()
    assert report.outcomes["ended with 7"] > 0
