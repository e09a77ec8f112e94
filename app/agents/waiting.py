"""The tool `wait`: bounded in time, with progress in between."""

from __future__ import annotations

import time
from typing import Any

from app.agents.answers import TaskOutcome, WaitAnswer
from app.agents.arguments import WaitArguments
from app.agents.session import ToolCall, clean
from app.errors import Problem
from db.states import ENDED

REPORT_SECONDS = 5.0
"""Seconds between two reports of progress."""


def wait_for_tasks(call: ToolCall, args: WaitArguments) -> WaitAnswer:
    """Wait until tasks have ended, or the time is up; tell how far each is."""
    end = time.monotonic() + args.seconds
    while not call.is_cancelled:
        left = max(0.0, end - time.monotonic())
        try:
            rows = call.call(
                "wait", ids=args.numbers, timeout=min(left, REPORT_SECONDS) if left else 0.0
            )
            return WaitAnswer(
                all_ended=True, tasks=list(map(_make_outcome, rows)), notes=call.notes
            )
        except Problem as problem:
            if problem.code != "wait-timeout":
                raise
        if left <= REPORT_SECONDS:
            break
        call.report(args.seconds - left, args.seconds, "waiting")
    found = [_read_outcome(call, number) for number in args.numbers]
    return WaitAnswer(all_ended=all(one.has_ended for one in found), tasks=found, notes=call.notes)


def _read_outcome(call: ToolCall, number: int) -> TaskOutcome:
    """Return how far a task is now."""
    found = call.call("browse", filter=f"number:{number}", limit=1)
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    if not rows or rows[0]["status"] in ENDED:
        return _make_outcome(call.call("wait", ids=[number])[0])
    return TaskOutcome(
        number=number,
        status=rows[0]["run"] or rows[0]["status"],
        has_ended=False,
        exit_code=None,
        signal=None,
        reason=rows[0]["why"] and clean(rows[0]["why"]),
    )


def _make_outcome(row: dict[str, Any]) -> TaskOutcome:
    return TaskOutcome(
        number=row["number"],
        status=row["status"],
        has_ended=row["status"] in ENDED,
        exit_code=row["exit_code"],
        signal=row["signal"],
        reason=row["reason"] and clean(row["reason"]),
    )
