"""The verdict on an ended run."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime.dispatch.run_verdict import judge_run
from db.queries.tasks.run_end import RunFacts, RunVerdict
from db.states import RunStatus


def make_facts(**more: Any) -> RunFacts:
    """Return the facts of a run whose task allows one retry."""
    known: dict[str, Any] = dict.fromkeys(RunFacts.__slots__)
    return RunFacts(**(known | {"runid": "r", "task_id": "t", "status": "running", "retries": 1,
    "failures": 0, "retry_delay": 2.0,
                                "timeout": 90.0, "log_limit": 5.0,
                                "queue": "q"} | more))  # fmt: skip


@pytest.mark.parametrize(
    ("run", "end", "verdict"),
    [
        ({}, {"code": 0}, RunVerdict(RunStatus.SUCCEEDED, None)),
        ({}, {"code": 3}, RunVerdict(RunStatus.FAILED, "exit 3", 2.0)),
        ({}, {"code": None, "signal": 11}, RunVerdict(RunStatus.FAILED, "signal 11 (SEGV)", 2.0)),
        (
            {},
            {"code": 127, "reason": "no program"},
            RunVerdict(RunStatus.FAILED, "exit 127: no program", 2.0),
        ),
        (
            {},
            {"code": 127, "reason": 'no program "p\udcff"'},
            RunVerdict(RunStatus.FAILED, 'exit 127: no program "p�"', 2.0),
        ),
        (
            {},
            {"code": None, "stop": "timeout"},
            RunVerdict(RunStatus.TIMED_OUT, "limit 1m30s", 2.0),
        ),
        (
            {
                "timeout": 7200.0,
                "start_time": "2026-11-25T10:00:00.000000Z",
                "deadline": "2026-11-25T10:00:20.000000Z",
            },
            {"code": None, "stop": "timeout"},
            RunVerdict(RunStatus.TIMED_OUT, "limit 20s", 2.0),
        ),
        (
            {},
            {"code": None, "signal": 15, "stop": "cluster"},
            RunVerdict(
                RunStatus.LOST, "ended by the cluster, which took the home off its host", 2.0
            ),
        ),
        (
            {"stop_reason": "timeout"},
            {"code": 0},
            RunVerdict(RunStatus.TIMED_OUT, "limit 1m30s", 2.0),
        ),
        (
            {"stop_reason": "cancel", "stopped_by": "ann"},
            {"code": 0},
            RunVerdict(RunStatus.CANCELLED, "cancelled by ann"),
        ),
        (
            {"stop_reason": "cancel", "stopped_by": "ann"},
            {"stop": "timeout"},
            RunVerdict(RunStatus.CANCELLED, "cancelled by ann"),
        ),
        (
            {},
            {"code": None, "stop": "cancel"},
            RunVerdict(RunStatus.CANCELLED, "cancelled by taskdeck"),
        ),
        (
            {"stop_reason": "log limit"},
            {"signal": 15},
            RunVerdict(RunStatus.FAILED, "log limit 5.0M", 2.0),
        ),
        (
            {"log_limit": None},
            {"stop": "log limit"},
            RunVerdict(RunStatus.FAILED, "log limit 1.0G", 2.0),
        ),
        (
            {},
            {"lost": True, "reason": "supervisors killed"},
            RunVerdict(RunStatus.LOST, "supervisors killed", 2.0),
        ),
        ({}, {"lost": True, "again": True}, RunVerdict(RunStatus.LOST, None, 2.0)),
        (
            {},
            {"lost": True, "again": False, "reason": "copied"},
            RunVerdict(RunStatus.LOST, "copied"),
        ),
        ({}, {"lost": True}, RunVerdict(RunStatus.LOST, "the outcome cannot be known", 2.0)),
        (
            {"stop_reason": "cancel", "stopped_by": "ann"},
            {"lost": True, "reason": "rebooted"},
            RunVerdict(RunStatus.LOST, "rebooted"),
        ),
        (
            {},
            {"lost": True, "stop": "cancel", "reason": "rebooted"},
            RunVerdict(RunStatus.LOST, "rebooted"),
        ),
        (
            {"stop_reason": "timeout"},
            {"lost": True, "reason": "rebooted"},
            RunVerdict(RunStatus.LOST, "rebooted", 2.0),
        ),
        (
            {"memory": 130.0},
            {"signal": 9, "maxrss": 140 * 1024},
            RunVerdict(
                RunStatus.FAILED,
                "signal 9 (KILL); probably out of memory: 140M used, 130M reserved (retry"
                " --memory, or set --retry-on-oom)",
                2.0,
            ),
        ),
        (
            {"memory": 130.0},
            {"signal": 9, "maxrss": 60 * 1024, "oom": True},
            RunVerdict(
                RunStatus.FAILED,
                "signal 9 (KILL); out of memory, says the kernel: 60M used, 130M reserved (retry"
                " --memory, or set --retry-on-oom)",
                2.0,
            ),
        ),
        (
            {"memory": 130.0},
            {"signal": 9, "maxrss": 60 * 1024},
            RunVerdict(RunStatus.FAILED, "signal 9 (KILL)", 2.0),
        ),
        ({"failures": 1}, {"code": 3}, RunVerdict(RunStatus.FAILED, "exit 3")),
        ({"retries": 0}, {"code": 3}, RunVerdict(RunStatus.FAILED, "exit 3")),
        ({"timeout": None}, {"stop": "timeout"}, RunVerdict(RunStatus.TIMED_OUT, None, 2.0)),
        ({"log_limit": None}, {"stop": "log limit"}, RunVerdict(RunStatus.FAILED, None, 2.0)),
    ],
)
def test_an_end_has_a_status_a_reason_and_a_next_step(
    run: dict[str, Any], end: dict[str, Any], verdict: RunVerdict
):
    found = judge_run(make_facts(**run), end)

    if verdict.reason is None and verdict.status is not RunStatus.SUCCEEDED:
        assert (found.status, found.retry_in, bool(found.reason)) == (
            verdict.status,
            verdict.retry_in,
            True,
        )
    else:
        assert found == verdict
