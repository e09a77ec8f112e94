"""Facts of Slurm for people: of a job, and of the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.text.units import format_duration
from app.outer.slurm.rows import NodeRow
from app.outer.slurm.states import FINAL_STATES, describe_begun
from app.outer.slurm.wait_reasons import UNUSABLE, Waiting, describe_drained, describe_waiting
from app.outer.slurm.watched_run import WatchedRun


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Facts of the job of a run. Every text is safe to draw."""

    job: str = ""
    state: str = ""
    """Slurm's word, such as PENDING; "" before the hand-over, and if Slurm does not know it."""
    reason: str = ""
    """Sentence for `why`; "" if there is nothing to say."""
    cure: str = ""
    """Command that helps, or ""."""
    node: str = ""
    expected_start: float | None = None
    """UNIX time at which Slurm expects the start of a job that waits."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Facts of the cluster, as of the last answer of the controller."""

    nodes: Sequence[NodeRow] = ()
    answered_at: float | None = None
    """UNIX time of the last answer, or None before the first."""
    answer_seconds: float | None = None
    running: int = 0
    waiting: int = 0
    error: str = ""
    """Sentence of the last command, if it failed."""
    drained: Sequence[Waiting] = field(default=())
    """Nodes that take nothing, by reason, each with its cure."""

    @property
    def usable_count(self) -> int:
        """Nodes that take jobs."""
        return sum(node.state not in UNUSABLE and node.responds for node in self.nodes)

    @property
    def states(self) -> Mapping[str, int]:
        """Count of the nodes by state."""
        return Counter(node.state for node in self.nodes)


def describe_run(
    run: WatchedRun, nodes: Sequence[NodeRow], now: float, clock: float, lost_after: float
) -> JobFacts:
    """Return the facts of a run. `now` is monotonic, `clock` UNIX time."""
    row = run.row
    node = (run.gate.node if run.gate else "") or (row.node if row else "")
    job = row.job if row else run.gate.job if run.gate else ""
    state = row.state if row else ""
    if run.began and run.is_seen:
        reason = Waiting(describe_begun(run.make_sight(now), row, lost_after))
    elif row is None or row.state in FINAL_STATES:
        reason = Waiting(_describe_hand_over(run, now))
    else:
        reason = describe_waiting(row, nodes, clock)
    words = "; ".join(part for part in (run.note, reason.reason) if part)
    expected = row.start if row and row.state == "PENDING" else None
    return JobFacts(job, state, words, reason.cure, node, expected)


def _describe_hand_over(run: WatchedRun, now: float) -> str:
    if not run.is_seen and (run.tries or run.order is None):
        return "is handed over; Slurm has not listed it yet"
    if not run.tries:
        return "" if run.note else "being handed over to Slurm"
    left = run.next_try - now
    when = f"in {format_duration(left)}" if left > 0 else "now"
    if run.row is None:
        return f"Slurm has forgotten its job, which had not begun; handed over again {when}"
    word = run.row.state.lower().replace("_", " ")
    where = f" on {run.row.node}" if run.row.node else ""
    hint = ": does the node see the spool, and has it python3?" if run.row.node else ""
    return f"its job was {word}{where} in Slurm before it began{hint}; handed over again {when}"


def make_cluster_facts(
    runs: Mapping[str, WatchedRun],
    nodes: Sequence[NodeRow],
    answered_at: float | None,
    seconds: float | None,
    error: str,
) -> ClusterFacts:
    """Return the facts of the cluster, with counts of our runs."""
    handed_over = [run for run in runs.values() if not run.is_over]
    running = sum(run.began for run in handed_over)
    return ClusterFacts(
        nodes,
        answered_at,
        seconds,
        running,
        len(handed_over) - running,
        error,
        tuple(describe_drained(nodes)),
    )
