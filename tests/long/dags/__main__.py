"""Recorded workflows on pools of several sizes: `python -m tests.long.dags FOLDER`.

Each workflow of the folder runs in virtual time. No task may start before its parents have ended,
no core be given twice, and the makespan must lie between the critical path and Graham's bound.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.long.dags.virtual_run import check_run, read_dag, replace_clock, run_dag
from tests.service.calls import open_call

CORES = (2, 3, 4, 8, 16, 64)


async def main(folder: Path) -> None:
    """Run and check all workflows, and print their makespans."""
    for path in sorted(folder.glob("*.dag.json.gz")):
        tasks = read_dag(path)
        for cores in CORES:
            with tempfile.TemporaryDirectory(prefix="td-") as home:
                async with open_call(Path(home)) as call:
                    run = await run_dag(call, tasks, cores, replace_clock)
            least, bound = check_run(tasks, cores, run)
            print(
                f"{path.name.removesuffix('.dag.json.gz')}: {len(tasks)} tasks, {cores} cores:"
                f" {least:.1f} ≤ {run.makespan:.1f} ≤ {bound:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
