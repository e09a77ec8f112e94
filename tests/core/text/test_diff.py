"""Tests of differences between two states, in words and by line."""

from __future__ import annotations

import pytest

from app.core.text import diff
from app.core.text.diff import ChangedField


def test_only_changes_are_listed_and_true_differs_from_one():
    before = {"a": 1, "b": True, "c": {"x": 1, "y": 2}, "d": 5}
    after = {"a": 1.0, "b": 1, "c": {"y": 2, "x": 1}, "e": 6}

    assert diff.diff_fields(before, after) == [
        ChangedField("b", True, 1),
        ChangedField("d", 5, None),
        ChangedField("e", None, 6),
    ]
    assert diff.diff_fields(None, ["no table"]) == []


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (ChangedField("priority", 5, 9), "priority 5 → 9"),
        (ChangedField("memory", 2048.0, 512), "memory 2.0G → 512M"),
        (ChangedField("total_cpu", 0.5, 2), "cpu 0.5 → 2"),
        (ChangedField("timeout", None, 90), "timeout no limit → 1m30s"),
        (ChangedField("status", "queued", "timed_out"), "status queued → timed out"),
        (ChangedField("notify", None, "never "), "notify default → nobody"),
        (ChangedField("status", "active", "paused"), "status open → paused"),
        (ChangedField("name", "active", "b"), "name active → b"),
        (ChangedField("hold", False, True), "hold no → yes"),
        (ChangedField("name", "a", "\x1b[31mb"), "name a → ␛[31mb"),
        (ChangedField("schema", {"script": "a\nb"}, None), "schema changed"),
    ],
)
def test_a_change_is_one_safe_sentence(field: ChangedField, words: str):
    assert diff.format_change(field) == words


def test_a_long_value_is_truncated():
    assert diff.format_value("description", "x" * 99) == "x" * 39 + "…"


def test_texts_are_compared_by_line_with_little_context():
    before = "\n".join(map(str, range(20)))
    after = before.replace("3\n", "three\n", 1).replace("18", "eighteen")

    assert list(diff.diff_lines(before, after)) == [
        (" ", "1"), (" ", "2"), ("-", "3"), ("+", "three"), (" ", "4"), (" ", "5"), ("@", ""),
        (" ", "16"), (" ", "17"), ("-", "18"), ("+", "eighteen"), (" ", "19"),
    ]  # fmt: skip
    assert list(diff.diff_lines(after, after)) == []


def test_a_line_like_a_diff_header_stays_a_line():
    assert list(diff.diff_lines("--- a\n@@ x", "--- b\n@@ x")) == [
        ("-", "--- a"),
        ("+", "--- b"),
        (" ", "@@ x"),
    ]


def test_values_become_lines():
    assert diff.to_text({"a": ["ü"]}) == '{\n  "a": [\n    "ü"\n  ]\n}'
    assert (diff.to_text("a\nb"), diff.to_text(None)) == ("a\nb", "")


@pytest.mark.parametrize(("obj", "number"), [("task #12", 12), ("queue #12", None), ("task #",
None), ("task #1 x", None),
                                             ("2 tasks #1–#2", None),
                                             ("task #" + "9" * 40, None)])  # fmt: skip
def test_a_task_number_is_parsed_from_the_object(obj: str, number: int | None):
    assert diff.parse_task_number(obj) == number


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (("hold", "task #1", "a", {"status": "queued", "hold": False},
        {"status": "held", "hold": True}),
         "hold of #1 a: status queued → held"),
        (("hold", "task #1", None, {"hold": False}, {"hold": True}), "hold of #1: hold no → yes"),
        (("queue rm", "queue a", None, {"name": "a"}, None), "queue rm of queue a"),
    ],
)  # fmt: skip
def test_an_operation_is_one_sentence(told: tuple, words: str):
    assert diff.format_operation(*told) == words
