"""What happened since somebody last looked, and which failures nobody has seen."""

from __future__ import annotations

import time

from app.service import board, since_last_visit
from app.service.context import Call
from app.service.tasks import actions
from tests.service.calls import submitted


async def _ended(live: Call, worker) -> float:
    """A success, then a moment, then a failure and a success; the moment."""
    for name in ("early", "bad", "good"):
        await submitted(live, name=name)
    await worker.run(1, 0)
    moment = time.time()
    await worker.run(2, 7)
    await worker.run(3, 0)
    return moment


async def test_what_ended_since_then_is_counted_and_what_went_wrong_is_named(live: Call, worker):
    moment = await _ended(live, worker)
    found = await since_last_visit.away(live, since=moment)
    assert found["ended"] == {"failed": 1, "succeeded": 1}
    assert [(task["number"], task["name"], task["status"], task["reason"]) for task in found["bad"]] == [(2, "bad", "failed", "exit 7")]
    assert (found["alerts"], found["since"]) == ([], moment)


async def test_nothing_happened_since_now(live: Call, worker):
    await _ended(live, worker)
    found = await since_last_visit.away(live, since=time.time() + 60)
    assert (found["ended"], found["bad"], found["alerts"]) == ({}, [], [])


async def test_the_board_counts_failures_since_they_were_looked_at(live: Call, worker):
    moment = await _ended(live, worker)
    assert (await board.board(live, seen=moment))["failed"] == 1
    assert (await board.board(live, seen=time.time() + 1))["failed"] == 0
    assert (await board.board(live))["failed"] == 1


async def test_a_failure_that_was_deleted_is_none_that_nobody_has_looked_at(live: Call, worker):
    moment = await _ended(live, worker)
    await actions.rm(live, ids=[2])
    found = await board.board(live, seen=moment)
    assert (found["failed"], found["today_failed"]) == (0, 1)
