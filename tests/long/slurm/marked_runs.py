"""Runs that leave marks, so that the tests see how often each began and what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.outer.slurm.commands import SlurmPool
from tests.outer.slurm.loopback_cluster import LoopbackCluster
from tests.outer.slurm.slurm_line import POOL, SlurmLine, wait_until

CODE = 7
"""Exit code of each run."""
SETTLE_SECONDS = 1.5
"""Seconds that a run declared lost has to end in spite of that, beyond its own duration."""
LIMIT = 300.0


@dataclass
class Report:
    """Outcomes of runs, and the faults: a second begin, a wrong code, a loss without a reason."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def format(self) -> str:
        """Return the report as lines."""
        counts = [f"{count:5} {outcome}" for outcome, count in self.outcomes.most_common()]
        return "\n".join([*counts, *self.notes, *(f"fault: {fault}" for fault in self.faults)])


class MarkedRuns:
    """Runs of a line that mark their begin and their end."""

    def __init__(self, line: SlurmLine, cluster: LoopbackCluster | None, report: Report) -> None:
        self.line, self.cluster, self.report = line, cluster, report
        self.runs: list[str] = []
        self.folder = line.folder / "marks"
        self.folder.mkdir(exist_ok=True)

    def make_order(self, seconds: float) -> dict[str, Any]:
        """Return the order of a run of some seconds."""
        order = self.line.make_order("")
        mark = self.folder / order["run"]
        script = f"echo begin >>{mark}; sleep {seconds}; echo end >>{mark}; exit {CODE}"
        return order | {"argv": ["/bin/sh", "-c", script]}

    def spawn(self, seconds: float, pool: SlurmPool = POOL) -> str:
        """Hand over a run of some seconds and return its id."""
        order = self.make_order(seconds)
        self.runs.append(order["run"])
        self.line.client.spawn(order, pool)
        return order["run"]

    def read_marks(self, run: str) -> list[str]:
        """Return the marks of a run."""
        path = self.folder / run
        return path.read_text().split() if path.exists() else []

    def is_over(self, run: str) -> bool:
        """Return True once the end of a run, or its refusal, was reported."""
        return bool(self.line.find("ended", run) or self.line.find("refused", run))

    async def wait(self, runs: Sequence[str] = ()) -> None:
        """Wait until all runs are over; play the operator who resumes nodes meanwhile."""
        runs = runs or self.runs
        try:
            await wait_until(lambda: all(map(self.is_over, runs)) or self.operate(), LIMIT)
        except TimeoutError:
            states = [self.line.client.facts.get(run) for run in runs if not self.is_over(run)]
            self.report.faults.append(f"not over: {states}")

    def operate(self) -> None:
        """Resume the nodes that Slurm drained, and release held jobs."""
        assert self.cluster is not None
        if drained := self.cluster.list_nodes("drain"):
            self.report.outcomes["nodes drained by Slurm"] += len(drained)
            self.cluster.run("scontrol", "update", f"nodename={','.join(drained)}", "state=resume",
                             check=False)  # fmt: skip
        for run in self.runs:
            facts = self.line.client.facts.get(run)
            if facts and facts.cure.startswith("scontrol release"):
                self.cluster.run(*facts.cure.split(), check=False)

    async def judge(self) -> None:
        """Count the outcomes, and find faults in them."""
        await asyncio.sleep(SETTLE_SECONDS)
        for run in self.runs:
            ends = [e for e in self.line.events if e["run"] == run and e["is"] == "ended"]
            marks = self.read_marks(run)
            outcome = describe_end(ends[-1]) if ends else "refused"
            self.report.outcomes[outcome] += 1
            self._find_faults(run, ends, marks, outcome)

    def _find_faults(
        self, run: str, ends: list[dict[str, Any]], marks: list[str], outcome: str
    ) -> None:
        begun, ran = marks.count("begin"), marks.count("end")
        if begun > 1 or len({describe_end(end) for end in ends}) > 1:
            self.report.faults.append(f"{run} began {begun} times, and ended {len(ends)} times")
        if outcome == f"ended with {CODE}" and (begun, ran) != (1, 1):
            self.report.faults.append(f"{run}: {outcome}, but its marks are {marks}")
        if outcome != f"ended with {CODE}" and ran:
            self.report.faults.append(f"{run}: {outcome}, but it ran to its end")
        if outcome == "refused" and begun:
            self.report.faults.append(f"{run} was refused and began")


def describe_end(end: dict[str, Any]) -> str:
    """Return the outcome of a run in words."""
    if end.get("lost"):
        return f"lost: {end['reason']}" if end["reason"] else "lost without a reason"
    if end.get("code") is not None:
        return f"ended with {end['code']}"
    stop = f" after {end['stop']}" if end.get("stop") else ""
    return f"ended by signal {end['signal']}{stop}: {end.get('reason')}"
