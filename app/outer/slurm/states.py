"""Decisions on runs in Slurm, from the rows of their jobs, the spool and our clock.

Neither a job id nor a state of Slurm is proof. A controller that dies within seconds after an
acknowledgement forgets the job, reuses its id, or starts the job again. The gate in the spool says
that a run began, the record that the run ended. The beat says that the run goes on, judged by our
own clock, because clocks of nodes differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from app.core.text.units import format_duration, format_memory
from app.outer.slurm.rows import JobRow

FINAL_STATES = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "TIMEOUT",
})  # fmt: skip
"""States after which Slurm runs nothing of a job. An unknown word is no such state."""
IDLE_STATES = frozenset({
    "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "REVOKED",
    "SPECIAL_EXIT",
})  # fmt: skip
"""States in which a job is on no node."""
KILL_STATES = frozenset({"CANCELLED", "DEADLINE", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"})
"""Final states of jobs that Slurm ended by signals."""
NEVER_STARTS = "BadConstraints"
"""Reason of a failed job that no node of the partition can run."""
MAX_TRIES = 5
"""Jobs of a run that Slurm ended before they began, after which the run is given up."""
_DELAYS = (0.0, 2.0, 10.0, 30.0, 120.0, 600.0)
"""Seconds before a run is handed over again, by its jobs so far."""


class NextStep(Enum):
    """Next action for a run."""

    WAIT = "wait"
    SUBMIT = "submit"
    """Hand the run over again, under the same run id: the gate lets one job begin."""
    GIVE_UP = "give up"
    """Refuse the run by its gate, then end it; a run that began meanwhile goes on."""
    END = "end"


@dataclass(frozen=True, slots=True)
class Sight:
    """Known facts of a run at a poll that the controller answered."""

    jobs: Sequence[JobRow] = ()
    began: bool = False
    node: str = ""
    """Node that the gate names."""
    gate_job: str = ""
    record: Mapping[str, Any] | None = None
    still: float = 0.0
    """Seconds since the beat last moved, by our clock."""
    stop: str | None = None
    """Reason of our stop, if one was asked for."""
    tries: int = 0
    """Jobs of this run that ended before they began."""
    memory: float | None = None
    """MiB that the task asked for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Next action for a run, and the end to report if the action is END or GIVE_UP."""

    step: NextStep
    end: Mapping[str, Any] | None = None


WAIT, SUBMIT = Decision(NextStep.WAIT), Decision(NextStep.SUBMIT)


def choose_row(jobs: Sequence[JobRow], gate_job: str = "") -> JobRow | None:
    """Return the row that says most of a run: of the job in the gate, else on a node, else last."""
    if not jobs:
        return None
    return max(
        jobs,
        key=lambda row: (
            row.state not in FINAL_STATES,
            row.state not in IDLE_STATES,
            row.job == gate_job,
            int(row.job),
        ),
    )


def decide(sight: Sight, lost_after: float) -> Decision:
    """Return the next action for a run. The beat counts as stopped after `lost_after` seconds."""
    row = choose_row(sight.jobs, sight.gate_job)
    if sight.record is not None:
        return Decision(NextStep.END, explain_record(sight, row))
    if sight.began:
        return _decide_begun(sight, row, lost_after)
    if row is None:
        return SUBMIT
    if row.state not in FINAL_STATES:
        return WAIT
    if row.state == "FAILED" and row.reason == NEVER_STARTS:
        reason = "no node of the partition can run it (Slurm: BadConstraints)"
        return Decision(NextStep.GIVE_UP, make_end(code=126, reason=reason))
    if sight.tries >= MAX_TRIES:
        return Decision(NextStep.GIVE_UP, _judge_unstarted(row, sight.tries))
    return SUBMIT


def compute_delay(tries: int) -> float:
    """Return the seconds before a run is handed over again."""
    return _DELAYS[min(tries, len(_DELAYS) - 1)]


def make_end(**facts: Any) -> dict[str, Any]:
    """Return the fields of an end event that has no record; the others are unknown."""
    return {"code": None, "signal": None, "reason": None, "stop": None, "lost": False} | facts


def explain_record(sight: Sight, row: JobRow | None) -> Mapping[str, Any]:
    """Return the record of a run, with Slurm's reason if a signal of Slurm ended the program."""
    record = sight.record or {}
    is_known = record.get("stop") or sight.stop or not record.get("signal")
    if is_known or row is None or row.job != sight.gate_job or row.state not in KILL_STATES:
        return record
    cause = _judge_begun(sight, row)
    facts = {key: cause[key] for key in ("stop", "lost", "reason")}
    return {**record, **facts, "oom_kill": row.state == "OUT_OF_MEMORY", "by": "slurm"}


