"""Matchers of silences: stored form, words, and mistakes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.core.rules import silence_matchers


def test_matchers_are_stored_as_lists_in_one_order():
    given = {"queue": ["gpu*", " gpu* ", "etl"], "rule": "late", "task": []}

    found = silence_matchers.normalize_matchers(given)

    assert list(found.items()) == [("rule", ["late"]), ("queue", ["gpu*", "etl"])]
    assert silence_matchers.describe_matchers(found) == "rule late, queue gpu* or etl"
    options = silence_matchers.list_options(found)
    assert options == ["--rule", "late", "--queue", "gpu*", "--queue", "etl"]


def test_a_tag_has_a_name_and_a_value():
    found = silence_matchers.normalize_matchers({"tag": ["env=dev", "team=*", "env=ci"]})

    assert silence_matchers.describe_matchers(found) == "tag env=dev or env=ci, tag team=*"
    for wrong in ("env", "=dev"):
        with pytest.raises(ValueError, match="tag must be NAME=VALUE, such as env=dev, not"):
            silence_matchers.normalize_matchers({"tag": wrong})


@pytest.mark.parametrize("word", ["warn", "WARN", "warning"])
def test_a_severity_is_taken_as_lists_show_it(word: str):
    assert silence_matchers.normalize_matchers({"severity": word}) == {"severity": ["warning"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "needs at least one of rule, severity, task"),
        ({"rule": []}, "needs at least one of"),
        ([], "must be a table"),
        ({"queu": "a"}, 'match has no "queu". Nearest: queue.'),
        ({"severity": "critcal"}, "Nearest: critical."),
        ({"task": ""}, "task must be a name"),
        ({"task": 7}, "task must be a name"),
        ({"task": "x" * 201}, "task must be a name"),
        ({"pool": ["a"] * 21}, "at most 20 names"),
    ],
)
def test_wrong_matchers_are_refused(given: Any, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        silence_matchers.normalize_matchers(given)


def test_text_from_outside_cannot_control_the_terminal():
    words = silence_matchers.describe_matchers({"rule": ["\x1b[2J"]})

    assert "\x1b" not in words


def test_an_empty_tag_is_told_the_form_of_a_tag():
    with pytest.raises(ValueError, match="tag must be NAME=VALUE, such as env=dev."):
        silence_matchers.normalize_matchers({"tag": " "})
