"""Text of the screen on top."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual._context import visible_screen_stack
from textual.app import App


def read_screen_segments(app: App[Any]) -> list[list[Segment]]:
    """Return the segments of each line as the terminal would get them."""
    visible_screen_stack.set(app._background_screens)
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def read_screen_lines(app: App[Any]) -> list[str]:
    """Return the lines of the screen on top, without trailing blanks."""
    return [
        "".join(segment.text for segment in line if not segment.control).rstrip()
        for line in read_screen_segments(app)
    ]


def read_screen_text(app: App[Any]) -> str:
    """Return the text of the screen on top."""
    return "\n".join(read_screen_lines(app))


def is_shown(app: App[Any], text: str) -> bool:
    """Return True if one line of the screen holds a text."""
    return any(text in line for line in read_screen_lines(app))
