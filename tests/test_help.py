"""Tests of the help topics: form, summaries and references."""

from __future__ import annotations

import re

import pytest

from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic

TOPICS = list_topics()
MAX_SUMMARY = 53
"""Cells that the deck's list of topics has beside the longest name at 80x24."""
MAX_CODE = 74
"""Cells that the deck has for code at 80x24."""


def test_an_unknown_topic_is_a_key_error():
    with pytest.raises(KeyError):
        read_topic("nothing")
    with pytest.raises(KeyError):
        read_topic("../help/backup")


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_has_title_summary_and_sections(name):
    title, blank, summary, below, *_ = read_topic(name).splitlines()

    assert title.startswith("# ") and (blank, below) == ("", "") and summary.endswith(".")
    assert TOPICS[name] == summary[:-1] and len(TOPICS[name]) <= MAX_SUMMARY
    assert re.search("^## ", read_topic(name), re.MULTILINE)


@pytest.mark.parametrize("name", TOPICS)
def test_the_lines_of_a_topic_fit_the_terminal(name):
    text = read_topic(name)
    code = "\n".join(re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL))

    assert max(map(measure_width, text.splitlines())) <= 80
    assert max(map(measure_width, code.splitlines()), default=0) <= MAX_CODE


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_uses_only_markdown_that_is_laid_out(name):
    prose = re.sub(r"^```\w+\n.*?^```\n|`[^`]*`", "", read_topic(name), flags=re.M | re.S)

    assert "`" not in prose
    assert not re.search(r"^(\||\d+\. |###|  +- |>)|\*\*|\]\(", prose, re.MULTILINE)


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_that_a_topic_names_exists(name):
    flat = " ".join(read_topic(name).split())

    named = re.findall(r"taskdeck help ([a-z-]+)|\btopic ([a-z-]+)", flat)
    assert {a or b for a, b in named} <= TOPICS.keys()
