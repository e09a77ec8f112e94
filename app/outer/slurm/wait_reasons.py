"""Reasons why a job waits in Slurm, in the words of `why`, each with its cure if there is one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from app.core.text.sanitize import truncate
from app.core.text.units import format_clock_time
from app.outer.slurm.rows import JobRow, NodeRow

MAX_NAMED, MAX_IN_CURE = 4, 20
"""Nodes that a sentence names, counting the others; nodes in a command."""
UNUSABLE = frozenset({"down", "drained", "draining", "drain", "fail", "failing", "error", "maint"})
"""States of nodes that take no new job."""
RESUMABLE = frozenset({"down", "drained", "draining", "drain"})
_ROOM = frozenset({"None", "Priority", "Resources", ""})
_LIMIT = re.compile(r"(Assoc|QOS|Partition|Max)\w*(Limit|Per\w+|Limits?)?\Z")


class Waiting(NamedTuple):
    """Sentence for a waiting job, and the command that helps, or ""."""

    reason: str
    cure: str = ""


_SENTENCES = {
    "Dependency": Waiting("waits in Slurm for another job"),
    "DependencyNeverSatisfied": Waiting("waits in Slurm for a job that can no longer succeed"),
    "JobHeldAdmin": Waiting("held in Slurm by an operator, who can release it"),
    "Licenses": Waiting("waits in Slurm for a licence"),
    "PartitionDown": Waiting("its Slurm partition takes nothing: down", "sinfo --summarize"),
    "PartitionInactive": Waiting(
        "its Slurm partition starts nothing: inactive", "sinfo --summarize"
    ),
    "Reservation": Waiting("waits in Slurm for its reservation"),
    "InvalidAccount": Waiting("Slurm does not accept the account of its pool"),
    "InvalidQOS": Waiting("Slurm does not accept the QOS of its pool"),
}
_WHOSE = {"Assoc": "your account's", "QOS": "the QOS's", "Partition": "the partition's"}


def describe_waiting(row: JobRow, nodes: Sequence[NodeRow], now: float) -> Waiting:
    """Return why a job in Slurm does not run yet."""
    if row.state == "CONFIGURING":
        return Waiting("nodes are being started")
    if row.state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"):
        return Waiting("")
    word = row.reason.partition(",")[0].partition(":")[0].strip("()").strip()
    if word in _ROOM:
        return Waiting(f"waits in Slurm for room{_estimate(row, now)}")
    if word in _SENTENCES:
        return _SENTENCES[word]
    if word == "BeginTime":
        return Waiting(f"Slurm starts it later{_estimate(row, now)}")
    if word == "JobHeldUser" or "held" in row.reason.lower() or word == "JobHoldMaxRequeue":
        who = " by you" if word == "JobHeldUser" else f": {truncate(row.reason, 120)}"
        return Waiting(f"held in Slurm{who}", f"scontrol release {row.job}")
    if word.startswith(("ReqNodeNotAvail", "Nodes required", "UnavailableNodes", "NodeDown")):
        return _describe_nodes(row, nodes)
    if found := _LIMIT.match(word):
        whose = _WHOSE.get(found[1], "your")
        return Waiting(f"{whose} limit in Slurm: {word}")
    return Waiting(f"waits in Slurm: {truncate(row.reason, 120)}")


def describe_drained(nodes: Iterable[NodeRow]) -> list[Waiting]:
    """Return a sentence and its cure for each reason for which nodes take no new job."""
    by_reason: dict[tuple[str, str], list[NodeRow]] = {}
    for node in nodes:
        if node.state in UNUSABLE:
            by_reason.setdefault((node.state, node.reason), []).append(node)
    return [
        _describe_group(state, reason, members) for (state, reason), members in by_reason.items()
    ]


def _describe_group(state: str, reason: str, members: Sequence[NodeRow]) -> Waiting:
    names = [node.name for node in members]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    who = f"node {names[0]} takes" if len(names) == 1 else f"nodes {_join(names)}{more} take"
    why = f", {truncate(reason, 80)}" if reason else ""
    cure = f"scontrol update nodename={','.join(names[:MAX_IN_CURE])} state=resume"
    return Waiting(f"{who} nothing: {state}{why}", cure if state in RESUMABLE else "")


def _describe_nodes(row: JobRow, nodes: Sequence[NodeRow]) -> Waiting:
    """Return why the nodes that a job needs take nothing, by sinfo if it names any."""
    found = describe_drained(nodes)
    if not found:
        return Waiting(f"its nodes in Slurm take nothing: {truncate(row.reason, 120)}")
    return Waiting("; ".join(group.reason for group in found[:3]), found[0].cure)


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED])


def _estimate(row: JobRow, now: float) -> str:
    """Return Slurm's expected start, if it lies ahead."""
    if row.start is None or row.start <= now:
        return ""
    at, today = (datetime.fromtimestamp(time, UTC) for time in (row.start, now))
    return f", about {format_clock_time(at, today)} (Slurm's estimate)"
