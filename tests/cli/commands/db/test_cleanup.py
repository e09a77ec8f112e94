"""Tests of the summary of `db cleanup`."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli.commands.db.cleanup import _summarize

EMPTY_RESULT = {
    "dry_run": False, "rules": [], "runs": 0, "tasks": 0, "logs": 0, "rows": 0, "others": {},
    "kept": 0, "unknown": [],
    "waiting": {"runs": 0, "logs": 0}, "freed": {"logs": 0, "bytes": 0},
    "size": {"before": 2048, "after": 1024},
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ["nothing is old enough to remove"]),
        (
            {"kept": 11, "unknown": ["[retention.queue.x]: there is no queue x"]},
            [
                "nothing is old enough to remove",
                "kept: 11 last successes, the newest per task name and template",
                "in config.toml [retention.queue.x]: there is no queue x",
            ],
        ),
        (
            {"others": {"forgotten": 14, "events": 2}},
            [
                "removed other rows: 14 records of deleted tasks, 2 events",
                "database size: 2.0K before, 1.0K after",
            ],
        ),
        (
            {
                "dry_run": True,
                "rules": [{}],
                "runs": 1,
                "tasks": 2,
                "logs": 100,
                "others": {"events": 2},
            },
            ["would remove 1 run and 2 tasks, about 100B", "and other rows: 2 events"],
        ),
        (
            {"waiting": {"runs": 2, "logs": 2048}, "freed": {"logs": 1, "bytes": 4096}},
            [
                "nothing is old enough to remove",
                "the disk was full, so 1 log of expired runs (4.0K) had to be removed first",
                (
                    "2 runs more, 2.0K of logs, are removed once counted in the history: in a few "
                    "minutes, unless the disk is full"
                ),
            ],
        ),
    ],
)
def test_totals_are_described_in_words(found: dict[str, Any], said: list[str]):
    assert _summarize(EMPTY_RESULT | found) == said
