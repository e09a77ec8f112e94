"""A message in the cells there are: what to do about it, which stands at its end, is what one must be able to read."""

from __future__ import annotations

import re

from app.core.text.sanitize import measure_width
from app.tui.style import Look

MIN_PATH_CELLS = 16
"""Cells that a path keeps at least."""
MIN_PROBLEM_CELLS = 4
"""Cells that what is wrong keeps at least before what to do about it."""

_PATH = re.compile(r"(?<![^\s(\"':=])/[^\s()\"',;]*[^\s()\"',;.:]")
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z]|(?:esc|[a-z]) )")
"""Where one begins: with a capital, or with the key that it is about."""


def get_last_sentence(text: str) -> str:
    """What to do about it."""
    return _SENTENCE.split(text)[-1]


def fit_message(text: str, room: int, look: Look) -> str:
    """Safe text, at most `room` cells wide: first its paths are cut in their middle, then what is said before the last sentence."""
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
