"""Tests of the help topics: form, summaries, references and translations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic

CHINESE = "zh_CN"
TOPICS = list_topics()
CHINESE_TOPICS = list_topics(CHINESE)
ROOT = Path(__file__).parent.parent
CHINESE_FOLDER = ROOT / "app/help/zh_CN"
CHINESE_README = CHINESE_FOLDER / "README.md"
CHINESE_OUTPUT = {
    "not all": "不完整",
    "no data": "无数据",
    "opens 22:00": "22:00 开放",
    "back up now": "立即备份",
    "no backup!": "没有备份!",
}
"""Output that a topic quotes, as Taskdeck says it in Chinese."""
TRANSLATE = "update app/help/zh_CN as well"
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


def test_every_topic_is_translated():
    assert {path.stem for path in CHINESE_FOLDER.glob("*.md")} == {*TOPICS, "README"}


@pytest.mark.parametrize("name", TOPICS)
def test_a_chinese_topic_says_the_same_as_the_english_one(name):
    english, chinese = read_topic(name), read_topic(name, CHINESE)

    assert count_marks(chinese) == count_marks(english), TRANSLATE
    assert list_commands(chinese) == list_commands(english), TRANSLATE
    said = [CHINESE_OUTPUT.get(code, code) for code in list_inline_code(english)]
    assert list_inline_code(chinese) == sorted(said), TRANSLATE


def test_the_chinese_readme_says_the_same_as_the_english_one():
    english, chinese = (ROOT / "README.md").read_text("utf-8"), CHINESE_README.read_text("utf-8")

    assert count_marks(chinese) == count_marks(english)
    assert list_commands(chinese) == list_commands(english)
    assert {*list_inline_code(english)} <= {*list_inline_code(chinese)}
    listed = chinese.partition("`taskdeck help TOPIC`")[2]
    assert {*re.findall("[a-z][a-z-]+", listed)} == TOPICS.keys()


def test_files_linked_by_the_chinese_readme_exist():
    linked = re.findall(r"\]\(([^):]+)\)", CHINESE_README.read_text("utf-8"))

    assert len(linked) > 10 and all((CHINESE_FOLDER / path).is_file() for path in linked)


@pytest.mark.parametrize("name", TOPICS)
def test_a_chinese_topic_has_a_short_summary(name):
    assert read_topic(name, CHINESE).splitlines()[2].endswith("。")
    assert measure_width(CHINESE_TOPICS[name]) <= MAX_SUMMARY


@pytest.mark.parametrize("path", sorted(CHINESE_FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_chinese_sentences_have_full_width_marks_and_spaced_latin_words(path):
    text = re.sub(r"\]\([^)]*\)", "]", path.read_text("utf-8"))
    prose = re.sub(r"^```\w+\n.*?^```\n|`[^`]*`", "X", text, flags=re.M | re.S)

    assert not re.findall(r"[\u4e00-\u9fff][,;:!?()A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", prose)
    assert not re.findall(r"^ *[，。、；：！？）”]", prose, re.MULTILINE)


def count_marks(text):
    """Return the numbers of headings and items outside of code blocks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [len(re.findall(f"^{mark} ", prose, re.MULTILINE)) for mark in ("##", "-")]


def list_commands(text):
    """Return the kind and the lines of each code block, without comments."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(kind, re.sub(r" +# .*", "", body).splitlines()) for kind, body in blocks]


def list_inline_code(text):
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return sorted(" ".join(code.split()) for code in re.findall("`([^`]+)`", prose))
