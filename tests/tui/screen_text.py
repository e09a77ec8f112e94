"""What a screen shows, as lines of text."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.app import App


def read_screen_segments(app: App[Any]) -> list[list[Segment]]:
    """The segments of each line of the screen that is on top, as they would go to the terminal."""
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def read_screen_lines(app: App[Any]) -> list[str]:
    """Each line of the screen that is on top, blanks at its end cut off."""
    return ["".join(segment.text for segment in line if not segment.control).rstrip() for line in read_screen_segments(app)]
