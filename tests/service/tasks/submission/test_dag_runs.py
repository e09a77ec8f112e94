"""A workflow that runs through submission, plan and transitions in virtual time."""

from __future__ import annotations

import pytest

from app.service.context import Call
from db import timestamps
from tests.long.dags.virtual_run import DagTask, VirtualRun, check_run, run_dag

FORK_JOIN = [
    DagTask("begin", 10.0, 1, ()),
    *(DagTask(f"part {n}", 20.0 + n, 1 + n % 2, ("begin",)) for n in range(4)),
    DagTask("join", 5.0, 1, [f"part {n}" for n in range(4)]),
]


async def test_a_workflow_keeps_order_and_bounds(call: Call, monkeypatch: pytest.MonkeyPatch):
    run = await run_dag(
        call, FORK_JOIN, 3, lambda clock: monkeypatch.setattr(timestamps, "utcnow", clock.read)
    )

    assert check_run(FORK_JOIN, 3, run)[0] == 145.0 / 3
    assert run.spans["begin"] == (0.0, 10.0) and run.makespan == run.spans["join"][1]


def test_a_start_before_a_parent_ends_is_found():
    with pytest.raises(AssertionError, match="join"):
        check_run(
            [DagTask("begin", 10.0, 1, ()), DagTask("join", 5.0, 1, ["begin"])],
            2,
            VirtualRun({"begin": (0.0, 10.0), "join": (9.0, 14.0)}),
        )
