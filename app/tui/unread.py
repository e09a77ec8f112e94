"""What is shown where no board was ever to be had: what is wrong and what to do, under the head, until one comes."""

from __future__ import annotations

from typing import Any

from app.core.board import Board, RuntimeFacts
from app.tui.banner import Banner, wrapped
from app.tui.look import Look, Span

UNREAD = Board(runtime=RuntimeFacts("starting"), database="unread", ever=True)
"""Stands for the board; nothing is claimed of what could not be read."""
LONG = 20.0
"""Seconds without a board and without a reason after which it is said that none comes; a runtime that hangs is told of before."""
NO_ANSWER = (
    f"nothing was answered for {LONG:.0f}s. It is waited for. What it is at, stands in run/runtime.log of the home; "
    "end it: taskdeck stop"
)
_INDENT, _MARGIN, _LEAST = 3, 1, 20


def banner_of(app: Any, banner: Banner, board: Board, enter: bool = False, most: int = 2) -> list[list[Span]]:
    """The lines below the head; `enter` and `most` as for `Banner.lines`."""
    text = getattr(app, "unread", "")
    return unread_lines(text, banner.look, app.size.width, most) if text else banner.lines(board, enter, most)


def unread_lines(text: str, look: Look, cells: int, most: int = 2) -> list[list[Span]]:
    """In so many lines at most; what to do, which stands at the end, stays. `text` is safe."""
    first, *more = wrapped(look.own(f"NOTHING CAN BE SHOWN: {text}"), look, max(_LEAST, cells - _INDENT - _MARGIN), most)
    return [[(f" {look.own('✗')} {first}", "broken")], *([(f"   {line}", "broken")] for line in more)]
