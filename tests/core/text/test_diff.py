"""What differs between two states, in words and line by line."""

from __future__ import annotations

import pytest

from app.core.text import diff
from app.core.text.diff import Field


def test_only_what_differs_is_told_and_true_is_not_one():
    before = {"a": 1, "b": True, "c": {"x": 1, "y": 2}, "d": 5}
    after = {"a": 1.0, "b": 1, "c": {"y": 2, "x": 1}, "e": 6}

    assert diff.fields(before, after) == [Field("b", True, 1), Field("d", 5, None), Field("e", None, 6)]
    assert diff.fields(None, ["no table"]) == []


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field("priority", 5, 9), "priority 5 → 9"),
        (Field("memory", 2048.0, 512), "memory 2.0G → 512M"),
        (Field("total_cpu", 0.5, 2), "cpu 0.5 → 2"),
        (Field("timeout", None, 90), "timeout no limit → 1m30s"),
        (Field("status", "queued", "timed_out"), "status queued → timed out"),
        (Field("status", "active", "paused"), "status open → paused"),
        (Field("name", "active", "b"), "name active → b"),
        (Field("hold", False, True), "hold no → yes"),
        (Field("name", "a", "\x1b[31mb"), "name a → ␛[31mb"),
        (Field("schema", {"script": "a\nb"}, None), "schema changed"),
    ],
)
def test_a_change_is_one_safe_sentence(field: Field, words: str):
    assert diff.sentence(field) == words


def test_a_long_value_is_cut():
    assert diff.short("description", "x" * 99) == "x" * 39 + "…"


def test_texts_are_compared_line_by_line_and_what_is_far_from_a_change_is_left_out():
    before = "\n".join(map(str, range(20)))
    after = before.replace("3\n", "three\n", 1).replace("18", "eighteen")

    assert list(diff.lines(before, after)) == [
        (" ", "1"), (" ", "2"), ("-", "3"), ("+", "three"), (" ", "4"), (" ", "5"), ("@", ""),
        (" ", "16"), (" ", "17"), ("-", "18"), ("+", "eighteen"), (" ", "19"),
    ]  # fmt: skip
    assert list(diff.lines(after, after)) == []


def test_a_line_that_looks_like_a_head_of_a_difference_is_a_line():
    assert list(diff.lines("--- a\n@@ x", "--- b\n@@ x")) == [("-", "--- a"), ("+", "--- b"), (" ", "@@ x")]


def test_values_become_lines():
    assert diff.text_of({"a": ["ü"]}) == '{\n  "a": [\n    "ü"\n  ]\n}'
    assert (diff.text_of("a\nb"), diff.text_of(None)) == ("a\nb", "")


@pytest.mark.parametrize(("obj", "number"), [("task #12", 12), ("queue #12", None), ("task #", None), ("task #1 x", None),
                                             ("2 tasks #1–#2", None), ("task #" + "9" * 40, None)])  # fmt: skip
def test_a_tasks_number_is_read_from_the_object(obj: str, number: int | None):
    assert diff.number_of(obj) == number


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (("hold", "task #1", "a", {"status": "queued", "hold": False}, {"status": "held", "hold": True}),
         "hold of #1 a: status queued → held"),
        (("hold", "task #1", None, {"hold": False}, {"hold": True}), "hold of #1: hold no → yes"),
        (("queue rm", "queue a", None, {"name": "a"}, None), "queue rm of queue a"),
    ],
)  # fmt: skip
def test_what_was_done_is_one_sentence(told: tuple, words: str):
    assert diff.told(*told) == words
