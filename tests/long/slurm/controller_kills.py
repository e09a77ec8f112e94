"""Kills of the controller within the seconds in which it has not saved what it acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from app.outer.slurm.commands import SlurmPool
from tests.long.slurm.marked_runs import MarkedRuns, Report
from tests.outer.slurm.client_site import ClientSite
from tests.outer.slurm.loopback_cluster import LoopbackCluster

MOMENTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Seconds between the hand-over of a run and the kill."""
DOWN_SECONDS, RUN_SECONDS, BEAT = 0.3, 4.0, 1.0
HELD = SlurmPool("big", options=("--hold",))


async def kill_controller(
    folder: Path, cluster: LoopbackCluster, report: Report, moments: Sequence[float] = MOMENTS
) -> None:
    """Kill the controller once, while for each moment a held and a running job have that age."""
    site = ClientSite(folder, cluster.conf, poll=0.5, beat=BEAT)
    async with site.open():
        runs = MarkedRuns(site, cluster, report)
        kill_at = time.monotonic() + max(moments) + 0.1
        for moment in sorted(moments, reverse=True):
            await asyncio.sleep(max(0.0, kill_at - moment - time.monotonic()))
            runs.spawn(RUN_SECONDS)
            runs.spawn(RUN_SECONDS, HELD)
        await asyncio.sleep(0.05)  # for the last acknowledgement
        cluster.kill("ctl")
        await asyncio.sleep(DOWN_SECONDS)
        await asyncio.to_thread(cluster.up, "ctl")
        await runs.wait()
        await runs.judge()