def _decide_begun(sight: Sight, row: JobRow | None, lost_after: float) -> Decision:
    """Decide on a run that began and has no record.

    A job may be on a node though Slurm has forgotten or ended it, so the beat decides. A job that
    waits again, after its run began, is a second start that the gate will not let through.
    """
    is_on_node = row is not None and row.state not in FINAL_STATES | IDLE_STATES
    if is_on_node:
        return WAIT
    is_stopped = sight.stop and row and row.state in FINAL_STATES and row.job == sight.gate_job
    if sight.still < lost_after and not is_stopped:
        return WAIT
    if sight.stop:  # our KILL leaves no record
        return Decision(NextStep.END, make_end(signal=9, stop=sight.stop))
    return Decision(NextStep.END, _judge_begun(sight, row))


def _judge_begun(sight: Sight, row: JobRow | None) -> dict[str, Any]:
    """Return the end of a run that began and whose beat has stopped without a record."""
    if row is None:
        return make_end(lost=True, reason="Slurm forgot it and ended it")
    if row.state == "CANCELLED":
        return make_end(stop="cancel", reason="cancelled in Slurm")
    if row.state in ("TIMEOUT", "DEADLINE"):
        return make_end(stop="timeout", reason="ended at Slurm's time limit")
    if row.state == "OUT_OF_MEMORY":
        asked = f"the {format_memory(sight.memory)} it asked for" if sight.memory else "its limit"
        return make_end(signal=9, oom_kill=True, reason=f"over {asked} (Slurm)")
    return make_end(lost=True, reason=_explain_loss(row, sight.node))


def _explain_loss(row: JobRow, node: str) -> str:
    if row.state in ("NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED"):
        return f"node {row.node or node or 'of the job'} was lost"
    if row.state == "PREEMPTED":
        return "it made way for another job in Slurm"
    if row.state in IDLE_STATES:
        return "Slurm ended it to start it again"
    return "Slurm ended it and left no record"


def _judge_unstarted(row: JobRow, tries: int) -> dict[str, Any]:
    """Return the end of a run whose jobs Slurm ended, each before its program began."""
    if row.state == "CANCELLED":
        return make_end(stop="cancel", reason=f"cancelled in Slurm, {tries} times before it began")
    where = f" on {row.node}" if row.node else ""
    return make_end(
        code=126,
        reason=f"Slurm ended {tries} jobs of it before it began, the last{where}: {row.state}"
        f" {row.reason}; each node must see the spool and have python3",
    )


def describe_begun(sight: Sight, row: JobRow | None, lost_after: float) -> str:
    """Return what is odd about a run that began, in words; "" for one that simply runs."""
    if row is None:
        where = sight.node or "its node"
        if not sight.still:
            return f"Slurm has forgotten it; it runs on {where}"
        return f"Slurm has forgotten it, and {_describe_silence(sight.still, lost_after)}"
    if row.state in FINAL_STATES | IDLE_STATES:
        word = row.state.lower().replace("_", " ")
        return f"Slurm says {word}, no record yet; {_describe_silence(sight.still, lost_after)}"
    if row.state == "SUSPENDED":
        return "suspended in Slurm"
    return ""


def _describe_silence(still: float, lost_after: float) -> str:
    left = format_duration(max(0.0, lost_after - still))
    return f"it has given no sign of life for {format_duration(still)}; lost in {left}"
