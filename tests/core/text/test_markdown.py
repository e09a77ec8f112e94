"""Tests of the layout of Markdown."""

from __future__ import annotations

import re

import pytest

from app.core.text.markdown import lay_out
from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic

TEXT = """\
# A title

First words of a
paragraph with `some code`, and more.

- one item that is
  long
- `x`: two

```sh
taskdeck ls   # kept as it is

taskdeck why
```
Last.
"""


def join(lines):
    return ["".join(text for text, _ in line) for line in lines]


def test_blocks_are_wrapped_indented_and_separated():
    assert join(lay_out(TEXT, 24)) == [
        "A title",
        "",
        "First words of a",
        "paragraph with some",
        "code, and more.",
        "",
        "- one item that is long",
        "- x: two",
        "",
        "  taskdeck ls   # kept as it is",
        "  ",
        "  taskdeck why",
        "",
        "Last.",
    ]


def test_headings_and_inline_code_are_bold():
    lines = lay_out(TEXT, 80)

    assert lines[0] == [("A title", "bold")]
    assert lines[2] == [
        ("First words of a paragraph with ", ""),
        ("some code", "bold"),
        (", and more.", ""),
    ]
    assert lines[4] == [("- ", ""), ("one item that is long", "")]
    assert lines[5] == [("- ", ""), ("x", "bold"), (": two", "")]


def test_backticks_can_stay():
    assert "with `some code`, and" in join(lay_out(TEXT, 80, keep_ticks=True))[2]


def test_a_word_longer_than_the_line_stays_whole():
    assert join(lay_out("a " + "b" * 30 + " c", 10)) == ["a", "b" * 30, "c"]


def test_chinese_breaks_anywhere_but_before_a_closing_mark():
    text = "等待中的任务先按队列的\n优先级排列（见主题 `states`），\n`why` 说明“原因”。"

    assert join(lay_out(text, 100)) == [
        "等待中的任务先按队列的优先级排列（见主题 states），why 说明“原因”。"
    ]
    assert join(lay_out(text, 22)) == [
        "等待中的任务先按队列的",
        "优先级排列（见主题",
        "states），why 说明“原",
        "因”。",
    ]
    assert join(lay_out("一二三四五。六", 10)) == ["一二三四", "五。六"]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("width", [20, 40, 74, 100])
@pytest.mark.parametrize("name", list_topics())
def test_topics_keep_every_word_within_the_width(name, width, language):
    source = read_topic(name, language)
    lines = join(lay_out(source, width, keep_ticks=True))

    prose = [line for line in lines if not line.startswith("  ") and " " in line.strip("- ")]
    assert all(measure_width(line) <= width for line in prose)
    marks = {"#", "##", "-", *re.findall("^```\\w*", source, re.MULTILINE)}
    given = [word for word in source.split() if word not in marks]
    drawn = [word for line in lines for word in line.split() if word not in marks]
    between = " " if language == "en" else ""
    assert between.join(drawn) == between.join(given)
