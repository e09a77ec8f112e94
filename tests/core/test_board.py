"""Tests of the board's JSON round trip."""

from __future__ import annotations

import json

import pytest

from app.core.board import (
    BackupFacts,
    Board,
    DiskUsageEntry,
    HostFacts,
    LatestAction,
    LockFacts,
    NextEntry,
    QueueEntry,
    ReplicaFacts,
    RuntimeFacts,
)

FULL_BOARD = Board(
    at=1.0, runtime=RuntimeFacts("running", 7, halted="disk full"),
    news=LatestAction(5.0, "ann", "x"), counts={"queued": 2},
    host=HostFacts("one", 4, largest=(DiskUsageEntry("runs/", 9), DiskUsageEntry("x", 1, False))),
    lock=LockFacts(2.0, "sqlite3"), backup=BackupFacts(3.0, True), replica=ReplicaFacts(4.0),
    queues=(QueueEntry("q", "p", 2, 1, 1, None, "active", "open", 0, starts=(0, 1)),),
    next=(NextEntry("u", 1, "n", "q", "queued", 1.0, "why", "w"),), ever=True,
)  # fmt: skip


@pytest.mark.parametrize("board", [Board(), FULL_BOARD], ids=["empty", "full"])
def test_a_board_survives_json(board: Board):
    assert Board.from_dict(json.loads(json.dumps(board.as_dict()))) == board


def test_all_fields_are_sent_by_name():
    told = json.loads(json.dumps(FULL_BOARD.as_dict()))

    assert told["host"]["largest"] == [
        {"name": "runs/", "bytes": 9, "whole": True},
        {"name": "x", "bytes": 1, "whole": False},
    ]
    assert told["queues"][0]["starts"] == [0, 1] and told["next"][0]["why_short"] == "w"
    assert [told[name] for name in ("lock", "backup", "replica", "news", "counts")] == [
        {"since": 2.0, "by": "sqlite3"}, {"at": 3.0, "late": True}, {"lag": 4.0, "late": False},
        {"at": 5.0, "by": "ann", "text": "x", "origin": ""}, {"queued": 2},
    ]  # fmt: skip


def test_fields_of_a_newer_runtime_are_ignored():
    told = FULL_BOARD.as_dict()
    told |= {
        "later": [1],
        "runtime": told["runtime"] | {"later": 2},
        "queues": [told["queues"][0] | {"later": 3}],
    }

    assert Board.from_dict(told) == FULL_BOARD
