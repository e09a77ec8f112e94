"""What was said in the message line lately, for whoever had no time, or too narrow a terminal, to read it."""

from __future__ import annotations

from collections import deque

from app.tui.look import Span
from app.tui.times import wall

KEPT = 50
"""Messages that are kept."""
HINT = "dim"
"""The style of what is said to a key that does nothing, which is not kept."""


class Lately:
    """The last messages, each once however often it was said in a row."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str, str]] = deque(maxlen=KEPT)

    def note(self, at: float, text: str, style: str) -> None:
        """Something safe was said at this moment, UNIX seconds; "" is nothing."""
        if text and style != HINT and (not self._said or self._said[-1][1] != text):
            self._said.append((at, text, style))

    def lines(self, now: float, room: int) -> list[list[Span]]:
        """The newest first, each with its time, broken into lines of at most `room` cells."""
        if not self._said:
            return [[("Nothing was said yet.", "dim")]]
        return [line for at, text, style in reversed(self._said) for line in _lines(f"{wall(at, now, seconds=True)}  ", text, style, room)]


def _lines(when: str, text: str, style: str, room: int) -> list[list[Span]]:
    from app.tui.doc import wrap  # which the deck's first frame does without

    first, *more = wrap(text, room - len(when))
    return [[(when, "dim"), (first, style)], *([(" " * len(when), ""), (line, style)] for line in more)]
