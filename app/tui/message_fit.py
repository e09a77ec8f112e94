"""Message fitting: shorten a message, keeping its last sentence (the advice)."""

from __future__ import annotations

import re
from textwrap import wrap

from app.core.text.sanitize import measure_width
from app.core.text.wrap import wrap_words
from app.tui.style import Look

MIN_PATH_CELLS = 16
"""Minimum cells of a path."""
MIN_PROBLEM_CELLS = 4
"""Minimum cells of the problem before the advice."""

_PATH = re.compile(r"(?<![^\s(\"':=])/[^\s()\"',;]*[^\s()\"',;.:]")
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z]|(?:esc|[a-z0-9]) )|(?<=[。！？]) *(?=\S)")
"""Start of a sentence: a capital, or the key that the sentence is about; in Chinese any text."""


def wrap_message(text: str, room: int) -> list[str]:
    """Wrap sanitized text to lines of `room` cells; none for an empty text."""
    if measure_width(text) == len(text):
        return wrap(text, room)
    return wrap_words(text, room).split("\n")


def get_last_sentence(text: str) -> str:
    """Return the last sentence, which is the advice."""
    return _SENTENCE.split(text)[-1]


def fit_message(text: str, room: int, look: Look) -> str:
    """Shorten sanitized text to `room` cells.

    Paths are cut in the middle first, then the text before the last sentence.
    """
    over = measure_width(text) - room
    if over <= 0:
        return text
    for path in sorted({*_PATH.findall(text)}, key=measure_width, reverse=True):
        shorter = look.cut(path, max(MIN_PATH_CELLS, measure_width(path) - over), "middle")
        text = text.replace(path, shorter)
        over = measure_width(text) - room
        if over <= 0:
            return text
    last = get_last_sentence(text)
    left = room - measure_width(last) - 1
    if last == text or left < MIN_PROBLEM_CELLS:
        return look.cut(text, room)
    return f"{look.cut(text[: -len(last)].rstrip(), left)} {last}"
