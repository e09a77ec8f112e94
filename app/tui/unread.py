"""What is shown where no board was ever to be had: what is wrong and what to do, under the head, until one comes."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from app.core.board import Board, RuntimeFacts
from app.tui.banner import Banner
from app.tui.look import Look, Span
from app.tui.saying import in_room

UNREAD = Board(runtime=RuntimeFacts("starting"), database="unread", ever=True)
"""Stands for the board; nothing is claimed of what could not be read."""
LONG = 20.0
"""Seconds without a board and without a reason after which it is said that none comes; a runtime that hangs is told of before."""
NO_ANSWER = (
    f"nothing was answered for {LONG:.0f}s. It is waited for. What it is at, stands in run/runtime.log of the home; "
    "end it: taskdeck stop"
)
_INDENT, _MARGIN, _LEAST, _SPARE = 3, 1, 20, 8


def banner_of(app: Any, banner: Banner, board: Board, enter: bool = False) -> list[list[Span]]:
    """The lines below the head; `enter` as for `Banner.lines`."""
    text = getattr(app, "unread", "")
    return unread_lines(text, banner.look, app.size.width) if text else banner.lines(board, enter)


def unread_lines(text: str, look: Look, cells: int) -> list[list[Span]]:
    """In two lines at most; what to do, which stands at the end, stays. `text` is safe."""
    first, *more = _in_two(f"NOTHING CAN BE SHOWN: {text}", look, max(_LEAST, cells - _INDENT - _MARGIN))
    return [[(f" {look.own('✗')} {first}", "broken")], *([(f"   {line}", "broken")] for line in more)]


def _in_two(text: str, look: Look, room: int) -> Sequence[str]:
    lines: list[str] = []
    for spare in range(0, room, _SPARE):
        lines = wrap(in_room(look.own(text), 2 * room - spare, look), room)
        if len(lines) <= 2:
            break
    return lines[:2]
