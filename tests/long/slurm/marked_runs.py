"""Runs that leave marks, so that the tests see how often each began and what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.outer.slurm.commands import SlurmPool
from tests.outer.slurm.client_site import POOL, ClientSite, wait_until
from tests.outer.slurm.loopback_cluster import LoopbackCluster

CODE = 7
"""Exit code of each run."""
KINDS = ("begin", "end")
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
    """Runs of a site that mark their begin and their end."""

    def __init__(self, site: ClientSite, cluster: LoopbackCluster | None, report: Report) -> None:
        self.site, self.cluster, self.report = site, cluster, report
        self.runs: list[str] = []
        self.folder = site.folder / "marks"
        self.folder.mkdir(exist_ok=True)

    def make_order(self, seconds: float) -> dict[str, Any]:
        """Return the order of a run of some seconds."""
        order = self.site.make_order("")
        mark = self.folder / order["run"]
        note = f"date '+%%s.%%N %s' >>{mark}"
        script = f"{note % 'begin'}; sleep {seconds}; {note % 'end'}; exit {CODE}"
        return order | {"argv": ["/bin/sh", "-c", script]}

    def spawn(self, seconds: float, pool: SlurmPool = POOL) -> str:
        """Hand over a run of some seconds and return its id."""
        order = self.make_order(seconds)
        self.runs.append(order["run"])
        self.site.client.spawn(order, pool)
        return order["run"]

    def read_marks(self, run: str) -> dict[str, list[float]]:
        """Return the UNIX times at which a run began, and those at which it ended."""
        path = self.folder / run
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return {kind: [float(at) for at, name in lines if name == kind] for kind in KINDS}

    def is_over(self, run: str) -> bool:
        """Return True once the end of a run, or its refusal, was reported."""
        return bool(self.site.find("ended", run) or self.site.find("refused", run))

    async def wait(self, runs: Sequence[str] = ()) -> None:
        """Wait until all runs are over; play the operator who resumes nodes meanwhile."""
        runs = runs or self.runs
        try:
            await wait_until(lambda: all(map(self.is_over, runs)) or self.operate(), LIMIT)
        except TimeoutError:
            states = [self.site.client.facts.get(run) for run in runs if not self.is_over(run)]
            self.report.faults.append(f"not over: {states}")

    def operate(self) -> None:
        """Resume the nodes that Slurm drained, and release held jobs."""
        assert self.cluster is not None
        if drained := self.cluster.list_nodes("drain"):
            self.report.outcomes["nodes drained by Slurm"] += len(drained)
            self.cluster.run("scontrol", "update", f"nodename={','.join(drained)}", "state=resume",
                             check=False)  # fmt: skip
        for run in self.runs:
            facts = self.site.client.facts.get(run)
            if facts and facts.cure.startswith("scontrol release"):
                self.cluster.run(*facts.cure.split(), check=False)

    async def judge(self) -> None:
        """Count the outcomes, and find faults in them."""
        await asyncio.sleep(SETTLE_SECONDS)
        for run in self.runs:
            ends = [e for e in self.site.events if e["run"] == run and e["is"] == "ended"]
            marks, outcome = self.read_marks(run), describe_end(ends[-1]) if ends else "refused"
            self.report.outcomes[outcome] += 1
            self.report.faults += [f"{run}: {outcome}; {fault}, marks {marks}"
                                   for fault in find_faults(outcome, ends, marks)]  # fmt: skip


def find_faults(
    outcome: str, ends: Sequence[dict[str, Any]], marks: dict[str, list[float]]
) -> Iterator[str]:
    """Yield what is wrong with the outcome of a run.

    Slurm may kill a job after its program has ended and before the record: such a run is lost.
    """
    if len({describe_end(end) for end in ends}) > 1:
        yield f"ended {len(ends)} times"
    begins, finishes = (marks[kind] for kind in KINDS)
    if len(begins) > 1 or (outcome == "refused" and begins):
        yield "began twice, or after its refusal"
    if outcome == f"ended with {CODE}" and len(finishes) != 1:
        yield "did not run to its end"
    if finishes and ends and finishes[-1] > ends[-1]["at"]:
        yield "ran on after its end was told"
    if outcome == "lost without a reason":
        yield "says nothing"


def describe_end(end: dict[str, Any]) -> str:
    """Return the outcome of a run in words."""
    if end.get("lost"):
        return f"lost: {end['reason']}" if end["reason"] else "lost without a reason"
    if end.get("code") is not None:
        return f"ended with {end['code']}"
    stop = f" after {end['stop']}" if end.get("stop") else ""
    return f"ended by signal {end['signal']}{stop}: {end.get('reason')}"
