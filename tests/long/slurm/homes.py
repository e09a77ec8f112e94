"""Home with a Slurm pool, whose runtime and controller are killed again and again."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.errors import Remote
from tests.long.slurm.marked_runs import CODE, Report
from tests.outer.slurm.loopback_cluster import LoopbackCluster, wait_for
from tests.runtime_process import RuntimeProcess

TASKS, KILLS, RUN_SECONDS = 40, 12, 0.5
WAIT_SECONDS = 240.0


def kill_home(
    folder: Path, cluster: LoopbackCluster, report: Report, tasks: int = TASKS, kills: int = KILLS
) -> None:
    """Kill the runtime of a home while its tasks go through Slurm; each must end, and once."""
    rng = random.Random(3)
    home = SlurmHome(folder, cluster)
    try:
        numbers = [home.submit() for _ in range(tasks)]
        cancelled = set(rng.sample(numbers, tasks // 8))
        for number in cancelled:
            if rng.random() < 0.5:
                time.sleep(rng.uniform(0, 0.5))
            home.runtime.call("cancel", ids=[number])
        for count in range(kills):
            time.sleep(rng.uniform(0.1, 2.5))
            home.runtime.kill()
            if count % 4 == 3:
                cluster.restart("ctl")
            home.runtime.start()
        home.wait(numbers)
        for number in numbers:
            home.judge(number, number in cancelled, report)
        list_jobs = ("squeue", "-h", "--me", "-o", "%j %T %r")
        try:
            wait_for(lambda: not cluster.run(*list_jobs), 60.0)
        except TimeoutError:
            report.faults.append(f"jobs left in Slurm: {cluster.run(*list_jobs)}")
    finally:
        home.runtime.kill_all()


class SlurmHome:
    """A home with a queue on a Slurm pool."""

    def __init__(self, folder: Path, cluster: LoopbackCluster) -> None:
        self.folder, self.cluster, self.marks = folder, cluster, folder / "marks"
        config = folder / "config" / "taskdeck"
        for made in (self.marks, config):
            made.mkdir(parents=True)
        (config / "config.toml").write_text(
            f'[slurm]\nspool = "{folder}/spool"\nconf = "{cluster.conf}"\npoll = "0.5s"\n'
        )
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        home = folder / "home"
        home.mkdir(mode=0o700)
        self.runtime = RuntimeProcess(home)
        self.runtime.start()
        self.runtime.call("pool.create", name="big", kind="slurm")
        self.runtime.call("queue.create", name="sims", pool="big")

    def submit(self) -> str:
        """Submit a task that marks its begin and its end."""
        mark = f"{self.marks}/$TASKDECK_TASK"
        script = f"echo begin >>{mark}; sleep {RUN_SECONDS}; echo end >>{mark}; exit {CODE}"
        return self.runtime.submit("sh", "-c", script, queue="sims", memory="10M")

    def wait(self, numbers: list[str]) -> None:
        """Wait until the tasks have ended; resume the nodes that Slurm drained meanwhile."""
        limit = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < limit:
            if drained := self.cluster.list_nodes("drain"):
                self.cluster.resume(*drained)
            with suppress(Remote):
                self.runtime.wait_for_end(*numbers, timeout=2.0)
                break

    def judge(self, number: str, is_cancelled: bool, report: Report) -> None:
        """Count what became of a task, and find faults in it."""
        task = self.runtime.show(number)
        path = self.marks / number
        marks = path.read_text().split() if path.exists() else []
        run: dict[str, Any] = task["instances"][-1] if task["instances"] else {}
        code = run.get("exit_code")
        why = f": {run.get('reason')}" if task["status"] == "lost" else ""
        report.outcomes[f"task {task['status']}, exit {code}{why}"] += 1
        if marks.count("begin") > 1:
            report.faults.append(f"#{number} began {marks.count('begin')} times")
        if task["status"] == "failed" and (code != CODE or "end" not in marks):
            report.faults.append(f"#{number}: {task['status']} {run}, {marks}")
        if task["status"] == "cancelled" and not is_cancelled:
            report.faults.append(f"#{number} was cancelled by nobody")
        if task["status"] not in ("failed", "cancelled", "lost"):
            report.faults.append(f"#{number} is {task['status']}")
