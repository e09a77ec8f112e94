"""State of one run that is, or will be, in Slurm."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.outer.slurm.commands import SlurmPool
from app.outer.slurm.rows import JobRow, parse_jobs
from app.outer.slurm.states import FINAL_STATES, IDLE_STATES, Sight, choose_row
from app.outer.spool import Gate, Spool

STEADY_LOOK, SILENT_LOOK, WAITING_LOOK = 60.0, 10.0, 300.0
"""Seconds between two looks into the spool for a run of which Slurm says that it runs, for each run
while the controller is silent, and for a run that waits in Slurm."""


class SpoolFacts(NamedTuple):
    """Files of a run in the spool. `beat` is compared with earlier ones only."""

    gate: Gate | None
    record: dict[str, Any] | None
    beat: float | None


@dataclass(slots=True)
class StopRequest:
    """Stop that was asked for, and what was done for it. Times are monotonic."""

    reason: str
    grace: float
    is_asked: bool = False
    """The spool asks the job, which then records its end after TERM and KILL."""
    told_at: float | None = None
    """Time at which Slurm told the job."""


@dataclass(slots=True, eq=False)
class WatchedRun:
    """A run until its end is stored. Times are monotonic."""

    runid: str
    order: dict[str, Any] | None = None
    """Order of the keeper; None if an earlier runtime handed the run over."""
    pool: SlurmPool | None = None
    was_started: bool = False
    """The database says that the run began."""
    may_submit: bool = False
    next_try: float = 0.0
    tries: int = 0
    failures: int = 0
    asked_at: float | None = None
    """End of the last sbatch: a poll that began earlier says nothing of its job."""
    lines: tuple[str, ...] = ()
    jobs: tuple[JobRow, ...] = ()
    unbegun_at: float = 0.0
    """UNIX time before which the run had not begun: the clock of its node may be slow."""
    seen_at: float = -math.inf
    """Begin of the last poll that was answered."""
    gate: Gate | None = None
    record: dict[str, Any] | None = None
    beat: float | None = None
    beat_moved_at: float = 0.0
    looked_at: float = -math.inf
    is_reported: bool = False
    """The start was reported."""
    is_over: bool = False
    """The end was reported; the run stays until its end is stored."""
    give_up: Mapping[str, Any] | None = None
    """End to report once the gate refuses the run."""
    must_refuse: bool = False
    stop: StopRequest | None = None
    signals: list[int] = field(default_factory=list)
    note: str = ""

    @property
    def began(self) -> bool:
        """Return True if the program of the run was started."""
        return self.was_started or (self.gate is not None and not self.gate.refused)

    @property
    def is_seen(self) -> bool:
        """Return True if a poll has said what Slurm knows of this run."""
        return self.seen_at > (-math.inf if self.asked_at is None else self.asked_at)

    @property
    def row(self) -> JobRow | None:
        """Return the job that counts."""
        return choose_row(self.jobs, self.gate.job if self.gate else "")

    @property
    def is_on_node(self) -> bool:
        """Return True if Slurm says that a job of this run is on a node."""
        row = self.row
        return row is not None and row.state not in FINAL_STATES | IDLE_STATES

    def see_lines(self, lines: tuple[str, ...], begun: float) -> bool:
        """Take the lines of a poll. Return True if they changed."""
        self.seen_at = begun
        is_new = lines != self.lines
        if is_new:
            self.lines, self.jobs = lines, parse_jobs(lines)
        row = self.row
        if not self.began and (row is None or row.state in IDLE_STATES):
            self.unbegun_at = time.time()
        return is_new

    def needs_look(self, now: float, is_silent: bool) -> bool:
        """Return True if the spool should be read for this run now.

        Slurm's states say when. The spool may be a slow file server: to read all runs at each poll
        would cost more than all else.
        """
        if self.is_over or (self.may_submit and not self.tries):
            return False
        since = now - self.looked_at
        if is_silent or not self.is_seen:
            return since >= SILENT_LOOK
        row = self.row
        if row is None or row.state in FINAL_STATES:
            return True
        if self.is_on_node:
            return not self.is_reported or since >= STEADY_LOOK
        return self.began or since >= WAITING_LOOK

    def take_facts(self, facts: SpoolFacts, now: float) -> None:
        """Take what the spool says."""
        self.looked_at = now
        self.gate = facts.gate or self.gate
        self.record = facts.record
        if facts.beat != self.beat or not self.beat_moved_at:
            self.beat, self.beat_moved_at = facts.beat, now

    def make_sight(self, now: float) -> Sight:
        """Return what is known of this run."""
        gate = self.gate
        return Sight(
            jobs=self.jobs,
            began=self.began,
            node=gate.node if gate else "",
            gate_job=gate.job if gate else "",
            record=self.record,
            still=now - self.beat_moved_at,
            stop=self.stop.reason if self.stop else None,
            tries=self.tries,
            memory=(self.order or {}).get("memory"),
        )


def read_spool(spool: Spool, runs: list[tuple[str, Gate | None]]) -> dict[str, SpoolFacts]:
    """Read the files of runs whose gate is not, or is, known. Raise OSError."""
    found = {}
    for runid, known_gate in runs:
        record = spool.read_end(runid)
        gate = known_gate or spool.read_gate(runid)
        beat = spool.read_beat(runid) if gate and record is None else None
        found[runid] = SpoolFacts(gate, record, beat)
    return found
