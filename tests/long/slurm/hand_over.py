"""Process that hands runs over until somebody kills it: `hand_over HOME CONF COUNT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.long.slurm.marked_runs import MarkedRuns, Report
from tests.outer.slurm.client_site import POOL, ClientSite


async def hand_over(home: Path, conf: Path, count: int) -> None:
    """Print the ids of the runs, then hand them over one by one."""
    site = ClientSite(home, conf, beat=1.0)
    async with site.open() as client:
        runs = MarkedRuns(site, None, Report())
        orders = [runs.make_order(0.3) for _ in range(count)]
        print(*(order["run"] for order in orders), flush=True)
        for order in orders:
            client.spawn(order, POOL)
            await asyncio.sleep(0.02)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hand_over(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
