"""Tests of the help topics: form, summaries, references and translations."""

from __future__ import annotations

import re

import pytest

from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic

CHINESE = "zh_CN"
TOPICS = list_topics()
CHINESE_TOPICS = list_topics(CHINESE)
TRANSLATED = [name for name in TOPICS if read_topic(name) != read_topic(name, CHINESE)]
MAX_SUMMARY = 51
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


@pytest.mark.parametrize("language", ["en", CHINESE])
@pytest.mark.parametrize("name", TOPICS)
def test_the_lines_of_a_topic_fit_the_terminal(name, language):
    text = read_topic(name, language)
    code = "\n".join(re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL))

    assert max(map(measure_width, text.splitlines())) <= 80
    assert max(map(measure_width, code.splitlines()), default=0) <= MAX_CODE


@pytest.mark.parametrize("language", ["en", CHINESE])
@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_uses_only_markdown_that_is_laid_out(name, language):
    text = read_topic(name, language)
    prose = re.sub(r"^```\w+\n.*?^```\n|`[^`]*`", "", text, flags=re.M | re.S)

    assert "`" not in prose
    assert not re.search(r"^(\||\d+\. |###|  +- |>)|\*\*|\]\(", prose, re.MULTILINE)


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_that_a_topic_names_exists(name):
    flat = " ".join(read_topic(name).split())

    named = re.findall(r"taskdeck help ([a-z-]+)|\btopic ([a-z-]+)", flat)
    assert {a or b for a, b in named} <= TOPICS.keys()


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_topic_has_a_short_summary(name):
    assert read_topic(name, CHINESE).splitlines()[2].endswith("。")
    assert measure_width(CHINESE_TOPICS[name]) <= MAX_SUMMARY


@pytest.mark.parametrize("name", TRANSLATED)
def test_chinese_sentences_have_full_width_marks_and_spaced_latin_words(name):
    text = read_topic(name, CHINESE)
    prose = re.sub(r"^```\w+\n.*?^```\n|`[^`]*`", "X", text, flags=re.M | re.S)

    assert not re.findall(r"[\u4e00-\u9fff][,;:!?()A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", prose)
