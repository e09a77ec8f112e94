"""Tests of the reasons why a job waits in Slurm."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.outer.slurm.rows import JobRow, NodeRow
from app.outer.slurm.wait_reasons import Waiting, describe_drained, describe_waiting

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 30, 13, 0).timestamp()
LATER = datetime(2026, 11, 30, 14, 20).timestamp()
NODES = [
    NodeRow("n1", "drained", "Duplicate jobid"),
    NodeRow("n2", "idle", ""),
    NodeRow("n3", "drained", "Duplicate jobid"),
]


def describe(reason: str, start: float | None = None, state: str = "PENDING") -> Waiting:
    return describe_waiting(JobRow("12", state, "", start, reason), NODES, NOW)


@pytest.mark.parametrize("reason", ["Resources", "Priority", "None"])
def test_a_job_waits_for_room_with_slurms_estimate(reason: str) -> None:
    assert describe(reason, LATER) == Waiting(
        "waits in Slurm for room, about 14:20 (Slurm's estimate)"
    )
    assert describe(reason).reason == "waits in Slurm for room"
    assert describe(reason, NOW - 60).reason == "waits in Slurm for room"


@pytest.mark.parametrize(
    "reason",
    ["ReqNodeNotAvail, UnavailableNodes:n1,n3", "ReqNodeNotAvail, May be reserved for other job"],
)
def test_drained_nodes_are_named_with_their_reason_and_cure(reason: str) -> None:
    assert describe(reason) == Waiting(
        "nodes n1, n3 take nothing: drained, Duplicate jobid",
        "scontrol update nodename=n1,n3 state=resume",
    )


def test_unavailable_nodes_that_sinfo_does_not_explain_keep_slurms_words() -> None:
    row = JobRow("12", "PENDING", "", None, "ReqNodeNotAvail, Reserved for maintenance")
    assert describe_waiting(row, NODES[1:2], NOW) == Waiting(
        "its nodes in Slurm take nothing: ReqNodeNotAvail, Reserved for maintenance"
    )


@pytest.mark.parametrize(
    ("reason", "words", "cure"),
    [
        ("JobHeldUser", "held in Slurm by you", "scontrol release 12"),
        ("JobHeldAdmin", "held in Slurm by an operator, who can release it", ""),
        ("launch failed requeued held", "held in Slurm: launch failed requeued held",
         "scontrol release 12"),
        ("Dependency", "waits in Slurm for another job", ""),
        ("DependencyNeverSatisfied", "waits in Slurm for a job that can no longer succeed", ""),
        ("AssocGrpCpuLimit", "your account's limit in Slurm: AssocGrpCpuLimit", ""),
        ("QOSMaxJobsPerUserLimit", "the QOS's limit in Slurm: QOSMaxJobsPerUserLimit", ""),
        ("PartitionTimeLimit", "the partition's limit in Slurm: PartitionTimeLimit", ""),
        ("MaxMemPerLimit", "your limit in Slurm: MaxMemPerLimit", ""),
        ("SomethingNew", "waits in Slurm: SomethingNew", ""),
    ],
)  # fmt: skip
def test_other_reasons_are_said_with_their_cure(reason: str, words: str, cure: str) -> None:
    assert describe(reason) == Waiting(words, cure)


def test_a_later_start_and_the_start_of_nodes_are_said() -> None:
    assert describe("BeginTime", LATER).reason == (
        "Slurm starts it later, about 14:20 (Slurm's estimate)"
    )
    assert describe("None", state="CONFIGURING").reason == "nodes are being started"


def test_a_job_on_a_node_waits_for_nothing() -> None:
    assert describe("None", state="RUNNING") == Waiting("")


def test_many_drained_nodes_are_counted() -> None:
    nodes = [NodeRow(f"n{i}", "down", "Not responding") for i in range(30)]
    (found,) = describe_drained(nodes)
    assert found.reason == ("nodes n0, n1, n2, n3 and 26 more take nothing: down, Not responding")
    assert found.cure.count(",") == 19


def test_maintenance_has_no_cure_by_us() -> None:
    assert describe_drained([NodeRow("n1", "maint", "")]) == [
        Waiting("node n1 takes nothing: maint")
    ]
