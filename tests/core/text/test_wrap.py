from __future__ import annotations

import pytest

from app.core.text.sanitize import measure_width
from app.core.text.wrap import wrap_words


def test_words_are_wrapped_at_spaces_and_long_words_stay_whole():
    assert wrap_words("a longword of text", 6) == "a\nlongword\nof\ntext"


def test_a_line_that_fits_is_unchanged():
    assert wrap_words("  two  spaces", 13) == "  two  spaces"


@pytest.mark.parametrize("cells", range(4, 30))
def test_wide_text_breaks_anywhere_but_beside_punctuation(cells):
    text = "任务 12 已取消，排队的 3 个任务（含重试）没有变化。"

    lines = wrap_words(text, cells).split("\n")

    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(measure_width(line) <= cells for line in lines)
    assert not any(line[0] in "，。）" or line[-1] == "（" for line in lines)
