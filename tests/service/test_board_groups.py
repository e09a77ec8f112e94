"""Tests of groups on the board: one row for all waiting tasks, and the rows behind."""

from __future__ import annotations

import json

import pytest

from app.core.board import Board
from app.service import board
from app.service.context import Call
from tests.service.calls import execute_sql, submit_task
from tests.service.tasks.submission.test_groups import submit_group


async def read_board(call: Call) -> Board:
    """Return the board after a JSON round trip."""
    return Board.from_dict(json.loads(json.dumps(await board.show_board(call))))


@pytest.mark.parametrize("count", [3, 251])
async def test_waiting_tasks_of_a_group_are_one_row_and_hide_no_others(call: Call, count: int):
    await submit_task(call, name="before")
    await submit_group(call, count)
    await submit_task(call, name="behind")
    await submit_group(call, count, group={"name": "second"})
    await submit_task(call, name="last", priority=-1)

    found = await read_board(call)

    shown = [(row.name, row.group) for row in found.next]
    assert [group for _, group in shown] == [None, 1, None, 2, None]
    assert [name for name, group in shown if group is None] == ["before", "behind", "last"]
    assert [(group.key, group.waiting, group.total) for group in found.groups] == [
        ("group:1", count, count), ("group:2", count, count)
    ]  # fmt: skip


async def test_ended_tasks_tell_their_group_and_place(call: Call):
    sweep = {"names": ["lr", "token"], "values": [["0.1", "x"], ["0.2", "y"]]}
    await submit_group(call, 2, group={"name": "grid", "sweep": sweep})
    ended = "UPDATE tasks SET status = 'failed', started_at = created_at, ended_at = created_at"
    await execute_sql(call, f"{ended} WHERE number = 2")

    found = await read_board(call)

    (row,) = found.ended
    assert (row.group, row.member) == (1, "lr=0.2 token=•••")
    assert [(group.failed, group.waiting) for group in found.groups] == [(1, 1)]
