"""Tests of the one-line summary of an operation's change."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.text import diff_summary

QUEUE = {
    "name": "q2",
    "capacity": 5,
    "status": "active",
    "priority": 0,
    "current_load": 0,
    "pool": "default",
    "created_at": "2026-11-27",
}
RULE = {
    "conditions": {"preset": "finishes-within", "value": "45m"},
    "actions": {},
    "priority": 2,
    "enabled": True,
}
TEMPLATE = {
    "engine": "exec",
    "schema": {"argv": ["echo"]},
    "parameters": {},
    "template": {"engine": "exec"},
}
QUIET = {"until": "2026-11-27T10:44:52.810256Z", "reason": "disk move", "by": "bob"}


pytestmark = pytest.mark.usefixtures("utc")


@pytest.mark.parametrize(("obj", "before", "after", "words"), [
    ("task #1", {"priority": 0}, {"priority": 5}, "priority 0 → 5"),
    ("queue a", {"status": "paused"}, {"status": "active"}, "paused → open"),
    ("task #1", {"status": "queued", "hold": False}, {"status": "held", "hold": True},
    "queued → held"),
    ("task #1", {"run": "running"}, {"run": "stopping"}, "running → stopping"),
    ("task #1", {"status": "running"}, {"status": "timed_out"}, "running → timed out"),
    ("pool a", {"total_cpu": 2.0}, {"total_cpu": 3.0}, "cpu 2 → 3"),
    ("template a", {"cpu": None}, {"cpu": 2.0}, "cpu none → 2"),
    ("template a", {"schema": {"a": 1}}, {"schema": {"a": 2}}, "schema changed"),
    ("sla a", {"enabled": True, "priority": 2}, {"enabled": False, "priority": 3},
    "enabled on → off, severity warning → critical"),
    ("alert a on task", {"status": "firing"}, {"status": "acknowledged", "ids": [1]},
    "firing → acknowledged"),
    ("task #122", None, {"first": 122, "last": 122}, "task #122"),
    ("3 tasks", None, {"first": 1, "last": 3}, "tasks #1–#3"),
    ("queue q2", None, {"pool": "default", "capacity": 3}, "pool default, capacity 3"),
    ("queue q2", QUEUE, None, "was capacity 5, open, pool default"),
    ("template a", None, TEMPLATE, "engine exec"),
    ("sla a", None, RULE, "finishes within 45m, severity warning"),
    ("sla a", None, {"conditions": ["?"], "priority": 1}, "severity info"),
    ("sla a", None, QUIET, "until 2026-11-27 10:44, reason disk move"),
    ("backup x", None, {"bytes": 1024}, "1.0K"), ("backup x", None, {"bytes": 0}, "0B"),
    ("database", None, {"a": 1, "b": 2, "c": 3, "d": 4, "e": 0}, "a 1, b 2, c 3, 1 more"),
    ("database", None, ["2 counters set\x1b[2J"], "2 counters set␛[2J"),
    ("loads", ["default"], None, "was default"),
    ("runtime", None, {"drain": True}, "drain"), ("runtime", None, {"drain": False}, ""),
    ("x", None, None, ""), ("x", 3, "y", ""),
    ("task #1", {"name": "a\nb"}, {"name": "\x1b]0;x\x07"}, "name a␊b → ␛]0;x␇"),
])  # fmt: skip
def test_a_change_is_summarized(obj: str, before: Any, after: Any, words: str):
    assert diff_summary.summarize_change(obj, before, after) == words
